"""The small residual network: a numpy oracle, batch statistics, initial state."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from nets.image.resnet import ConvNet, Residual


def randomised(network, shape, seed=0):
    """Variables of which none is 0 or 1, and images."""
    rng = np.random.default_rng(seed)
    images = jnp.asarray(rng.normal(size=shape), jnp.float32)
    shapes = jax.eval_shape(network.init, jax.random.key(0), images)

    def draw(path, leaf):
        low, high = (0.5, 1.5) if path[-1].key in ("scale", "var") else (-0.5, 0.5)
        return jnp.asarray(rng.uniform(low, high, leaf.shape), leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes), images


def convolve(x, kernel):
    """Sum over the positions of a square kernel, with zero padding."""
    size, (high, wide) = kernel.shape[0], x.shape[1:3]
    x = np.pad(x, ((0, 0), *[(size // 2, size // 2)] * 2, (0, 0)))
    return sum(
        x[:, i : i + high, j : j + wide] @ kernel[i, j] for i in range(size) for j in range(size)
    )


def dense(p, x, hidden):
    """Output layer on top of a sequence of rectifier layers, whose names are in `hidden`."""
    x = x.reshape(len(x), -1)
    for name in hidden:
        x = np.maximum(x @ p[name]["kernel"] + p[name]["bias"], 0)
    return x @ p["output"]["kernel"] + p["output"]["bias"]


def actual_and_expected(network, variables, images, oracle):
    """Logits of a network, and of oracle(variables, images) in double precision."""
    exact = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables)
    expected = oracle(exact, np.asarray(images, np.float64))
    return jax.jit(network.apply)(variables, images), expected


def oracle(variables, x, stages, blocks):
    """Logits, with the running statistics."""
    p, stats = variables["params"], variables["batch_stats"]

    def norm(x, p, stats):
        return (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * p["scale"] + p["bias"]

    def conv_norm(x, p, stats, number):
        x = convolve(x, p[f"conv{number}"]["kernel"])
        return norm(x, p[f"norm{number}"], stats[f"norm{number}"])

    x = np.maximum(conv_norm(x, p, stats, ""), 0)
    for stage in range(stages):
        n, high, wide, channels = x.shape
        x = x[:, : high // 2 * 2, : wide // 2 * 2]
        x = x.reshape(n, high // 2, 2, wide // 2, 2, channels).max((2, 4))
        for block in range(blocks):
            name = f"stage{stage + 1}_block{block + 1}"
            y = conv_norm(
                np.maximum(conv_norm(x, p[name], stats[name], 1), 0), p[name], stats[name], 2
            )
            skip = x if block else conv_norm(x, p[name], stats[name], "")
            x = np.maximum(skip + y, 0)
    return dense(p, x.mean((1, 2)), ())


def test_forward_matches_the_numpy_oracle():
    network = ConvNet(classes=5, width=2, stages=2, blocks=2, dropout=0.5)
    variables, images = randomised(network, (2, 9, 6, 3))
    reference = partial(oracle, stages=2, blocks=2)
    actual, expected = actual_and_expected(network, variables, images, reference)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_training_uses_the_statistics_of_the_batch_and_adds_a_tenth_to_the_running_ones():
    network = ConvNet(classes=3, width=2, stages=1, dropout=0.5)
    variables, images = randomised(network, (3, 6, 6, 1))
    run = jax.jit(
        lambda key: network.apply(
            variables, images, train=True, mutable=["batch_stats"], rngs={"dropout": key}
        )
    )
    (one, changed), (other, _) = run(jax.random.key(0)), run(jax.random.key(1))
    maps = convolve(np.asarray(images), np.asarray(variables["params"]["conv"]["kernel"]))
    before, after = variables["batch_stats"]["norm"], changed["batch_stats"]["norm"]
    for name, value in (("mean", maps.mean((0, 1, 2))), ("var", maps.var((0, 1, 2)))):
        np.testing.assert_allclose(after[name], 0.9 * before[name] + 0.1 * value, rtol=1e-4)
    assert np.abs(one - other).max() > 1e-3  # other units are dropped


def test_only_the_first_block_of_a_stage_has_a_convolution_in_its_shortcut():
    network = ConvNet(classes=3, width=2, stages=1, blocks=2)
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 6, 6, 1)))
    blocks = [shapes["params"][f"stage1_block{i}"] for i in (1, 2)]
    assert [set(block) for block in blocks] == [
        {"conv", "norm", "conv1", "norm1", "conv2", "norm2"},
        {"conv1", "norm1", "conv2", "norm2"},
    ]


def test_a_block_is_initially_its_shortcut():
    block = Residual(3, partial(nn.Conv, use_bias=False), partial(nn.BatchNorm, True))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 4, 4, 3)), jnp.float32)
    out, _ = jax.jit(block.init_with_output)(jax.random.key(0), x)
    np.testing.assert_array_equal(out, np.maximum(x, 0))


def test_number_of_parameters_and_type():
    network = ConvNet(classes=7, width=16, stages=2, blocks=1, dtype=jnp.bfloat16)
    images = jnp.zeros((2, 28, 28, 1))
    logits, variables = jax.eval_shape(network.init_with_output, jax.random.key(0), images)
    kernels = 9 * 16 + (9 + 1) * 16 * 32 + 9 * 32 * 32 + (9 + 1) * 32 * 64 + 9 * 64 * 64
    norms = 2 * (16 + 3 * 32 + 3 * 64)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == (
        kernels + norms + 64 * 7 + 7
    )
    assert (logits.shape, logits.dtype) == ((2, 7), jnp.float32)


@pytest.mark.parametrize("shape", [(1, 3, 8, 1), (8, 8, 1)])
def test_images_that_are_too_small_are_rejected(shape):
    with pytest.raises(ValueError, match="for 2 stages") as caught:
        ConvNet().init(jax.random.key(0), jnp.zeros(shape))
    assert str(shape) in str(caught.value)
