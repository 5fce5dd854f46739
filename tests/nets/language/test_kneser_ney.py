"""Kneser-Ney smoothing: the published formula with dictionaries, probabilities that sum to 1."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nets.language.kneser_ney import (
    discounts,
    fit_kneser_ney,
    ngram_log_probs,
    ngram_table,
    table_step,
)

V = 7
quick = settings(deadline=None, derandomize=True, max_examples=15)


def random_text(seed, length=150):
    """Random word ids; some words are rare, and the last one does not occur."""
    weights = np.array([9, 6, 4, 2, 1, 0.3, 0])
    return np.random.default_rng(seed).choice(V, length, p=weights / weights.sum())


def grams_of(text, order):
    return np.array([text[i : i + order] for i in range(len(text) - order + 1)])


def slow_discounts(counts):
    n = Counter(counts.values())
    if not (n[1] and n[2] and n[3]):
        return [0.5, 1.0, 1.5]
    y = n[1] / (n[1] + 2 * n[2])
    d1, d2, d3 = 1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3]
    usable = min(d1, d2, d3) > 1e-9 and 1e-9 < 1 - d1 < 2 - d2 - 1e-9 < 3 - d3 - 2e-9
    return [d1, d2, d3] if usable else [0.5, 1.0, 1.5]


class Slow:
    """Equations of Chen and Goodman, one word at a time.

    start: the word before the first one of a sentence, as in lmplz: k-grams with two of them are
    none, and those that begin with one are counted as often as they occur.
    """

    def __init__(self, grams, start=None):
        grams = [tuple(gram) for gram in grams.tolist()]
        order = len(grams[0])
        self.counts = {}
        for k in range(order, 0, -1):
            own = [gram[-k:] for gram in grams if k < 3 or gram[1 - k] != start]
            begun = Counter(gram for gram in own if k == order or (k > 1 and gram[0] == start))
            longer = {gram[-k - 1 :] for gram in grams if k < 2 or gram[-k] != start}
            distinct = Counter(gram[1:] for gram in longer if k < order)
            self.counts[k] = begun + distinct
        self.discounts = {k: slow_discounts(counts) for k, counts in self.counts.items()}

    def p(self, context, word):
        k = len(context) + 1
        lower = self.p(context[1:], word) if context else 1 / V
        follows = {g[-1]: c for g, c in self.counts[k].items() if g[:-1] == context}
        if not follows:
            return lower
        d1, d2, d3 = self.discounts[k]
        c = follows.get(word, 0)
        discounted = c - (0, d1, d2, d3)[min(c, 3)]
        sizes = [sum(c == 1 for c in follows.values()), sum(c == 2 for c in follows.values())]
        mass = d1 * sizes[0] + d2 * sizes[1] + d3 * (len(follows) - sum(sizes))
        return (discounted + mass * lower) / sum(follows.values())


@quick
@given(order=st.integers(1, 4), seed=st.integers(0, 99), length=st.integers(5, 150))
def test_probabilities_match_the_published_formula(order, seed, length):
    grams = grams_of(random_text(seed, length), order)
    model, slow = fit_kneser_ney(grams, V), Slow(grams)
    for k, level in enumerate(model.orders, 1):
        np.testing.assert_allclose(level.discounts, slow.discounts[k], atol=1e-12)
    queries = np.concatenate([grams[:10], np.random.default_rng(seed).integers(0, V, (20, order))])
    expected = [math.log(slow.p(tuple(gram[:-1]), gram[-1])) for gram in queries.tolist()]
    np.testing.assert_allclose(ngram_log_probs(model, queries), expected, atol=1e-12)


@quick
@given(order=st.integers(1, 4), seed=st.integers(0, 99), lines=st.integers(4, 30))
def test_sentences_begin_at_their_start(order, seed, lines):
    rng = np.random.default_rng(seed)
    sentences = [random_text(seed + i, rng.integers(3, 9)) % (V - 1) + 1 for i in range(lines)]
    padded = [[*[0] * (order - 1), *sentence, 0] for sentence in sentences]
    grams = np.concatenate([grams_of(row, order) for row in padded])
    model, slow = fit_kneser_ney(grams, V, start=0), Slow(grams, start=0)
    for k, level in enumerate(model.orders, 1):
        np.testing.assert_allclose(level.discounts, slow.discounts[k], atol=1e-12)
        assert len(level.grams) == len(slow.counts[k])
    expected = [math.log(slow.p(tuple(gram[:-1]), gram[-1])) for gram in grams[:20].tolist()]
    np.testing.assert_allclose(ngram_log_probs(model, grams[:20]), expected, atol=1e-12)
    first = np.array([[*[0] * (order - 1), word] for word in range(V)])
    assert np.exp(ngram_log_probs(model, first)).sum() == pytest.approx(1)


def test_starts_by_hand():
    # <s> 1 </s> and <s> 2 1 </s>: before 1 are <s> and 2, before 2 is <s>, before </s> is 1
    grams = np.array([[0, 0, 1], [0, 1, 0], [0, 0, 2], [0, 2, 1], [2, 1, 0]])
    model = fit_kneser_ney(grams, 3, start=0)
    unigram = np.array([0.5, 1.0, 0.5]) / 4 + (0.5 + 1 + 0.5) / 4 / 3
    start = np.array([0, 0.5, 0.5]) / 2 + 0.5 * unigram  # <s> 1 and <s> 2 occur once
    actual = np.exp(ngram_log_probs(model, np.array([[0, 0, 0], [0, 0, 1], [0, 0, 2]])))
    np.testing.assert_allclose(actual, start)
    with pytest.raises(ValueError, match="no sentence has 3 words: an order of 4 is too high"):
        fit_kneser_ney(np.array([[0, 0, 0, 1], [0, 0, 1, 0]]), 2, start=0)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_every_context_has_probabilities_that_sum_to_one(order):
    model = fit_kneser_ney(grams_of(random_text(0), order), V)
    grams = np.indices((V,) * order).reshape(order, -1).T
    assert (grams[::V, -1] == 0).all()  # the last word varies fastest: V rows for each context
    probabilities = np.exp(ngram_log_probs(model, grams)).reshape(-1, V)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)
    assert probabilities.min() > 0


def test_a_bigram_model_by_hand():
    # 0 1 0 1 0 2 has 01 twice, 10 twice, 02 once; 0 is preceded by 1 only, 1 and 2 by 0 only
    model = fit_kneser_ney(grams_of(np.array([0, 1, 0, 1, 0, 2]), 2), 3)
    assert [level.discounts.tolist() for level in model.orders] == [[0.5, 1.0, 1.5]] * 2
    unigram = (1 - 0.5) / 3 + 1.5 / 3 * 1 / 3  # equal for all three
    expected = [(2 - 1) / 3 + (1 + 0.5) / 3 * unigram, (1 - 0.5) / 3 + 1.5 / 3 * unigram, unigram]
    actual = np.exp(ngram_log_probs(model, np.array([[0, 1], [0, 2], [2, 0]])))
    np.testing.assert_allclose(actual, expected)


def test_discounts_of_known_counts_of_counts():
    # n = 8, 4, 2, 1: Y = 8 / 16
    counts = np.repeat([1, 2, 3, 4, 9], [8, 4, 2, 1, 5])
    expected = [1 - 2 * 0.5 * 4 / 8, 2 - 3 * 0.5 * 2 / 4, 3 - 4 * 0.5 * 1 / 2]
    np.testing.assert_allclose(discounts(counts), expected)


@pytest.mark.parametrize(
    "counts",
    [
        [2, 2, 3, 4],
        [1, 3, 3, 4],
        [1, 1, 2, 2],
        [1, 2, *[3] * 9],  # D2 would be negative
        [1, 1, 1, 1, 2, 3],  # D2 would be 0 and leave no mass for unseen words
        [3, 2, 1, 1],  # D3 would be 3: what occurs three times would be like what never occurs
        [1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3],  # D3 would be 3
        [*[1] * 9, *[2] * 2, *[3] * 3, 4],  # D2 negative
    ],
)
def test_fallback_discounts(counts):
    assert discounts(np.array(counts)).tolist() == [0.5, 1.0, 1.5]


def test_what_discounts_leave_of_a_count_rises_with_it():
    for n in np.ndindex(5, 4, 4, 4):
        d = discounts(np.repeat([1, 2, 3, 4], n))
        assert min(d) > 0
        assert 0 < 1 - d[0] < 2 - d[1] < 3 - d[2]


def test_a_word_seen_three_times_is_more_probable_than_an_unseen_one():
    model = fit_kneser_ney(np.repeat([0, 1, 2, 3], [3, 2, 1, 1])[:, None], 5)
    p = np.exp(ngram_log_probs(model, np.arange(5)[:, None]))
    assert p[0] > p[1] > p[2] == p[3] > p[4]


def test_unusable_ngrams_are_rejected():
    model = fit_kneser_ney(grams_of(random_text(0), 2), V)
    for grams, message in (
        (np.zeros((0, 2), int), r"no n-grams to count, got shape \(0, 2\)"),
        (np.zeros((4, 0), int), r"n at least 1, got \(4, 0\)"),
        (np.array([[0, V]]), r"0 \.\. 6, got 0 \.\. 7"),
    ):
        with pytest.raises(ValueError, match=message):
            fit_kneser_ney(grams, V)
    with pytest.raises(ValueError, match=r"order 2 needs n-grams of that length, got \(1, 3\)"):
        ngram_log_probs(model, np.zeros((1, 3), int))


@pytest.mark.parametrize("order", [1, 2, 4])
def test_table_steps_along_a_text_match_the_model(order):
    rng = np.random.default_rng(0)
    symbols = 5
    grams = rng.integers(0, symbols, (400, order))
    model = fit_kneser_ney(grams, symbols)
    table = ngram_table(model)
    assert table.shape == (symbols ** (order - 1), symbols)
    np.testing.assert_allclose(np.exp(table).sum(axis=1), 1, rtol=1e-5)
    text = [0, *rng.integers(0, symbols, 7)]
    carry = np.zeros(1, np.int32)
    for position, token in enumerate(text):
        logits, carry = table_step(table, np.array([token]), carry)
        context = [*[0] * order, *text[: position + 1]][position + 2 :]
        queries = np.array([[*context, symbol] for symbol in range(symbols)])
        np.testing.assert_allclose(logits[0], ngram_log_probs(model, queries), rtol=1e-5)


def test_a_table_that_is_too_large_is_rejected():
    model = fit_kneser_ney(np.zeros((3, 6), int), 30)
    message = "6-grams of 30 symbols has 729000000 entries, more than 16777216"
    with pytest.raises(ValueError, match=message):
        ngram_table(model)
