"""N-gram models in the form of ARPA files: a loop over the definition, there and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nets.language.backoff import from_backoff, to_backoff
from nets.language.kneser_ney import fit_kneser_ney, ngram_log_probs

V = 5


def slow_log_prob(levels, gram):
    """Recursive definition of a backoff model."""
    listed = [{tuple(g): i for i, g in enumerate(grams.tolist())} for grams, _, _ in levels]
    if gram in listed[len(gram) - 1]:
        return levels[len(gram) - 1][1][listed[len(gram) - 1][gram]]
    context = gram[:-1]
    place = listed[len(context) - 1].get(context)
    weight = 0.0 if place is None else levels[len(context) - 1][2][place]
    return weight + slow_log_prob(levels, gram[1:])


@settings(deadline=None, derandomize=True, max_examples=12)
@given(order=st.integers(1, 4), seed=st.integers(0, 99), start=st.sampled_from([None, 0]))
def test_the_lists_are_the_model_and_come_back(order, seed, start):
    rng = np.random.default_rng(seed)
    sentences = [rng.integers(1, V - 1, rng.integers(3, 8)) for _ in range(9)]
    rows = [[*[0] * (order - 1), *sentence, 0] for sentence in sentences]
    if start is None:
        rows = [np.concatenate(rows)]
    grams = [row[i : i + order] for row in rows for i in range(len(row) - order + 1)]
    model = fit_kneser_ney(np.array(grams), V, start)
    levels = to_backoff(model)
    for k in range(1, order):  # every n-gram extends a listed context
        contexts = {tuple(row) for row in levels[k - 1][0].tolist()}
        assert {tuple(row[:-1]) for row in levels[k][0].tolist()} <= contexts
    queries = np.indices((V,) * order).reshape(order, -1).T
    expected = ngram_log_probs(model, queries)
    slow = [slow_log_prob(levels, tuple(gram)) for gram in queries.tolist()]
    np.testing.assert_allclose(slow, expected, atol=1e-9)
    orders = [rng.permutation(len(grams)) for grams, _, _ in levels]
    mixed = [tuple(x[i] for x in level) for level, i in zip(levels, orders, strict=True)]
    again = from_backoff(mixed, V)
    np.testing.assert_allclose(ngram_log_probs(again, queries), expected, atol=1e-9)


def test_a_pruned_model_backs_off_through_contexts_without_ngrams():
    """The trigram's context "0 1" is in no bigram list, and "2 2" has a weight but no trigram."""
    half, third = np.log(0.5), np.log(1 / 3)
    levels = [
        (np.array([[2], [0], [1]]), np.full(3, third), np.array([half, 0.0, half])),
        (np.array([[2, 2]]), np.array([half]), np.array([third])),
        (np.array([[0, 1, 0]]), np.array([half]), np.zeros(1)),
    ]
    model = from_backoff(levels, 3)
    grams = np.indices((3, 3, 3)).reshape(3, -1).T
    expected = [slow_log_prob(levels, tuple(gram)) for gram in grams.tolist()]
    np.testing.assert_allclose(ngram_log_probs(model, grams), expected, atol=1e-12)


def test_lists_that_are_no_model_are_rejected():
    words = np.arange(2)[:, None], np.log([0.5, 0.5]), np.zeros(2)
    nothing = np.zeros((0, 2), int), np.zeros(0), np.zeros(0)
    with pytest.raises(ValueError, match="word 2 of 3 has no probability"):
        from_backoff([words], 3)
    with pytest.raises(ValueError, match="there are no 2-grams in a model of order 2"):
        from_backoff([words, nothing], 2)
