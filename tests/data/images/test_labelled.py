"""Images are loaded completely, and every one occurs once per epoch."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from data.catalogue import DataError
from data.images.augment import Augmentation, resample
from data.images.labelled import EvaluationBatches, Images, TrainingBatches, fit_to, load_images

quick = settings(deadline=None, derandomize=True, max_examples=25)


def numbered(count):
    """Images whose pixels are all their own index, which is their label as well."""
    labels = np.arange(count, dtype=np.int32)
    images = np.broadcast_to(labels[:, None, None, None], (count, 2, 3, 1)).astype(np.float32)
    return Images(images, labels, ("a", "b"))


def training(count, batch_size, seed=0, augmentation=None):
    return TrainingBatches(numbered(count), batch_size, seed, augmentation or Augmentation())


class Source(list):
    """A list of elements with the interface of a data source; the labels have two classes."""

    def __getitems__(self, places):
        return [self[place] for place in places]

    @property
    def dataset_info(self):
        features = {
            "image": tfds.features.Image(),
            "label": tfds.features.ClassLabel(num_classes=2),
        }
        return type("Info", (), {"features": features, "data_dir": "/nowhere"})


@pytest.fixture
def splits(monkeypatch):
    """Make a dataset of lists of elements, which is not cached."""

    def make(**elements):
        sources = {split: Source(listed) for split, listed in elements.items()}
        monkeypatch.setattr("data.images.labelled.load_splits", lambda *_: sources)
        monkeypatch.setattr("data.images.labelled.cached", lambda key, make: make())

    return make


def test_28_pixels_are_centred_in_32():
    images = np.random.default_rng(0).random((2, 28, 28, 3), dtype=np.float32) + 1
    fitted = fit_to(images, 32)
    assert fitted.shape == (2, 32, 32, 3)
    np.testing.assert_array_equal(fitted[:, 2:30, 2:30], images)
    assert fitted.sum(dtype=np.float64) == pytest.approx(images.sum(dtype=np.float64))


@pytest.mark.parametrize(("side", "before", "after"), [(32, 0, 0), (27, 2, 3), (24, 4, 4)])
def test_up_to_four_missing_pixels_on_a_side_are_zeros(side, before, after):
    fitted = fit_to(np.ones((1, side, side, 1), np.float32), 32)[0, ..., 0]
    inside = np.arange(32)
    inside = (inside >= before) & (inside < 32 - after)
    np.testing.assert_array_equal(fitted, np.outer(inside, inside))


@pytest.mark.parametrize("shape", [(8, 8), (23, 23), (40, 40), (32, 8), (30, 33)])
def test_other_sizes_are_resampled(shape):
    images = np.random.default_rng(0).random((2, *shape, 1), dtype=np.float32)
    fitted = fit_to(images, 32)
    assert fitted.shape == (2, 32, 32, 1)
    np.testing.assert_array_equal(fitted, resample(images, 32))
    # no border of zeros is added
    np.testing.assert_allclose(fitted[:, -1, -1], images[:, -1, -1], rtol=1e-5)


def test_digits_are_the_1797_of_scikit_learn(prepared):
    splits = load_images("digits", prepared, size=8)
    assert {name: len(part.labels) for name, part in splits.items()} == {"train": 1437, "test": 360}
    images = np.concatenate([part.images for part in splits.values()])
    labels = np.concatenate([part.labels for part in splits.values()])
    pixels, digits = load_digits(return_X_y=True)

    def rows(pixels, labels):
        return sorted(np.column_stack([np.rint(pixels * 16), labels]).astype(int).tolist())

    assert rows(images.reshape(1797, 64), labels) == rows(pixels / 16, digits)


def test_loaded_images_have_the_promised_types(prepared):
    splits = load_images("digits", prepared, size=32)
    for part in splits.values():
        assert part.images.shape == (len(part.labels), 32, 32, 1)
        assert part.images.dtype == np.float32
        assert part.labels.dtype == np.int32
        assert part.images.min() == 0.0
        assert part.images.max() == 1.0
        assert set(part.labels) == set(range(10))
        assert part.classes == tuple("0123456789")


def test_names_of_classes_and_centring_of_another_dataset(prepared):
    splits = load_images("squares", prepared, size=8)
    assert {name: len(part.labels) for name, part in splits.items()} == {
        "train": 6,
        "validation": 3,
        "test": 2,
    }
    train = splits["train"]
    assert train.classes == ("dark", "light")
    assert sorted(train.labels) == [0, 0, 0, 1, 1, 1]
    expected = np.where(train.labels == 1, 1.0, 55 / 255)
    np.testing.assert_allclose(train.images[:, 1, 1, 0], expected, rtol=1e-6)
    np.testing.assert_array_equal(train.images[:, 0], 0.0)


def test_a_dataset_without_labelled_images_is_refused(prepared):
    with pytest.raises(DataError, match="python_source has no labelled images"):
        load_images("python_source", prepared, size=32)


def test_images_of_several_shapes_are_refused(splits):
    sides = (4, 5, 4)
    elements = [{"image": np.zeros((side, 4, 1), np.uint8), "label": 0} for side in sides]
    splits(train=elements)
    with pytest.raises(DataError, match=r"several shapes: \[\(4, 4, 1\), \(5, 4, 1\)\]"):
        load_images("mixed", "", size=32)


@pytest.mark.parametrize("which", [slice(1, 3), np.array([4, 0]), np.arange(5) > 2])
def test_a_subset_keeps_images_and_labels_together(which):
    subset = numbered(5).subset(which)
    np.testing.assert_array_equal(subset.labels, np.arange(5)[which])
    np.testing.assert_array_equal(subset.images[:, 0, 0, 0], subset.labels)
    assert subset.classes == ("a", "b")


@quick
@given(st.data())
def test_training_contains_every_example_once_per_epoch(data):
    count = data.draw(st.integers(1, 23))
    batch_size = data.draw(st.integers(1, count))
    batches = training(count, batch_size, seed=data.draw(st.integers(0, 99)))
    epochs = 4
    batch_list = [batches(step) for step in range(-(-epochs * count // batch_size))]
    assert {batch["image"].shape for batch in batch_list} == {(batch_size, 2, 3, 1)}
    labels = np.concatenate([batch["label"] for batch in batch_list])
    images = np.concatenate([batch["image"] for batch in batch_list])
    np.testing.assert_array_equal(images, numbered(count).images[labels])
    # an epoch ends inside of a batch whenever the batch size does not divide the count
    for epoch in labels[: epochs * count].reshape(epochs, count):
        assert sorted(epoch) == list(range(count))


def test_every_epoch_and_every_seed_has_its_own_order():
    def epoch(seed, number):
        return tuple(training(30, 30, seed)(number)["label"])

    orders = {epoch(seed, number) for seed in range(3) for number in range(3)}
    assert len(orders) == 9
    assert tuple(range(30)) not in orders


def test_a_training_batch_is_a_function_of_seed_and_step():
    jitter = Augmentation(jitter=1.0)
    batches = training(10, 4, 3, jitter)
    later = [batches(step) for step in (7, 0, 2)]
    for batch, step in zip(later, (7, 0, 2), strict=True):
        again = training(10, 4, 3, jitter)(step)
        np.testing.assert_array_equal(batch["image"], again["image"])
        np.testing.assert_array_equal(batch["label"], again["label"])
    noise = {
        (training(10, 10, seed, jitter)(step)["image"]).tobytes()
        for seed in (3, 4)
        for step in (0, 1)
    }
    assert len(noise) == 4


def test_augmentation_is_keyed_by_seed_and_step():
    augmentation = Augmentation(jitter=1.0)
    batch = training(10, 4, 5, augmentation)(6)
    plain = training(10, 4, 5)(6)
    np.testing.assert_array_equal(batch["label"], plain["label"])
    np.testing.assert_array_equal(batch["image"], augmentation(plain["image"], (5, 6)))


def test_a_batch_larger_than_the_set_is_refused():
    assert len(training(5, 5)(0)["label"]) == 5
    with pytest.raises(DataError, match=r"batch_size 6 .* 5 training examples") as caught:
        training(5, 6)
    assert caught.value.exit_code == 2


@quick
@given(count=st.integers(1, 20), batch_size=st.integers(1, 8))
def test_evaluation_contains_every_example_once_in_order(count, batch_size):
    batches = EvaluationBatches(numbered(count), batch_size)
    batch_list = list(batches)
    assert len(batch_list) == -(-count // batch_size)
    for batch in batch_list:
        assert batch["image"].shape == (batch_size, 2, 3, 1)
        assert batch["label"].shape == batch["mask"].shape == (batch_size,)
        assert batch["label"].dtype == np.int32
        assert batch["mask"].dtype == batch["image"].dtype == np.float32
        assert set(batch["mask"]) <= {0.0, 1.0}
    joined = {key: np.concatenate([batch[key] for batch in batch_list]) for key in batch_list[0]}
    real = joined["mask"] == 1
    # the tail and nothing else is padded
    np.testing.assert_array_equal(real, np.arange(len(real)) < count)
    np.testing.assert_array_equal(joined["label"][real], np.arange(count))
    np.testing.assert_array_equal(joined["image"][real], numbered(count).images)
    np.testing.assert_array_equal(joined["image"][~real], 0.0)
    again = list(batches)
    np.testing.assert_array_equal([b["label"] for b in again], [b["label"] for b in batch_list])


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_that_is_no_class_is_refused(splits, label):
    image = np.ones((4, 4, 1), np.uint8)
    elements = [{"image": image, "label": 1}, {"image": image, "label": label}]
    splits(train=elements)
    message = f"labels from {min(1, label)} to {max(1, label)} in train, for 2 classes"
    with pytest.raises(DataError, match=message):
        load_images("made", "", size=4)


def test_all_splits_are_scaled_alike(splits):
    def elements(brightest):
        return [{"image": np.full((4, 4, 1), brightest, np.uint8), "label": 0}]

    splits(train=elements(200), test=elements(100))
    loaded = load_images("made", "", size=4)
    assert loaded["train"].images.max() == 1.0
    assert loaded["test"].images.max() == 0.5
