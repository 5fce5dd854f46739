"""The feed-forward language model against the published equation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.language.neural_ngram import NeuralNGram

V, M, H, N = 6, 3, 4, 2


def model_and_params(direct):
    model = NeuralNGram(V, H, M, direct=direct, dropout=0.5, embedding_dropout=0.5)
    contexts = jnp.zeros((1, N), jnp.int32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), contexts)["params"]
    rng = np.random.default_rng(0)
    return model, jax.tree.map(lambda leaf: rng.normal(0, 1, leaf.shape), shapes)


@pytest.mark.parametrize("direct", [False, True])
def test_logits_match_the_equation(direct):
    model, params = model_and_params(direct)
    contexts = np.random.default_rng(1).integers(0, V, (5, N))
    logits = jax.jit(model.apply)({"params": params}, contexts)
    table = params["embed"]["embedding"]
    for row, (first, last) in zip(logits, contexts, strict=True):
        x = np.concatenate([table[first], table[last]])
        h = np.tanh(params["hidden"]["bias"] + x @ params["hidden"]["kernel"])
        expected = params["output"]["bias"] + h @ params["output"]["kernel"]
        if direct:
            expected = expected + x @ params["direct"]["kernel"]
        np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-5)
    assert ("direct" in params) == direct


def test_dropout_in_training_selects_from_all_masks():
    model, params = model_and_params(True)
    contexts = np.zeros((40, N), np.int32)
    apply = jax.jit(partial(model.apply, train=True))
    logits = apply({"params": params}, contexts, rngs={"dropout": jax.random.key(0)})
    x, U, W = (
        params["embed"]["embedding"][0],
        params["output"]["kernel"],
        params["direct"]["kernel"],
    )
    # every mask of four units and six features; those that are not dropped are doubled
    masks = np.array(list(np.ndindex((2,) * (H + N * M)))) * 2.0
    inputs = masks[:, H:] * np.tile(x, N)
    h = masks[:, :H] * np.tanh(params["hidden"]["bias"] + inputs @ params["hidden"]["kernel"])
    possible = params["output"]["bias"] + h @ U + inputs @ W
    distance = np.abs(np.asarray(logits)[:, None] - possible).max(-1).min(1)
    assert distance.max() < 1e-4
    assert len(np.unique(np.asarray(logits)[:, 0])) > 30
