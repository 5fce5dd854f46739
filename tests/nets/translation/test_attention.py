"""Attention agrees with loops in numpy; masks; windows of local attention."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.masking import masked_softmax
from nets.translation.attention import SCORES, Attention
from tests.nets.recurrent.networks import PRECISIONS, noise_like, quick_jit

B, Q, S, H, M, A = 3, 2, 5, 4, 4, 6
LENGTHS = np.array([5, 2, 0])


def run(attention, values, valid, query, position=None):
    """Attention of a query to the memory of values."""
    return attention(query, attention.read(values, valid), position)


def case(dtype, **options):
    """An attention with random parameters, and its arguments."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(B, S, M))
    valid = np.arange(S) < LENGTHS[:, None]
    query = rng.normal(size=(B, Q, H))
    net = Attention(features=A, query_features=H, dtype=dtype, **options)
    arguments = (values, valid, query, np.arange(Q))
    shapes = jax.eval_shape(partial(net.init, method=run), jax.random.key(0), *arguments)
    return net, noise_like(shapes, 0), arguments


def oracle(params, score, values, valid, query):
    """Scores [B, Q, S] of each query with each memory vector, by loops."""
    p = jax.tree.map(np.asarray, params)
    scores = np.zeros((B, Q, S))
    for b, q, s in np.ndindex(B, Q, S):
        if not valid[b, s]:
            continue
        m, x = values[b, s], query[b, q]
        if score == "dot":
            scores[b, q, s] = x @ m
        elif score == "general":
            scores[b, q, s] = x @ (m @ p["key"]["kernel"])
        else:
            compared = np.tanh(x @ p["query"]["kernel"] + m @ p["key"]["kernel"] + p["key"]["bias"])
            scores[b, q, s] = compared @ p["energy"]["kernel"][:, 0]
    return scores


def expected(scores, values, valid, factor=None):
    """Context and weights from scores, row by row."""
    weights, context = np.zeros((B, Q, S)), np.zeros((B, Q, M))
    for b, q in np.ndindex(B, Q):
        keep = valid[b] if factor is None else valid[b] & (factor[b, q] > 0)
        if keep.any():
            e = np.where(keep, np.exp(scores[b, q] - scores[b, q][keep].max()), 0)
            weights[b, q] = e / e.sum() * (1 if factor is None else factor[b, q])
            context[b, q] = weights[b, q] @ values[b]
    return context, weights


@pytest.mark.parametrize("score", SCORES)
def test_weights_and_context_agree_with_the_equation(score):
    with PRECISIONS["float64"]():
        net, variables, arguments = case(jnp.float64, score=score)
        values, valid, query, _ = arguments
        scores = oracle(variables.get("params", {}), score, values, valid, query)
        result = quick_jit(partial(net.apply, method=run))(variables, *arguments)
        for ours, theirs in zip(result, expected(scores, values, valid), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("centre", ["predictive", "monotonic"])
def test_local_attention_stays_near_its_centre(centre):
    with PRECISIONS["float64"]():
        net, variables, arguments = case(jnp.float64, score="general", window=1, centre=centre)
        values, valid, query, position = arguments
        p = jax.tree.map(np.asarray, variables["params"])
        factor = np.zeros((B, Q, S))
        for b, q in np.ndindex(B, Q):
            middle = position[q]
            if centre == "predictive":
                energy = np.tanh(query[b, q] @ p["place"]["kernel"]) @ p["place_energy"]["kernel"]
                middle = max(LENGTHS[b] - 1, 0) / (1 + np.exp(-energy[0]))
            for s in range(S):
                if abs(s - middle) <= 1:
                    factor[b, q, s] = np.exp(-((s - middle) ** 2) / (2 * 0.5**2))
        scores = oracle(p, "general", values, valid, query)
        result = quick_jit(partial(net.apply, method=run))(variables, *arguments)
        for ours, theirs in zip(result, expected(scores, values, valid, factor), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("score", SCORES)
def test_padding_changes_nothing(score):
    net, variables, (values, valid, query, position) = case(jnp.float32, score=score)
    with_nan = np.where(valid[..., None], values, np.nan)

    def loss(values, query):
        context, weights = net.apply(variables, values, valid, query, position, method=run)
        return jnp.sum(jnp.sin(context)) + jnp.sum(weights**2)

    graded = quick_jit(jax.value_and_grad(loss, (0, 1)))
    clean, other = graded(values, query), graded(with_nan, query)
    jax.tree.map(np.testing.assert_array_equal, clean, other)
    assert np.isfinite(clean[1][0]).all()
    assert not clean[1][0][~valid].any()


def test_masked_softmax_without_valid_entries_and_its_gradient_are_zero():
    scores = np.array([[1.0, np.nan], [1e30, -1e30]], np.float32)
    valid = np.array([[False, False], [True, True]])

    def run(scores):
        return masked_softmax(scores, valid)

    np.testing.assert_array_equal(quick_jit(run)(scores), [[0, 0], [1, 0]])
    assert not np.any(quick_jit(jax.jacobian(run))(scores))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"score": "cosine"}, ["additive, dot, general", "'cosine'"]),
        ({"score": "dot", "centre": "middle"}, ["'monotonic'", "'middle'"]),
        ({"score": "dot", "window": -1}, ["window", "-1"]),
        ({"score": "dot", "query_features": 3}, ["3", "(3, 5, 4)"]),
    ],
)
def test_wrong_arguments_are_refused(options, words):
    net = Attention(**{"features": A, "query_features": H, **options})
    values, query = np.zeros((B, S, M), np.float32), np.zeros((B, Q, H), np.float32)
    with pytest.raises(ValueError, match=r".") as caught:
        net.init(jax.random.key(0), values, np.ones((B, S), bool), query, method=run)
    assert all(word in str(caught.value) for word in words), caught.value


def test_monotonic_attention_needs_the_position_of_the_query():
    options = {"score": "dot", "window": 1, "centre": "monotonic"}
    net, variables, (values, valid, query, _) = case(jnp.float32, **options)
    with pytest.raises(ValueError, match="positions of the queries"):
        net.apply(variables, values, valid, query, method=run)
