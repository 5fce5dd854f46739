"""LeNet-5: its published size, and a naive forward pass."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.lenet import LeNet5


def randomised(channels, batch, seed=0):
    rng = np.random.default_rng(seed)
    images = jnp.asarray(rng.normal(size=(batch, 32, 32, channels)), jnp.float32)
    shapes = jax.eval_shape(LeNet5().init, jax.random.key(0), images)

    def draw(leaf):
        fan_in = np.prod(leaf.shape[:-1]) if len(leaf.shape) > 1 else 4
        return jnp.asarray(rng.normal(0, 1 / np.sqrt(fan_in), leaf.shape), leaf.dtype)

    return jax.tree.map(draw, shapes), images


def convolve(image, layer):
    """Correlate an image [H, W, C] with 5x5 kernels, pixel by pixel, and squash by tanh."""
    side = image.shape[0] - 4
    out = np.zeros((side, side, len(layer["bias"])))
    for row in range(side):
        for column in range(side):
            patch = image[row : row + 5, column : column + 5]
            out[row, column] = (patch[..., None] * layer["kernel"]).sum((0, 1, 2)) + layer["bias"]
    return np.tanh(out)


def halve(image):
    """Mean of each 2x2."""
    corners = [image[i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return sum(corners) / 4


def test_parameters_of_each_layer_for_one_channel():
    images = jnp.zeros((1, 32, 32, 1))
    params = jax.eval_shape(LeNet5().init, jax.random.key(0), images)["params"]
    counts = {name: sum(leaf.size for leaf in jax.tree.leaves(params[name])) for name in params}
    assert counts == {"C1": 156, "C3": 2416, "C5": 48120, "F6": 10164, "output": 850}
    assert sum(counts.values()) == 61706


@pytest.mark.parametrize("channels", [1, 3])
def test_forward_is_the_naive_loop(channels):
    variables, images = randomised(channels, batch=1)
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), variables["params"])
    x = halve(convolve(np.asarray(images[0], np.float64), p["C1"]))
    x = halve(convolve(x, p["C3"]))
    x = convolve(x, p["C5"])
    assert x.shape == (1, 1, 120)
    x = np.tanh(x[0, 0] @ p["F6"]["kernel"] + p["F6"]["bias"])
    expected = x @ p["output"]["kernel"] + p["output"]["bias"]
    logits = LeNet5().apply(variables, images)
    np.testing.assert_allclose(logits[0], expected, rtol=1e-5, atol=1e-5)


def test_an_image_does_not_depend_on_the_others_nor_on_training():
    variables, images = randomised(1, batch=2)
    network = LeNet5()
    alone = network.apply(variables, images[:1])
    beside = network.apply(variables, images.at[1].set(jnp.nan), train=True)
    np.testing.assert_allclose(beside[:1], alone, rtol=1e-5, atol=1e-5)


def test_number_of_classes_and_type():
    images = jnp.zeros((2, 32, 32, 1))
    network = LeNet5(classes=7, dtype=jnp.bfloat16)
    logits, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), images)
    assert logits.shape == (2, 7)
    assert logits.dtype == jnp.float32


@pytest.mark.parametrize("shape", [(1, 28, 28, 1), (1, 32, 31, 1), (32, 32, 1), (1, 33, 32, 1)])
def test_another_size_is_refused_with_its_shape(shape):
    with pytest.raises(ValueError, match="images must be") as caught:
        LeNet5().init(jax.random.key(0), jnp.zeros(shape))
    assert str(shape) in str(caught.value)
