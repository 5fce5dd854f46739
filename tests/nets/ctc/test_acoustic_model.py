"""Front-end layers agree with plain loops; padding changes nothing from frames to loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.convolution.temporal import TimeConvolutions
from nets.ctc.acoustic_model import Transcriber
from nets.ctc.frontends import BandConvolution, FrameStacking
from nets.ctc.loss import ctc_loss
from nets.recurrent.stack import DeepRecurrent

T, D, V = 11, 8, 5
LENGTHS = np.array([11, 7, 4, 0], np.int32)
LABELS = np.array([[1, 2], [3, 3], [4, 0], [0, 0]], np.int32)
LABEL_LENGTHS = np.array([2, 2, 1, 0], np.int32)
BANDS = BandConvolution(features=3, size=3, pool=2, channels=2, context=3)
FRONTS = {
    "stacking": (FrameStacking(3, 2),),
    "time": (TimeConvolutions((4, 3), size=3),),
    "bands": (BANDS, FrameStacking(2)),
}


def network(front):
    core = DeepRecurrent(3, cell="rnn", dropout=0.5)
    return Transcriber(core, V, fronts=FRONTS.get(front, ()))


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(4, T, D)).astype(np.float32)


def drawn(module, *inputs):
    """Random parameters, including biases."""
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    return jax.tree.map(lambda leaf: rng.normal(0, 0.5, leaf.shape).astype(np.float32), shapes)


def stacked(row, count, every):
    """Concatenated frames of one row [T, D]."""
    out = []
    for start in range(0, len(row), every):
        frames = [row[t] if t < len(row) else np.zeros(D) for t in range(start, start + count)]
        out.append(np.concatenate(frames))
    return np.array(out)


def test_stacking_agrees_with_a_loop(x):
    forms = {(3, 3): FrameStacking(3), **{form: FrameStacking(*form) for form in ((3, 2), (1, 4))}}

    @jax.jit
    def run(x):
        return {
            form: (*front.apply({}, x, LENGTHS), front.apply({}, x)[0])
            for form, front in forms.items()
        }

    for (count, every), (h, left, whole) in jax.device_get(run(x)).items():
        for row, n in enumerate(LENGTHS):
            expected = stacked(x[row, :n], count, every)
            assert left[row] == len(expected)
            np.testing.assert_array_equal(h[row, : len(expected)], expected.reshape(-1, count * D))
            assert not h[row, len(expected) :].any()
        np.testing.assert_array_equal(whole[0], h[0])


def banded(own, row):
    """Features of one row [T, 2 x 4]: three frames of context, three bands, pooling over two."""
    kernel, bias = own["conv"]["kernel"].astype(np.float64), own["conv"]["bias"]
    maps = np.pad(row.reshape(-1, 2, 4), ((1, 1), (0, 0), (0, 0)))
    out = np.zeros((len(row), 3))
    for t in range(len(row)):
        windows = []
        for low in range(2):
            total = bias.astype(np.float64).copy()
            for i in range(3):
                for j in range(3):
                    total += maps[t + i, :, low + j] @ kernel[i, j]
            windows.append(np.maximum(total, 0))
        out[t] = np.max(windows, axis=0)
    return out


def test_convolution_over_bands_agrees_with_a_loop(x):
    variables = drawn(BANDS, x)
    h, left = jax.jit(BANDS.apply)(variables, x, LENGTHS)
    np.testing.assert_array_equal(left, LENGTHS)
    for row, n in enumerate(LENGTHS):
        expected = banded(variables["params"], x[row, :n])
        np.testing.assert_allclose(h[row, :n], expected, rtol=1e-5, atol=1e-5)
        assert not np.asarray(h[row, n:]).any()
    # 40 bands: 33 positions of the kernel, 11 pooling windows
    frames = np.zeros((1, 2, 120), np.float32)
    wide, _ = jax.eval_shape(BandConvolution().init_with_output, jax.random.key(0), frames)
    assert wide[0].shape == (1, 2, 32 * 11)


def test_padding_changes_neither_loss_nor_gradient(x):
    own = {name: drawn(network(name), x, LENGTHS) for name in FRONTS}

    @jax.jit
    def run(own, x, lengths):
        def total(own, x):
            logits, steps, nats = {}, {}, {}
            for name, variables in own.items():
                logits[name], steps[name] = network(name).apply(variables, x, lengths)
                result = ctc_loss(logits[name], steps[name], LABELS, LABEL_LENGTHS)
                nats[name] = result.nats
            return sum(map(jnp.sum, nats.values())), (logits, steps, nats)

        (_, result), slopes = jax.value_and_grad(total, argnums=(0, 1), has_aux=True)(own, x)
        return result, slopes

    real = np.arange(T) < LENGTHS[:, None]
    result, slopes = jax.device_get(run(own, np.where(real[..., None], x, 0), LENGTHS))
    poisoned = run(own, np.where(real[..., None], x, np.nan), LENGTHS)
    jax.tree.map(np.testing.assert_array_equal, poisoned, (result, slopes))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))
    # every parameter is used
    assert all(np.any(leaf) for leaf in jax.tree.leaves(slopes[0]))
    assert not slopes[1][~real].any()
    # a shorter row gives the same result in a batch of its own length
    others = np.pad(x[[1] * 4, :7], ((0, 0), (0, 4), (0, 0)))
    alone, _ = jax.device_get(run(own, others, np.full(4, 7, np.int32)))
    for name in FRONTS:
        logits, steps, nats = (tree[name] for tree in result)
        assert steps.tolist() == [6, 4, 2, 0]
        assert logits.shape == (4, 6, V)
        for batched, single in zip(result, alone, strict=True):
            np.testing.assert_allclose(single[name][1], batched[name][1], rtol=1e-5, atol=1e-5)
        assert nats[3] == 0


def test_dropout_is_only_for_training_and_wrong_shapes_are_refused(x):
    net, variables = network("no front"), drawn(network("no front"), x, LENGTHS)

    @jax.jit
    def run(x):
        how = {"train": True, "rngs": {"dropout": jax.random.key(0)}}
        return net.apply(variables, x, LENGTHS)[0], net.apply(variables, x, LENGTHS, **how)[0]

    plain, dropped = run(x)
    assert plain.dtype == jnp.float32
    assert not np.allclose(plain, dropped)

    def refused(match, module, *inputs):
        with pytest.raises(ValueError, match=match):
            jax.eval_shape(module.init, jax.random.key(0), *inputs)

    refused(r"\[batch, time, features\], got shape \(11, 8\)", net, x[0], LENGTHS)
    refused(r"lengths must be integers of shape \(4,\)", network("stacking"), x, LENGTHS[:2])
    refused("frames of width 8 must consist of 3 maps of at least 3", BandConvolution(size=3), x)
    refused(
        "frames of width 8 must consist of 2 maps of at least 5",
        BandConvolution(size=5, channels=2),
        x,
    )
    refused("context must be odd, got 2", BandConvolution(size=2, channels=2, context=2), x)
