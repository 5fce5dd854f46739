"""AlexNet: published counts and sizes, normalisation, a numpy oracle, gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.image.alexnet import AlexNet, local_response_norm
from tests.nets.image.test_resnet import actual_and_expected, convolve, dense, randomised


def shapes(side, channels=3, **options):
    network = AlexNet(**options)
    images = jax.ShapeDtypeStruct((2, side, side, channels), jnp.float32)
    return jax.eval_shape(network.init_with_output, jax.random.key(0), images)


def counts(params):
    return {name: sum(leaf.size for leaf in jax.tree.leaves(params[name])) for name in params}


@pytest.mark.parametrize("side", [224, 227])
def test_published_parameters_of_each_layer(side):
    logits, variables = shapes(side)
    sizes = counts(variables["params"])
    assert sizes == {
        "conv1": 34_944,
        "conv2": 307_456,
        "conv3": 885_120,
        "conv4": 663_936,
        "conv5": 442_624,
        "dense6": 37_752_832,
        "dense7": 16_781_312,
        "output": 4_097_000,
    }
    assert sum(sizes.values()) == 60_965_224
    assert (logits.shape, logits.dtype) == ((2, 1000), jnp.float32)


def test_ungrouped_kernels_read_all_maps():
    _, variables = shapes(227, grouped=False)
    assert variables["params"]["conv2"]["kernel"].shape == (5, 5, 96, 256)
    assert sum(counts(variables["params"]).values()) == 62_378_344


@pytest.mark.parametrize(("side", "last"), [(28, 2), (32, 3), (15, 1), (64, 7)])
def test_small_images_have_the_documented_map_sizes(side, last):
    _, variables = shapes(side, channels=1, width=0.125, classes=10)
    params = variables["params"]
    assert params["conv1"]["kernel"].shape == (5, 5, 1, 12)
    assert params["conv2"]["kernel"].shape == (5, 5, 6, 32)
    assert params["dense6"]["kernel"].shape == (last * last * 32, 512)


def normalise(a):
    """The paper's sum over five maps, fewer at the ends."""
    b = np.empty_like(a)
    for i in range(a.shape[-1]):
        near = a[..., max(0, i - 2) : i + 3]
        b[..., i] = a[..., i] / (2 + 1e-4 * (near**2).sum(-1)) ** 0.75
    return b


def test_normalisation_is_the_papers_sum_over_maps():
    a = np.random.default_rng(0).normal(0, 30, (2, 3, 7))
    normalised = jax.jit(local_response_norm)(jnp.float32(a))
    np.testing.assert_allclose(normalised, normalise(a), rtol=1e-5)
    with pytest.raises(ValueError, match="odd"):
        local_response_norm(jnp.float32(a), size=4)


def pool(x):
    """Maximum of 3x3 windows with stride 2."""
    last = (x.shape[1] - 3) // 2 * 2 + 1
    shifted = [x[:, i : i + last : 2, j : j + last : 2] for i in range(3) for j in range(3)]
    return np.max(shifted, axis=0)


def oracle(variables, x, grouped):
    """Logits of small images."""
    p = variables["params"]

    def conv(x, number, groups=1):
        kernel, bias = p[f"conv{number}"]["kernel"], p[f"conv{number}"]["bias"]
        pairs = zip(np.split(x, groups, -1), np.split(kernel, groups, -1), strict=True)
        x = np.concatenate([convolve(maps, weights) for maps, weights in pairs], -1)
        return np.maximum(x + bias, 0)

    groups = 2 if grouped else 1
    x = pool(normalise(conv(x, 1)))
    x = pool(normalise(conv(x, 2, groups)))
    x = pool(conv(conv(conv(x, 3), 4, groups), 5, groups))
    return dense(p, x, ("dense6", "dense7"))


@pytest.mark.parametrize("grouped", [True, False])
def test_forward_matches_the_numpy_oracle(grouped):
    network = AlexNet(classes=3, grouped=grouped, width=1 / 32)
    variables, images = randomised(network, (2, 16, 16, 3))
    images = 60 * images  # large enough for squares to matter next to the 2 of the normalisation
    reference = partial(oracle, grouped=grouped)
    actual, expected = actual_and_expected(network, variables, images, reference)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_gradient_and_initial_weights():
    network = AlexNet(classes=5, width=1 / 32)
    images = jnp.asarray(np.random.default_rng(0).normal(0, 60, (1, 32, 32, 3)), jnp.float32)

    @jax.jit
    def run(key):
        params = network.init(key, images)["params"]

        def loss(params, key):
            logits = network.apply({"params": params}, images, train=True, rngs={"dropout": key})
            return -jax.nn.log_softmax(logits)[:, 0].sum()

        return params, jax.value_and_grad(loss)(params, key)

    params, (loss, gradient) = run(jax.random.key(0))
    assert np.isfinite(loss)
    assert all(np.isfinite(g).all() and np.any(g) for g in jax.tree.leaves(gradient))
    for name, bias in (("conv1", 0), ("conv2", 1), ("conv3", 0), ("conv5", 1), ("dense7", 1)):
        assert (params[name]["bias"] == bias).all()
    # 0.01 at width 1; with fewer inputs larger, to preserve the scale of the sum over them
    for name, published in (("conv1", 363), ("conv2", 1200), ("dense6", 9216)):
        kernel = np.asarray(params[name]["kernel"])
        inputs = np.prod(kernel.shape[:-1])
        assert kernel.std() * np.sqrt(inputs) == pytest.approx(0.01 * published**0.5, rel=0.1)


@pytest.mark.parametrize("shape", [(1, 100, 100, 3), (1, 14, 14, 1), (1, 32, 31, 1), (32, 32, 1)])
def test_other_sizes_are_rejected_with_their_shape(shape):
    with pytest.raises(ValueError, match="images must be") as caught:
        AlexNet().init(jax.random.key(0), jnp.zeros(shape))
    assert str(shape) in str(caught.value)


def test_dropout_drops_outputs_of_the_first_two_dense_layers():
    """Section 4.2 of the paper: outputs of hidden neurons are set to zero."""
    network = AlexNet(classes=5, width=1 / 32)
    images = jnp.ones((1, 32, 32, 3))

    @jax.jit
    def run(keys):
        _, state = network.apply(
            network.init(keys[0], images),
            images,
            train=True,
            rngs={"dropout": keys[1]},
            capture_intermediates=lambda module, _: type(module).__name__ in ("Dropout", "Dense"),
        )
        return state["intermediates"]

    found = run((jax.random.key(0), jax.random.key(1)))
    for number, name in enumerate(("dense6", "dense7")):
        before, after = found[name]["__call__"][0], found[f"Dropout_{number}"]["__call__"][0]
        assert before.shape == after.shape
        kept = np.asarray(after != 0)
        np.testing.assert_allclose(after[kept], 2 * np.maximum(before, 0)[kept], rtol=1e-5)
        assert 0 < kept.sum() < (before > 0).sum()
