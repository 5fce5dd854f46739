import numpy as np
import pytest

from data.builtin.captions import COLOURS, NUMBERS, facts_of, parse
from data.builtin.scenes import KINDS, SIDE, handwriting, make_scene


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_scenes_are_a_function_of_their_number_and_boxes_hold_the_ink(kind, split):
    for index in range(20):
        scene, again = (make_scene(kind, split, 3, index) for _ in range(2))
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
