"""Conditional random field: enumeration of all paths, invariance to padding, gradients."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nets.sentence.linear_crf import (
    FORBIDDEN,
    Chain,
    log_partition,
    log_prob,
    marginals,
    path_score,
    viterbi,
)
from tests.nets.recurrent.networks import quick_jit

B, T, K = 4, 4, 3
LENGTHS = np.array([4, 2, 1, 0], np.int32)
VALID = np.arange(T) < LENGTHS[:, None]


def random_chain(seed, scale=2.0):
    rng = np.random.default_rng(seed)
    shapes = ((B, T, K), (K, K), K, K)
    return Chain(*(rng.normal(0, scale, shape).astype(np.float32) for shape in shapes))


def with_nan(chain):
    return chain._replace(emissions=np.where(VALID[..., None], chain.emissions, np.nan))


def scores_of(chain, row, length):
    """Score of every path over the first `length` steps of a row, in float64."""
    scores = {}
    for path in itertools.product(range(K), repeat=int(length)):
        score = sum(np.float64(chain.emissions[row, t, tag]) for t, tag in enumerate(path))
        for before, after in itertools.pairwise(path):
            score += np.float64(chain.transitions[before, after])
        if path:
            score += np.float64(chain.start[path[0]]) + np.float64(chain.end[path[-1]])
        scores[path] = score
    return scores


def enumerated(chain):
    """log Z, marginals, best paths and their scores for all rows."""
    log_z, probabilities, best, best_scores = [], np.zeros((B, T, K)), np.zeros((B, T), int), []
    for row, length in enumerate(LENGTHS):
        scores = scores_of(chain, row, length)
        log_z.append(np.logaddexp.reduce(list(scores.values())))
        for path, score in scores.items():
            for t, tag in enumerate(path):
                probabilities[row, t, tag] += np.exp(score - log_z[-1])
        path = max(scores, key=scores.get)
        best[row, : len(path)] = path
        best_scores.append(scores[path])
    return np.array(log_z), probabilities, best, np.array(best_scores)


@quick_jit
def everything(chain, tags, lengths):
    return {
        "log_z": log_partition(chain, lengths),
        "marginals": marginals(chain, lengths),
        "best": viterbi(chain, lengths),
        "score": path_score(chain, tags, lengths),
        "log_prob": log_prob(chain, tags, lengths),
        "gradient": jax.grad(lambda c: log_prob(c, tags, lengths).sum())(chain),
    }


def check(result, chain):
    log_z, probabilities, best, best_scores = enumerated(chain)
    np.testing.assert_allclose(result["log_z"], log_z, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(result["marginals"], probabilities, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(result["best"][0], best)
    np.testing.assert_allclose(result["best"][1], best_scores, rtol=1e-5, atol=1e-5)


# scale 2 takes the product; 40 has a large spread and takes the sums
@settings(deadline=None, derandomize=True, max_examples=10)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([2.0, 40.0]))
def test_every_function_matches_the_enumeration(seed, scale):
    chain = random_chain(seed, scale)
    tags = np.random.default_rng(seed).integers(0, K, (B, T))
    result = everything(with_nan(chain), np.where(VALID, tags, 99), LENGTHS)
    check(result, chain)
    for row, length in enumerate(LENGTHS):
        scores = scores_of(chain, row, length)
        score = scores[tuple(tags[row, :length].tolist())]
        np.testing.assert_allclose(result["score"][row], score, rtol=1e-5, atol=1e-5)
        expected = score - np.logaddexp.reduce(list(scores.values()))
        np.testing.assert_allclose(result["log_prob"][row], expected, rtol=1e-4, atol=1e-4)
    assert result["best"][0].dtype == np.int32
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result["gradient"]))
    assert not result["gradient"].emissions[~VALID].any()


def test_a_chain_without_transitions_equals_one_with_zeros():
    chain, tags = random_chain(1), np.random.default_rng(1).integers(0, K, (B, T))
    zeros = np.zeros((K, K), np.float32)
    expected = everything(with_nan(chain)._replace(transitions=zeros), tags, LENGTHS)
    result = everything(with_nan(chain)._replace(transitions=None), tags, LENGTHS)
    for name in ("log_z", "marginals", "score", "log_prob"):
        np.testing.assert_allclose(result[name], expected[name], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(result["best"][0], expected["best"][0])
    np.testing.assert_allclose(
        result["gradient"].emissions, expected["gradient"].emissions, rtol=1e-4, atol=1e-6
    )
    emissions_only = Chain(chain.emissions, zeros, zeros[0], zeros[0])
    check(everything(Chain(chain.emissions), tags, LENGTHS), emissions_only)


def test_gradients_match_numerical_ones():
    """d log P / d potentials along random directions, by central differences in x64."""
    tags = np.random.default_rng(3).integers(0, K, (B, T))
    with jax.enable_x64(True):
        chain = Chain(*(np.asarray(leaf, np.float64) for leaf in random_chain(3)))
        far = Chain(*(30 * leaf for leaf in chain))  # takes the sums
        run = quick_jit(jax.value_and_grad(lambda c: log_prob(c, tags, LENGTHS).sum()))
        for point, seed in ((chain, 0), (chain, 1), (far, 2)):
            rng = np.random.default_rng(seed)
            direction = Chain(*(rng.normal(size=leaf.shape) for leaf in point))
            plus, minus = (
                run(jax.tree.map(lambda a, d, s=s: a + s * 1e-5 * d, point, direction))[0]
                for s in (1, -1)
            )
            slopes = jax.tree.map(lambda g, d: np.sum(np.asarray(g) * d), run(point)[1], direction)
            np.testing.assert_allclose(sum(slopes), (plus - minus) / 2e-5, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("forbidden", [-np.inf, FORBIDDEN])
def test_forbidden_potentials_have_no_probability_and_finite_gradients(forbidden):
    chain = random_chain(4)
    transitions, start = chain.transitions.copy(), chain.start.copy()
    transitions[0, 2] = transitions[1, 0] = start[2] = forbidden
    chain = chain._replace(transitions=transitions, start=start)
    tags = np.array([[0, 1, 1, 2], [0, 2, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0]])
    result = everything(with_nan(chain), tags, LENGTHS)
    check(result, chain)
    assert (result["log_prob"] < FORBIDDEN / 2).tolist() == [False, True, True, False]
    assert np.isfinite(result["log_prob"]).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result["gradient"]))
    assert not result["marginals"][:, 0, 2].any()
    # emissions that favour the forbidden transition by more nats than exp can represent in float32
    emissions = np.zeros((B, T, K), np.float32)
    emissions[:, 0, 0] = emissions[:, 1, 2] = 200
    result = everything(chain._replace(emissions=emissions), tags, LENGTHS)
    check(result, chain._replace(emissions=emissions))


def test_values_stay_finite_where_every_path_is_forbidden():
    chain = random_chain(6)._replace(transitions=np.full((K, K), -np.inf, np.float32))
    result = everything(chain, np.zeros((B, T), int), LENGTHS)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result))
    assert (result["log_z"] < FORBIDDEN / 2).tolist() == [True, True, False, False]


def test_bfloat16_potentials_are_summed_in_float32():
    chain = Chain(*(jnp.asarray(leaf, jnp.bfloat16) for leaf in random_chain(5)))
    result = jax.eval_shape(everything, chain, np.zeros((B, T), int), LENGTHS)
    for name in ("log_z", "marginals", "score", "log_prob"):
        assert result[name].dtype == np.float32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"emissions": np.zeros((B, K))}, r"must be \[batch, time, tags\], .* got \(4, 3\)"),
        ({"emissions": np.zeros((B, 0, K))}, r"time 1 or more, got \(4, 0, 3\)"),
        ({"transitions": np.zeros((K, 2))}, r"transitions must have shape \(3, 3\), got \(3, 2\)"),
        ({"start": np.zeros(4)}, r"start must have shape \(3,\), got \(4,\)"),
        ({"end": np.zeros(4)}, r"end must have shape \(3,\), got \(4,\)"),
    ],
)
def test_mismatched_potentials_are_rejected(changes, message):
    with pytest.raises(ValueError, match=message):
        log_partition(random_chain(0)._replace(**changes), LENGTHS)


def test_mismatched_tags_and_lengths_are_rejected():
    chain = random_chain(0)
    with pytest.raises(ValueError, match=r"tags must be integers of shape \(4, 4\), got"):
        jax.eval_shape(path_score, chain, np.zeros((B, T - 1), int), LENGTHS)
    with pytest.raises(ValueError, match=r"tags must be integers.* got float32"):
        jax.eval_shape(path_score, chain, np.zeros((B, T)), LENGTHS)
    with pytest.raises(ValueError, match="lengths must be from 0 to 4"):
        viterbi(chain, LENGTHS + 1)


@pytest.mark.parametrize("wrong", [-1, 3])
def test_tags_outside_the_range_are_refused_but_not_in_the_padding(wrong):
    chain = Chain(jnp.zeros((1, 3, 3)), jnp.zeros((3, 3)))
    with pytest.raises(ValueError, match=rf"tags must be from 0 to 2, got .*{wrong}"):
        path_score(chain, np.array([[0, wrong, 1]]), np.array([3]))
    assert float(path_score(chain, np.array([[0, 1, wrong]]), np.array([2]))[0]) == 0
