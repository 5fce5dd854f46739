"""Spans of tags, and scores of spans, worked out by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.sentences.schemes import LETTERS
from experiments.sentence.spans import Span, span_scores, spans_of
from tests.data.sentences.test_schemes import all_spans, encoded


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O O", []),
        ("B-X I-X O B-Y", [("X", 0, 2), ("Y", 3, 4)]),
        ("B-X B-X I-X", [("X", 0, 1), ("X", 1, 3)]),
        ("O I-X I-X O", [("X", 1, 3)]),  # I after O begins a span
        ("I-X I-Y B-Y", [("X", 0, 1), ("Y", 1, 2), ("Y", 2, 3)]),  # so does I of another type
        ("B-X I-Y I-X", [("X", 0, 1), ("Y", 1, 2), ("X", 2, 3)]),
        ("I B I O I", [("", 0, 1), ("", 1, 3), ("", 4, 5)]),
        ("", []),
        # as seqeval finds them
        ("S-X E-X I-X E-X E-X", [("X", 0, 1), ("X", 1, 2), ("X", 2, 4), ("X", 4, 5)]),
        (
            "B-X E-X I-Y S-X B-X O E-X",
            [(*x,) for x in [("X", 0, 2), ("Y", 2, 3), ("X", 3, 4), ("X", 4, 5), ("X", 6, 7)]],
        ),
        ("B-X L-X U-X U-X", [("X", 0, 2), ("X", 2, 3), ("X", 3, 4)]),
        ("B-X I-X NN NN", [("X", 0, 2), ("NN", 2, 4)]),
    ],
)
def test_spans_of_tags(tags, expected):
    assert spans_of(tags.split()) == [Span(*span) for span in expected]


@pytest.mark.parametrize("scheme", LETTERS)
def test_spans_come_back_from_the_tags_of_every_scheme(scheme):
    for spans in all_spans(4):
        assert [tuple(span) for span in spans_of(encoded(scheme, spans, 4))] == spans


def test_scores_of_a_case_by_hand():
    pairs = [
        # of a span of 4 words, the last 2 are predicted and one more word; the other span is exact
        (["B", "I", "I", "I", "O", "B", "O"], ["O", "O", "B", "I", "I", "B", "O"]),
        # two predicted spans in a span of 5 words; one predicted span elsewhere
        (["B", "I", "I", "I", "I", "O", "O"], ["B", "I", "O", "B", "O", "O", "B"]),
    ]
    scores = span_scores(pairs)
    # 3 true spans; 5 predicted ones of 3, 1, 2, 1 and 1 words
    assert scores["span_precision"] == pytest.approx(1 / 5)
    assert scores["span_recall"] == pytest.approx(1 / 3)
    assert scores["span_f1"] == pytest.approx(2 * 1 / (3 + 5))
    assert scores["binary_precision"] == pytest.approx(4 / 5)
    assert scores["binary_recall"] == 1
    assert scores["proportional_precision"] == pytest.approx((2 / 3 + 1 + 1 + 1 + 0) / 5)
    assert scores["proportional_recall"] == pytest.approx((2 / 4 + 1 + 3 / 5) / 3)
    p, r = scores["proportional_precision"], scores["proportional_recall"]
    assert scores["proportional_f1"] == pytest.approx(2 * p * r / (p + r))


def test_an_overlap_with_a_span_of_another_type_does_not_count():
    scores = span_scores([(["B-X", "I-X", "B-Y"], ["B-X", "I-Y", "I-Y"])])
    assert scores["span_f1"] == 0
    assert scores["binary_precision"] == scores["binary_recall"] == 1
    assert scores["proportional_recall"] == pytest.approx((1 / 2 + 1) / 2)
    scores = span_scores([(["B-X", "I-X"], ["B-Y", "I-Y"])])
    assert set(scores.values()) == {0.0}


def test_scores_of_no_spans_are_0():
    assert set(span_scores([(["O"], ["O"])]).values()) == {0.0}
    assert set(span_scores([(["O"], ["B"])]).values()) == {0.0}
    assert len(span_scores([])) == 9


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    st.lists(st.sampled_from(["O", "B-X", "I-X", "B-Y", "I-Y"]), min_size=1, max_size=9),
    st.data(),
)
def test_scores_increase_from_exact_to_binary(true, data):
    predicted = data.draw(st.permutations(true))
    scores = span_scores([(true, predicted)])
    for side in ("precision", "recall", "f1"):
        exact, proportional, binary = (
            scores[f"{name}_{side}"] for name in ("span", "proportional", "binary")
        )
        assert exact <= proportional + 1e-12
        assert proportional <= binary + 1e-12
    swapped = span_scores([(predicted, true)])
    assert swapped["proportional_precision"] == scores["proportional_recall"]
    if true != ["O"] * len(true):
        assert set(span_scores([(true, true)]).values()) == {1.0}
