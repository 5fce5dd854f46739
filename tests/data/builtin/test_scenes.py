from types import SimpleNamespace

import numpy as np
import pytest

from data.builtin.captions import COLOURS, NUMBERS, facts_of, parse
from data.builtin.scenes import KINDS, SIDE, distorted, handwriting, make_scene, resized

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("split", "distortion"), [("train", 0), ("train", 0.6), ("test", 0)])
def test_scenes_are_a_function_of_their_number_and_boxes_hold_the_ink(kind, split, distortion):
    for index in range(20):
        scene, again = (make_scene(kind, split, 3, index, distortion=distortion) for _ in "ab")
        for one, other in zip(vars(scene).values(), vars(again).values(), strict=True):
            np.testing.assert_array_equal(one, other)
        low, high = KINDS[kind].digits
        assert 1 <= len(scene.labels) <= high
        assert kind != "captions" or len(scene.labels) == low
        assert (scene.boxes >= 0).all()
        assert (scene.boxes <= SIDE).all()
        covered = np.zeros_like(scene.mask)
        for box, label in zip(scene.boxes.astype(int), scene.labels, strict=True):
            part = scene.mask[box[1] : box[3], box[0] : box[2]]
            assert set(np.unique(part)) <= {0, label + 1}
            edges = part[0], part[-1], part[:, 0], part[:, -1]
            assert all(edge.any() for edge in edges)  # the box is tight
            covered[box[1] : box[3], box[0] : box[2]] += 1
        assert covered.max() == 1  # no digit meets another
        assert not scene.mask[covered == 0].any()
    assert not np.array_equal(scene.image, make_scene(kind, split, 4, index).image)


def drawn(*values):
    return SimpleNamespace(uniform=lambda *_: values)


def test_a_digit_is_turned_slanted_and_stretched_about_its_centre():
    ink = RNG.random((8, 8)).astype(np.float32)
    middle = distorted(ink, drawn(np.pi / 2, 0, 0), 0.5)[2:-2, 2:-2]
    np.testing.assert_allclose(middle, np.rot90(ink), atol=1e-5)
    bar = np.zeros((16, 16), np.float32)
    bar[2:14, 6:10] = 1
    slanted = distorted(bar, drawn(0, 0.5, 0), 0.5)
    columns = slanted @ np.arange(24) / np.maximum(slanted.sum(1), 1e-9)
    np.testing.assert_allclose(np.diff(columns[8:16]), -0.5, atol=0.01)
    wider = distorted(bar, drawn(0, 0, 2 * np.log(1.5)), 0.5)
    assert (wider[12].sum(), wider[:, 12].sum()) == pytest.approx((4 * 1.5, 12 / 1.5), abs=0.6)


def test_a_scene_is_drawn_anew_where_a_digit_has_no_room(monkeypatch):
    sizes = iter([SIDE, SIDE, *[24] * 9])
    monkeypatch.setattr("data.builtin.scenes.distorted", lambda ink, *_: resized(ink, next(sizes)))
    assert len(make_scene("captions", "train", 0, 0, distortion=1).labels) == 2
    assert len(list(sizes)) == 9 - 2


def test_training_scenes_have_no_digit_of_the_test_scenes(monkeypatch):
    inks, labels = handwriting()
    drawn = []

    class Recording(type(inks)):
        def __getitem__(self, number):
            drawn.append(number)
            return np.asarray(self)[number]

    monkeypatch.setattr("data.builtin.scenes.handwriting", lambda: (inks.view(Recording), labels))
    for split, inside in (("train", lambda n: n < 1437), ("test", lambda n: n >= 1437)):
        drawn.clear()
        for index in range(40):
            make_scene("detection", split, 0, index)
        assert len(set(drawn)) > 30
        assert all(inside(number) for number in drawn)


def test_captions_are_true_and_grammatical():
    for index in range(50):
        scene = make_scene("captions", "train", 0, index)
        facts = facts_of(scene.boxes, scene.labels, scene.colours)
        assert len(set(scene.captions)) == 8
        assert {parse(caption) for caption in scene.captions} == set(facts)
    words = {
        w
        for i in range(200)
        for c in make_scene("captions", "train", 0, i).captions
        for w in c.split()
    }
    assert words >= {*COLOURS, *NUMBERS, "above", "below", "left", "right"}
    assert len(words) < 40


def test_relations_of_boxes():
    boxes = np.array([[0, 0, 10, 10], [40, 5, 50, 15]], float)  # apart by 40 and 5 pixels
    facts = facts_of(boxes, np.array([3, 7]), np.array([0, 5]))
    assert facts == [
        ("a red three", "left of", "an orange seven"),
        ("an orange seven", "right of", "a red three"),
    ]


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "a red above a blue seven",
        "a red three above a blue seven seven",
        "an red one above a red two x",
    ],
)
def test_other_sentences_are_not_grammatical(caption):
    assert parse(caption) is None
