"""LeNet-5, all variants: the published sizes and a naive forward pass."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from scipy.signal import correlate2d

from nets.image.lenet import (
    LectureLeNet5,
    LeNet5,
    PublishedLeNet5,
    Subsample,
    digit_codes,
    squash,
)


def randomised(channels, batch, seed=0):
    rng = np.random.default_rng(seed)
    images = jnp.asarray(rng.normal(size=(batch, 32, 32, channels)), jnp.float32)
    shapes = jax.eval_shape(LeNet5().init, jax.random.key(0), images)

    def draw(leaf):
        fan_in = np.prod(leaf.shape[:-1]) if len(leaf.shape) > 1 else 4
        return jnp.asarray(rng.normal(0, 1 / np.sqrt(fan_in), leaf.shape), leaf.dtype)

    return jax.tree.map(draw, shapes), images


def convolve(image, layer):
    """Correlate an image [H, W, C] with 5x5 kernels, pixel by pixel, and apply tanh."""
    side = image.shape[0] - 4
    out = np.zeros((side, side, len(layer["bias"])))
    for row in range(side):
        for column in range(side):
            patch = image[row : row + 5, column : column + 5]
            out[row, column] = (patch[..., None] * layer["kernel"]).sum((0, 1, 2)) + layer["bias"]
    return np.tanh(out)


def halve(image):
    """Mean of each 2x2 square."""
    corners = [image[i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return sum(corners) / 4


def sizes(network):
    """Number of parameters of each layer for one channel."""
    images = jnp.zeros((1, 32, 32, 1))
    params = jax.eval_shape(network.init, jax.random.key(0), images)["params"]
    return {name: sum(leaf.size for leaf in jax.tree.leaves(params[name])) for name in params}


def test_parameters_of_each_layer_for_one_channel():
    counts = sizes(LeNet5())
    assert counts == {"C1": 156, "C3": 2416, "C5": 48120, "F6": 10164, "output": 850}
    assert sum(counts.values()) == 61706


def test_published_parameters_of_each_layer():
    counts = sizes(PublishedLeNet5())
    assert counts == {"C1": 156, "S2": 12, "C3": 1516, "S4": 32, "C5": 48120, "F6": 10164}
    assert sum(counts.values()) == 60000


def test_parameters_of_each_layer_of_the_lectures():
    counts = sizes(LectureLeNet5())
    layers = {"C1": 156, "S2": 12, "C3": 1516, "S4": 32, "C5": 48120, "F6": 10164, "output": 850}
    assert counts == layers
    assert sum(counts.values()) == 60850


# Table I as the paper describes it: contiguous triples, contiguous fours, three other fours, all
CONNECTED = (
    *({i % 6 for i in range(first, first + 3)} for first in range(6)),
    *({i % 6 for i in range(first, first + 4)} for first in range(6)),
    *({0, 1, 3, 4}, {1, 2, 4, 5}, {0, 2, 3, 5}),
    set(range(6)),
)


def naive_f6(image, p, f, g):
    """F6 [84] of an image [32, 32], map by map; g: the function of subsampling."""

    def subsample(maps, layer):
        pairs = zip(maps, layer["coefficient"], layer["bias"], strict=True)
        return [g(4 * w * halve(x) + b) for x, w, b in pairs]

    kernel = p["C1"]["kernel"]
    maps = [
        f(correlate2d(image, kernel[..., 0, k], "valid") + p["C1"]["bias"][k]) for k in range(6)
    ]
    maps = subsample(maps, p["S2"])
    # the kernels of C3 are ordered by input map, then by output map
    pairs = sorted((i, o) for o, read in enumerate(CONNECTED) for i in read)
    sums = [np.full((10, 10), b) for b in p["C3"]["bias"]]
    for number, (i, o) in enumerate(pairs):
        sums[o] = sums[o] + correlate2d(maps[i], p["C3"]["kernel"][..., number], "valid")
    maps = np.stack(subsample([f(a) for a in sums], p["S4"]), axis=-1)
    x = f((maps[..., None] * p["C5"]["kernel"]).sum((0, 1, 2)) + p["C5"]["bias"])
    return f(x @ p["F6"]["kernel"] + p["F6"]["bias"])


def naive_published(image, p):
    """Negative penalties [10] of an image [32, 32]."""

    def f(a):
        return 1.7159 * np.tanh(2 / 3 * a)

    x = naive_f6(1.275 * image - 0.1, p, f, f)
    return [-sum((x - code) ** 2) for code in digit_codes()]


def naive_lecture(image, p):
    """Logits [10] of an image [32, 32]."""
    x = naive_f6(image, p, np.tanh, lambda a: 1 / (1 + np.exp(-a)))
    return x @ p["output"]["kernel"] + p["output"]["bias"]


def measured(network):
    """Two images, initial parameters, outputs and the gradient of their sum, from one program."""
    images = jnp.asarray(np.random.default_rng(0).random((2, 32, 32, 1)), jnp.float32)

    def total(variables):
        outputs = network.apply(variables, images)
        return (outputs**2).sum(), outputs

    def everything(key):
        variables = network.init(key, images)
        (_, outputs), gradient = jax.value_and_grad(total, has_aux=True)(variables)
        return variables["params"], outputs, gradient

    return images, *jax.jit(everything)(jax.random.key(0))


@pytest.fixture(scope="module")
def published():
    return measured(PublishedLeNet5())


@pytest.fixture(scope="module")
def lecture():
    return measured(LectureLeNet5())


@pytest.mark.parametrize("variant", ["published", "lecture"])
def test_forward_matches_the_naive_one_and_every_parameter_has_a_gradient(variant, request):
    images, params, outputs, gradient = request.getfixturevalue(variant)
    naive = {"published": naive_published, "lecture": naive_lecture}[variant]
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    assert sum(len(read) for read in CONNECTED) == p["C3"]["kernel"].shape[-1] == 60
    expected = [naive(np.asarray(image[..., 0], np.float64), p) for image in images]
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)
    for leaf in jax.tree.leaves(gradient):
        assert np.isfinite(leaf).all()
        assert (np.asarray(leaf) != 0).all()


def test_subsampling_of_the_lectures_starts_as_one_half_plus_the_mean(lecture):
    for name, maps in {"S2": 6, "S4": 16}.items():
        np.testing.assert_array_equal(lecture[1][name]["coefficient"], np.ones(maps))
        np.testing.assert_array_equal(lecture[1][name]["bias"], np.zeros(maps))
    x = jnp.asarray(np.random.default_rng(1).uniform(-0.05, 0.05, (1, 4, 4, 2)), jnp.float32)
    ones, zeros = nn.initializers.ones, nn.initializers.zeros
    layer = Subsample(nn.sigmoid, ones, zeros)
    halved, _ = jax.jit(layer.init_with_output)(jax.random.key(0), x)
    np.testing.assert_allclose(halved[0], 0.5 + halve(np.asarray(x[0])), atol=1e-4)


def test_initialisation_of_the_lectures_has_variance_one_over_fan_in(lecture):
    for name, fan_in in {"C1": 25, "C5": 400, "F6": 120}.items():
        assert np.var(lecture[1][name]["kernel"]) == pytest.approx(1 / fan_in, rel=0.25)


def test_published_initialisation_is_uniform_within_the_fan_in(published):
    params = published[1]
    fan_in = {"C1": 25, "S2": 4, "S4": 4, "C5": 400, "F6": 120}
    for name, inputs in fan_in.items():
        for leaf in params[name].values():
            assert np.abs(leaf).max() <= 2.4 / inputs
    for name in ("C1", "C5", "F6"):  # a uniform distribution has standard deviation bound / sqrt(3)
        spread = np.std(params[name]["kernel"]) * np.sqrt(3) * fan_in[name] / 2.4
        assert abs(spread - 1) < 0.15
    pairs = sorted((i, o) for o, read in enumerate(CONNECTED) for i in read)
    bounds = np.array([2.4 / (25 * len(CONNECTED[o])) for _, o in pairs])
    largest = np.abs(params["C3"]["kernel"]).max(axis=(0, 1)) / bounds
    assert (largest <= 1).all()
    assert (largest > 0.6).all()


def test_squashing_is_one_at_one_and_codes_differ():
    assert [float(squash(a)) for a in (-1, 0, 1)] == pytest.approx([-1, 0, 1], abs=1e-4)
    codes = digit_codes()
    assert codes.shape == (10, 84)
    assert set(codes.ravel()) == {-1.0, 1.0}
    distance = (codes[:, None] != codes).sum(axis=-1)
    assert distance[~np.eye(10, dtype=bool)].min() >= 12
    one = codes[1].reshape(12, 7) > 0  # a 1 is a line down the middle
    assert one[:, 3].all()
    assert one.sum() < 36


@pytest.mark.parametrize("shape", [(1, 28, 28, 1), (1, 32, 32, 3), (32, 32, 1)])
def test_published_rejects_other_shapes(shape):
    with pytest.raises(ValueError, match=r"must be \[batch, 32, 32, 1\]") as caught:
        jax.eval_shape(PublishedLeNet5().init, jax.random.key(0), jnp.zeros(shape))
    assert str(shape) in str(caught.value)


@pytest.mark.parametrize("channels", [1, 3])
def test_forward_matches_the_naive_loop(channels):
    variables, images = randomised(channels, batch=1)
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), variables["params"])
    x = halve(convolve(np.asarray(images[0], np.float64), p["C1"]))
    x = halve(convolve(x, p["C3"]))
    x = convolve(x, p["C5"])
    assert x.shape == (1, 1, 120)
    x = np.tanh(x[0, 0] @ p["F6"]["kernel"] + p["F6"]["bias"])
    expected = x @ p["output"]["kernel"] + p["output"]["bias"]
    logits = jax.jit(LeNet5().apply)(variables, images)
    np.testing.assert_allclose(logits[0], expected, rtol=1e-5, atol=1e-5)


def test_an_image_does_not_depend_on_the_others_nor_on_training():
    variables, images = randomised(1, batch=2)
    network = LeNet5()
    alone = jax.jit(network.apply)(variables, images[:1])
    bad = images.at[1].set(jnp.nan)
    batched = jax.jit(partial(network.apply, train=True))(variables, bad)
    np.testing.assert_allclose(batched[:1], alone, rtol=1e-5, atol=1e-5)


def test_number_of_classes_and_type():
    images = jnp.zeros((2, 32, 32, 1))
    for kind in (LeNet5, LectureLeNet5):
        network = kind(classes=7, dtype=jnp.bfloat16)
        logits, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), images)
        assert logits.shape == (2, 7)
        assert logits.dtype == jnp.float32


@pytest.mark.parametrize("shape", [(1, 28, 28, 1), (1, 32, 31, 1), (32, 32, 1), (1, 33, 32, 1)])
def test_other_sizes_are_rejected_with_their_shape(shape):
    for network in (LeNet5(), LectureLeNet5()):
        with pytest.raises(ValueError, match="images must be") as caught:
            network.init(jax.random.key(0), jnp.zeros(shape))
        assert str(shape) in str(caught.value)
