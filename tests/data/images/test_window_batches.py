"""Windows of images in batches: labels, samples, and every window once."""

import numpy as np

from data.images.detection import Picture
from data.images.window_batches import (
    EvaluationWindows,
    Sampling,
    TrainingWindows,
    judged,
    mirrored,
    overlaps,
    sample,
)

RNG = np.random.default_rng


def picture(boxes=((0, 0, 10, 10), (20, 20, 40, 40)), labels=(3, 5), crowd=()):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    numbers = np.arange(len(boxes))
    flags = np.zeros(len(boxes), bool), np.isin(numbers, crowd)
    image = RNG(0).integers(256, size=(48, 64, 3), dtype=np.uint8)
    return Picture("p", image, boxes, np.array(labels, np.int32), *flags)


def windows_of(seed, count=60):
    low = RNG(seed).uniform(0, 30, (count, 2))
    return np.concatenate([low, low + RNG(seed).uniform(4, 18, (count, 2))], 1).astype(np.float32)


def test_overlaps_have_the_known_value():
    assert overlaps(np.array([[0, 0, 10, 10]]), np.array([[5, 0, 15, 10]]))[0, 0] == 1 / 3


def test_a_window_has_the_label_of_its_best_object_from_half_on():
    windows = np.array([[0, 0, 10, 5], [0, 0, 10, 4.9], [21, 20, 40, 40]], np.float32)
    batch, free = judged(picture(), windows)
    assert batch["label"].tolist() == [4, 0, 6]
    assert batch["target"][2].tolist() == [20, 20, 40, 40]
    assert free.all()


def test_windows_in_a_crowd_are_not_trained():
    windows = np.array([[22, 22, 30, 30], [0, 0, 10, 10], [15, 15, 40, 20]], np.float32)
    batch, free = judged(picture(crowd=[1]), windows)
    assert batch["label"].tolist() == [0, 4, 0]
    assert free.tolist() == [False, True, True]


def test_samples_hold_the_share_of_objects():
    batch = sample(picture(), windows_of(1), Sampling(40, 0.25, 16), RNG(0))
    assert (batch["label"] > 0).sum() == 10
    assert (batch["overlap"][batch["label"] > 0] >= 0.5).all()
    assert (batch["overlap"][batch["label"] == 0] < 0.5).all()
    assert batch["window"].min() >= 0
    assert batch["window"][:, 2].max() <= 64
    assert batch["window"][:, 3].max() <= 48
    empty = sample(picture((), ()), windows_of(1), Sampling(8, 0.25, 16), RNG(0))
    assert not empty["label"].any()


def test_a_mirrored_picture_mirrors_its_boxes():
    before = picture()
    after, windows = mirrored(before, before.boxes)
    x0, y0, x1, y1 = after.boxes[1].astype(int)
    assert after.boxes.tolist() == windows.tolist()
    np.testing.assert_array_equal(after.image[y0:y1, x0:x1], before.image[20:40, 20:40][:, ::-1])


def test_batches_and_all_windows():
    pictures = [picture(), picture((), ()), picture()]
    windows = [windows_of(i, 5 + i) for i in range(3)]
    train = TrainingWindows(pictures, windows, 64, 2, 6, 0.5, 0, flip=True, tint=0.2)
    a, b = train(4), train(4)
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert a["image"].shape == (2, 64, 64, 3)
    assert a["window"].shape == (2, 6, 4)
    evaluation = EvaluationWindows(pictures, windows, 64, 2, 6, 0.5)
    assert [batch["mask"].tolist() for batch in evaluation] == [[1, 1], [1, 0]]
    found = {}
    for indices, batch in evaluation.every_window():
        assert batch["window"].shape == (2, 7, 4)
        found |= {i: batch["window"][row, : len(windows[i])] for row, i in enumerate(indices)}
    for i, own in enumerate(windows):
        np.testing.assert_array_equal(found[i], own)
    assert (found and batch["image"][0, 48:] == 0.5).all()  # grey below the image
