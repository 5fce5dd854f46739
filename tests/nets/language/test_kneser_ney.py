"""Kneser-Ney smoothing: the published formula by dictionaries, and probabilities that sum to 1."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nets.language import kneser_ney

V = 7
quick = settings(deadline=None, derandomize=True, max_examples=15)


def text_of(seed, length=150):
    """Words of which some are rare and the last one does not occur."""
    odds = np.array([9, 6, 4, 2, 1, 0.3, 0])
    return np.random.default_rng(seed).choice(V, length, p=odds / odds.sum())


def grams_of(text, order):
    return np.array([text[i : i + order] for i in range(len(text) - order + 1)])


def slow_discounts(counts):
    n = Counter(counts.values())
    if not (n[1] and n[2] and n[3]):
        return [0.5, 1.0, 1.5]
    y = n[1] / (n[1] + 2 * n[2])
    found = [1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3]]
    return found if min(found) > 1e-9 else [0.5, 1.0, 1.5]


class Slow:
    """Equations of Chen and Goodman, a word at a time."""

    def __init__(self, grams):
        grams = [tuple(gram) for gram in grams.tolist()]
        self.counts = {len(grams[0]): Counter(grams)}
        for k in range(len(grams[0]) - 1, 0, -1):
            before = {gram[-k - 1 :] for gram in grams}
            self.counts[k] = Counter(gram[1:] for gram in before)
        self.discounts = {k: slow_discounts(counts) for k, counts in self.counts.items()}

    def p(self, context, word):
        k = len(context) + 1
        lower = self.p(context[1:], word) if context else 1 / V
        follows = {g[-1]: c for g, c in self.counts[k].items() if g[:-1] == context}
        if not follows:
            return lower
        d1, d2, d3 = self.discounts[k]
        c = follows.get(word, 0)
        kept = c - (0, d1, d2, d3)[min(c, 3)]
        sizes = [sum(c == 1 for c in follows.values()), sum(c == 2 for c in follows.values())]
        mass = d1 * sizes[0] + d2 * sizes[1] + d3 * (len(follows) - sum(sizes))
        return (kept + mass * lower) / sum(follows.values())


@quick
@given(order=st.integers(1, 4), seed=st.integers(0, 99), length=st.integers(5, 150))
def test_probabilities_are_those_of_the_published_formula(order, seed, length):
    grams = grams_of(text_of(seed, length), order)
    model, slow = kneser_ney.fit(grams, V), Slow(grams)
    for k, level in enumerate(model.orders, 1):
        np.testing.assert_allclose(level.discounts, slow.discounts[k], atol=1e-12)
    asked = np.concatenate([grams[:10], np.random.default_rng(seed).integers(0, V, (20, order))])
    expected = [math.log(slow.p(tuple(gram[:-1]), gram[-1])) for gram in asked.tolist()]
    np.testing.assert_allclose(kneser_ney.log_probs(model, asked), expected, atol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_every_context_has_probabilities_that_sum_to_one(order):
    model = kneser_ney.fit(grams_of(text_of(0), order), V)
    every = np.indices((V,) * order).reshape(order, -1).T
    assert (every[::V, -1] == 0).all()  # the last word changes first: a context is V rows
    odds = np.exp(kneser_ney.log_probs(model, every)).reshape(-1, V)
    np.testing.assert_allclose(odds.sum(axis=1), 1, atol=1e-12)
    assert odds.min() > 0


def test_a_bigram_model_by_hand():
    # of 0 1 0 1 0 2: 01 twice, 10 twice, 02 once; before 0 stands 1, before 1 and 2 stands 0
    model = kneser_ney.fit(grams_of(np.array([0, 1, 0, 1, 0, 2]), 2), 3)
    assert [level.discounts.tolist() for level in model.orders] == [[0.5, 1.0, 1.5]] * 2
    unigram = (1 - 0.5) / 3 + 1.5 / 3 * 1 / 3  # the same for all three
    expected = [(2 - 1) / 3 + (1 + 0.5) / 3 * unigram, (1 - 0.5) / 3 + 1.5 / 3 * unigram, unigram]
    found = np.exp(kneser_ney.log_probs(model, np.array([[0, 1], [0, 2], [2, 0]])))
    np.testing.assert_allclose(found, expected)


def test_discounts_of_known_counts_of_counts():
    # n = 8, 4, 2, 1: Y = 8 / 16
    counts = np.repeat([1, 2, 3, 4, 9], [8, 4, 2, 1, 5])
    expected = [1 - 2 * 0.5 * 4 / 8, 2 - 3 * 0.5 * 2 / 4, 3 - 4 * 0.5 * 1 / 2]
    np.testing.assert_allclose(kneser_ney.discounts(counts), expected)


@pytest.mark.parametrize(
    "counts",
    [
        [2, 2, 3, 4],
        [1, 3, 3, 4],
        [1, 1, 2, 2],
        [1, 2, *[3] * 9],  # D2 would be negative
        [1, 1, 1, 1, 2, 3],  # D2 would be 0, and leave nothing for what was not seen
    ],
)
def test_discounts_that_the_counts_do_not_give(counts):
    assert kneser_ney.discounts(np.array(counts)).tolist() == [0.5, 1.0, 1.5]


def test_what_cannot_be_used_is_named():
    model = kneser_ney.fit(grams_of(text_of(0), 2), V)
    for grams, words in (
        (np.zeros((0, 2), int), r"no n-grams to count, got shape \(0, 2\)"),
        (np.zeros((4, 0), int), r"n at least 1, got \(4, 0\)"),
        (np.array([[0, V]]), r"0 \.\. 6, got 0 \.\. 7"),
    ):
        with pytest.raises(ValueError, match=words):
            kneser_ney.fit(grams, V)
    with pytest.raises(ValueError, match=r"order 2 needs as many words in a row, got \(1, 3\)"):
        kneser_ney.log_probs(model, np.zeros((1, 3), int))
