"""Edit distance equals the recursive definition and is a metric; rates are over a corpus."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.lines.error_rate import edit_distance, error_rate

TEXTS = st.text("abc", max_size=5)


@cache
def slow(a, b):
    if not a or not b:
        return len(a) + len(b)
    same = slow(a[1:], b[1:]) + (a[0] != b[0])
    return min(same, slow(a[1:], b) + 1, slow(a, b[1:]) + 1)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(TEXTS, TEXTS, TEXTS)
def test_distance_is_the_recursive_one_and_a_metric(a, b, c):
    assert edit_distance(a, b) == slow(a, b) == edit_distance(list(b), list(a))
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)
    assert (edit_distance(a, b) == 0) == (a == b)


def test_rates_are_of_the_corpus_by_character_and_by_word():
    assert edit_distance("kitten", "sitting") == 3
    pairs = [("the cat", "the hat"), ("a", "a dog"), ("", "x")]
    assert error_rate(pairs) == pytest.approx((1 + 4 + 1) / 8)
    words = [(a.split(), b.split()) for a, b in pairs]
    assert error_rate(words) == pytest.approx((1 + 1 + 1) / 3)
    assert error_rate([("", "ab")]) == 2  # nothing to divide by
