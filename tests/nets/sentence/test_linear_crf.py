"""Conditional random field: every path written down, padding that changes nothing, gradients."""

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
REAL = np.arange(T) < LENGTHS[:, None]


def random_chain(seed, scale=2.0):
    rng = np.random.default_rng(seed)
    shapes = ((B, T, K), (K, K), K, K)
    return Chain(*(rng.normal(0, scale, shape).astype(np.float32) for shape in shapes))


def with_nan(chain):
    return chain._replace(emissions=np.where(REAL[..., None], chain.emissions, np.nan))


def scores_of(chain, row, length):
    """Score of every path of the first steps of a row, in numpy's float64."""
    found = {}
    for path in itertools.product(range(K), repeat=int(length)):
        score = sum(np.float64(chain.emissions[row, t, tag]) for t, tag in enumerate(path))
        for before, after in itertools.pairwise(path):
            score += np.float64(chain.transitions[before, after])
        if path:
            score += np.float64(chain.start[path[0]]) + np.float64(chain.end[path[-1]])
        found[path] = score
    return found


def enumerated(chain):
    """log Z, marginals, best paths and their scores of all rows."""
    sums, shares, best, top = [], np.zeros((B, T, K)), np.zeros((B, T), int), []
    for row, length in enumerate(LENGTHS):
        scores = scores_of(chain, row, length)
        sums.append(np.logaddexp.reduce(list(scores.values())))
        for path, score in scores.items():
            for t, tag in enumerate(path):
                shares[row, t, tag] += np.exp(score - sums[-1])
        path = max(scores, key=scores.get)
        best[row, : len(path)] = path
        top.append(scores[path])
    return np.array(sums), shares, best, np.array(top)


@quick_jit
def everything(chain, tags, lengths):
    return {
        "sums": log_partition(chain, lengths),
        "shares": marginals(chain, lengths),
        "best": viterbi(chain, lengths),
        "score": path_score(chain, tags, lengths),
        "log_prob": log_prob(chain, tags, lengths),
        "gradient": jax.grad(lambda c: log_prob(c, tags, lengths).sum())(chain),
    }


def check(found, chain):
    sums, shares, best, top = enumerated(chain)
    np.testing.assert_allclose(found["sums"], sums, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found["shares"], shares, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found["best"][0], best)
    np.testing.assert_allclose(found["best"][1], top, rtol=1e-5, atol=1e-5)


# 2: all sums are products; 40: far apart, sum by sum
@settings(deadline=None, derandomize=True, max_examples=10)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([2.0, 40.0]))
def test_every_function_is_its_enumeration(seed, scale):
    chain = random_chain(seed, scale)
    tags = np.random.default_rng(seed).integers(0, K, (B, T))
    found = everything(with_nan(chain), np.where(REAL, tags, 99), LENGTHS)
    check(found, chain)
    for row, length in enumerate(LENGTHS):
        scores = scores_of(chain, row, length)
        own = scores[tuple(tags[row, :length].tolist())]
        np.testing.assert_allclose(found["score"][row], own, rtol=1e-5, atol=1e-5)
        wanted = own - np.logaddexp.reduce(list(scores.values()))
        np.testing.assert_allclose(found["log_prob"][row], wanted, rtol=1e-4, atol=1e-4)
    assert found["best"][0].dtype == np.int32
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found["gradient"]))
    assert not found["gradient"].emissions[~REAL].any()


def test_a_chain_without_transitions_is_one_of_zeros():
    chain, tags = random_chain(1), np.random.default_rng(1).integers(0, K, (B, T))
    zeros = np.zeros((K, K), np.float32)
    wanted = everything(with_nan(chain)._replace(transitions=zeros), tags, LENGTHS)
    found = everything(with_nan(chain)._replace(transitions=None), tags, LENGTHS)
    for name in ("sums", "shares", "score", "log_prob"):
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found["best"][0], wanted["best"][0])
    np.testing.assert_allclose(
        found["gradient"].emissions, wanted["gradient"].emissions, rtol=1e-4, atol=1e-6
    )
    nothing = Chain(chain.emissions, zeros, zeros[0], zeros[0])
    check(everything(Chain(chain.emissions), tags, LENGTHS), nothing)


def test_gradients_are_the_numerical_ones():
    """d log P / d potentials along random directions, by central differences in x64."""
    tags = np.random.default_rng(3).integers(0, K, (B, T))
    with jax.enable_x64(True):
        chain = Chain(*(jnp.asarray(leaf, jnp.float64) for leaf in random_chain(3)))
        far = Chain(*(30 * leaf for leaf in chain))  # sum by sum
        run = quick_jit(jax.value_and_grad(lambda c: log_prob(c, tags, LENGTHS).sum()))
        for point, seed in ((chain, 0), (chain, 1), (far, 2)):
            rng = np.random.default_rng(seed)
            way = Chain(*(rng.normal(size=leaf.shape) for leaf in point))
            ahead, behind = (
                run(jax.tree.map(lambda a, d, s=s: a + s * 1e-5 * d, point, way))[0]
                for s in (1, -1)
            )
            slopes = jax.tree.map(lambda g, d: (g * d).sum(), run(point)[1], way)
            np.testing.assert_allclose(sum(slopes), (ahead - behind) / 2e-5, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("forbidden", [-np.inf, FORBIDDEN])
def test_what_is_forbidden_has_no_probability_and_finite_gradients(forbidden):
    chain = random_chain(4)
    transitions, start = chain.transitions.copy(), chain.start.copy()
    transitions[0, 2] = transitions[1, 0] = start[2] = forbidden
    chain = chain._replace(transitions=transitions, start=start)
    tags = np.array([[0, 1, 1, 2], [0, 2, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0]])
    found = everything(with_nan(chain), tags, LENGTHS)
    check(found, chain)
    assert (found["log_prob"] < FORBIDDEN / 2).tolist() == [False, True, True, False]
    assert np.isfinite(found["log_prob"]).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found["gradient"]))
    assert not found["shares"][:, 0, 2].any()
    # emissions that call for the forbidden step by far more than float32 has nats for
    emissions = np.zeros((B, T, K), np.float32)
    emissions[:, 0, 0] = emissions[:, 1, 2] = 200
    found = everything(chain._replace(emissions=emissions), tags, LENGTHS)
    check(found, chain._replace(emissions=emissions))


def test_where_all_is_forbidden_values_stay_finite():
    chain = random_chain(6)._replace(transitions=np.full((K, K), -np.inf, np.float32))
    found = everything(chain, np.zeros((B, T), int), LENGTHS)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
    assert (found["sums"] < FORBIDDEN / 2).tolist() == [True, True, False, False]


def test_bfloat16_potentials_are_summed_in_float32():
    chain = Chain(*(jnp.asarray(leaf, jnp.bfloat16) for leaf in random_chain(5)))
    found = jax.eval_shape(everything, chain, np.zeros((B, T), int), LENGTHS)
    for name in ("sums", "shares", "score", "log_prob"):
        assert found[name].dtype == np.float32


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
def test_potentials_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        log_partition(random_chain(0)._replace(**changes), LENGTHS)


def test_tags_and_lengths_that_do_not_fit_are_refused():
    chain = random_chain(0)
    with pytest.raises(ValueError, match=r"tags must be integers of shape \(4, 4\), got"):
        jax.eval_shape(path_score, chain, np.zeros((B, T - 1), int), LENGTHS)
    with pytest.raises(ValueError, match=r"tags must be integers.* got float32"):
        jax.eval_shape(path_score, chain, np.zeros((B, T)), LENGTHS)
    with pytest.raises(ValueError, match="lengths must be from 0 to 4"):
        viterbi(chain, LENGTHS + 1)
