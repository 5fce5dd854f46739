"""Convolution over time against a plain loop, on padded rows, and under shifts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.convolution.temporal import (
    READOUTS,
    TimeConvNet,
    TimeConvolutions,
    evidence,
    max_over_windows,
    pool_over_time,
)

D, CLASSES, FEATURES, SIZE, WINDOW = 3, 4, (5, 6), 3, 2
LENGTHS = np.array([7, 4, 1, 0], np.int32)
T = 9


def network(readout="max", **options):
    return TimeConvNet(TimeConvolutions(FEATURES, SIZE, WINDOW), CLASSES, readout, **options)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(4, T, D)).astype(np.float32)


@pytest.fixture(scope="module")
def variables(x):
    """Random variables by readout, biases included: zero biases could hide a wrong padding rule."""
    rng = np.random.default_rng(1)

    def draw(readout):
        shapes = jax.eval_shape(network(readout).init, jax.random.key(0), x)
        return jax.tree.map(lambda a: rng.normal(0, 0.5, a.shape).astype(np.float32), shapes)

    return {readout: draw(readout) for readout in READOUTS}


def slow(params, row, readout, steps):
    """Logits of one row [T_i, D] without padding; flatten pads h to `steps`."""
    h = np.asarray(row, np.float64)
    for number, layer in enumerate((params["layers"]["C1"], params["layers"]["C2"])):
        if number:
            h = np.array([h[t : t + WINDOW].max(axis=0) for t in range(0, len(h), WINDOW)])
        out = np.zeros((len(h), len(layer["bias"])))
        for t in range(len(h)):
            out[t] = layer["bias"]
            for i in range(SIZE):
                if 0 <= t + i - SIZE // 2 < len(h):
                    out[t] += h[t + i - SIZE // 2] @ layer["kernel"][i]
        h = np.maximum(out, 0)
    if readout == "flatten":
        h = np.pad(h, ((0, steps - len(h)), (0, 0))).ravel()
    else:
        h = h.max(axis=0) if readout == "max" else h.mean(axis=0)
    return h @ params["output"]["kernel"] + params["output"]["bias"]


@pytest.mark.parametrize("readout", READOUTS)
def test_logits_match_the_loop_and_padding_has_no_effect(x, variables, readout):
    own, net = variables[readout], network(readout)

    @jax.jit
    def run(x):
        def loss(own, x):
            logits = net.apply(own, x, LENGTHS)
            return (logits**2).sum(), logits

        return jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(own, x)

    (_, logits), (gradient, inputs) = run(x)
    for i, length in enumerate(LENGTHS[:3]):
        expected = slow(own["params"], x[i, :length], readout, steps=5)
        np.testing.assert_allclose(logits[i], expected, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(logits[3], own["params"]["output"]["bias"], rtol=1e-6)
    valid = np.arange(T) < LENGTHS[:, None]
    (_, with_nan), (gradient_nan, inputs_nan) = run(np.where(valid[..., None], x, np.nan))
    np.testing.assert_array_equal(logits, with_nan)
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(gradient_nan), strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(inputs, inputs_nan)
    assert not inputs[~valid].any()


def test_rows_without_lengths_have_no_padding(x, variables):
    @jax.jit
    def run(lengths):
        return [network(name).apply(variables[name], x, lengths) for name in READOUTS]

    np.testing.assert_allclose(run(None), run(np.full(4, T)), rtol=1e-5, atol=1e-5)


def test_max_of_windows_and_over_time_at_the_borders():
    x = -np.arange(1.0, 11.0, dtype=np.float32).reshape(2, 5, 1)  # all below zero

    @jax.jit
    def run(x, lengths):
        pooled = [pool_over_time(x, lengths, name).ravel() for name in ("max", "mean")]
        return (*max_over_windows(x, lengths, 2), *pooled)

    pooled, lengths, *_ = run(x, np.array([4, 1]))
    assert pooled[..., 0].tolist() == [[-1, -3, 0], [-6, 0, 0]]
    assert lengths.tolist() == [2, 1]
    pooled, lengths, *_ = run(x, None)
    assert pooled[0, :, 0].tolist() == [-1, -3, -5]
    assert lengths is None
    _, _, largest, mean = run(x, np.array([3, 0]))
    assert largest.tolist() == [-1, 0]
    assert mean.tolist() == [-2, 0]
    with pytest.raises(ValueError, match="reduction must be max or mean, got 'sum'"):
        pool_over_time(x, None, "sum")


def test_pooled_readouts_are_invariant_to_shifts_and_a_dense_one_is_not(variables):
    """A short pattern in zeros, shifted by multiples of the window."""
    rng = np.random.default_rng(2)
    pattern = rng.normal(size=(4, D))
    x = np.zeros((3, 24, D), np.float32)
    for row, start in enumerate((6, 8, 12)):
        x[row, start : start + 4] = pattern
    params = variables["max"]["params"]
    longer = {**params["output"], "kernel": rng.normal(size=(12 * FEATURES[-1], CLASSES))}
    own = {**variables, "flatten": {"params": {**params, "output": longer}}}
    outputs = jax.jit(lambda x: {name: network(name).apply(own[name], x) for name in READOUTS})(x)
    for name, logits in outputs.items():
        difference = float(np.abs(logits - logits[:1]).max())
        assert difference > 0.1 if name == "flatten" else difference < 1e-4


def test_evidence_and_bias_add_up_to_the_logit(x, variables):
    labels = np.array([2, 0, 3, 1])

    @jax.jit
    def run(x):
        return {
            name: (
                evidence(network(name), variables[name], x, LENGTHS, labels),
                network(name).apply(variables[name], x, LENGTHS),
            )
            for name in READOUTS
        }

    for name, (contributions, logits) in run(x).items():
        assert contributions.shape == (4, 5)
        bias = variables[name]["params"]["output"]["bias"][labels]
        expected = np.asarray(logits)[np.arange(4), labels]
        np.testing.assert_allclose(contributions.sum(axis=1) + bias, expected, rtol=1e-4, atol=1e-4)
        assert not contributions[1, 2:].any()


def test_dropout_applies_in_training_only_and_parameters_stay_float32(x, variables):
    net = TimeConvNet(TimeConvolutions(FEATURES, SIZE, WINDOW, jnp.bfloat16), CLASSES, dropout=0.5)
    own = variables["max"]
    shapes = jax.eval_shape(net.init, jax.random.key(0), x)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {np.dtype("float32")}

    @jax.jit
    def run(x):
        dropped = net.apply(own, x, train=True, rngs={"dropout": jax.random.key(1)})
        return net.apply(own, x), net.apply(own, x, rngs={"dropout": jax.random.key(1)}), dropped

    plain, again, dropped = run(x)
    assert plain.dtype == jnp.float32
    np.testing.assert_array_equal(plain, again)
    assert not np.allclose(plain, dropped)


def test_mismatched_arguments_are_rejected(x):
    def shapes(readout, *args):
        return jax.eval_shape(network(readout).init, jax.random.key(0), *args)

    with pytest.raises(ValueError, match=r"must be \[batch, time, features\], got shape \(9, 3\)"):
        shapes("max", x[0])
    with pytest.raises(ValueError, match=r"readout must be one of .* got 'sum'"):
        shapes("sum", x)
    with pytest.raises(ValueError, match=r"of shape \(4,\) for an input .* axes are \(4, "):
        shapes("max", x, np.array([3, 3]))
