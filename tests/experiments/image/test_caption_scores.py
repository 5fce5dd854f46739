"""Scores of captions: BLEU and CIDEr-D with known values, and statements about scenes."""

import pytest

from experiments.image.caption_scores import baselines, bleu_scores, caption_scores
from experiments.image.cider import cider_d, cider_d_each

REFERENCES = [
    ["a red three above a blue seven", "a blue seven below a red three"],
    ["a green one left of a white four"],
]
ANSWERS = [
    "a red three below a blue seven",
    "a green one left of a green one left of a white four",
]
PERFECT = [references[0] for references in REFERENCES]


def test_scores_of_two_images():
    # values of the evaluation code of COCO
    expected = {"bleu1": 0.75, "bleu2": 0.70711, "bleu3": 0.62996, "bleu4": 0.54663}
    assert bleu_scores(ANSWERS, REFERENCES) == pytest.approx(expected, abs=1e-5)
    assert cider_d(ANSWERS, REFERENCES) == pytest.approx(4.5609, abs=1e-4)
    assert cider_d(PERFECT, REFERENCES) == pytest.approx(8.667, abs=1e-3)
    assert cider_d_each(PERFECT, REFERENCES)[1] == pytest.approx(10)


def test_one_image_alone_has_no_cider_d():
    assert cider_d(PERFECT[:1], REFERENCES[:1]) == 0


def test_lengths_and_empty_captions():
    references = [["a b c"], ["d e f"]]
    assert cider_d_each(["", "d e f"], references)[0] == 0
    assert cider_d(["a b c a b c", "d e f"], references) < cider_d(["a b c", "d e f"], references)


def test_what_captions_of_scenes_say():
    facts = [
        [("a red three", "above", "a blue seven"), ("a blue seven", "below", "a red three")],
        [("a green one", "left of", "a white four")],
        [("a green one", "left of", "a white four")],
    ]
    answers = ["there is a blue seven below a red three", "a green one above a white four", "a one"]
    references = [*REFERENCES, REFERENCES[1]]
    scores = caption_scores(answers, references, facts)
    assert scores["grammatical"] == pytest.approx(2 / 3)
    assert scores["true"] == pytest.approx(1 / 3)
    assert "true" not in caption_scores(answers, references)


def test_baselines():
    known = [["a man", "a cat sleeps"], ["a man rides"], ["dogs run"]]
    found = baselines(REFERENCES, PERFECT, known)
    assert found["constant"] == ["a man"] * 2
    assert found["neighbour"] == PERFECT
    assert found["other"] == [REFERENCES[1][0], REFERENCES[0][0]]
