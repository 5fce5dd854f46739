"""VGG: published counts and layers, a numpy oracle, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.image.vgg import VGG
from tests.nets.image.test_resnet import actual_and_expected, convolve, dense, randomised


def shapes(side, **options):
    images = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
    return jax.eval_shape(VGG(**options).init_with_output, jax.random.key(0), images)


@pytest.mark.parametrize(
    ("layers", "batch_norm", "count"),
    [
        (11, False, 132_863_336),
        (13, False, 133_047_848),
        (16, False, 138_357_544),
        (19, False, 143_667_240),
        (11, True, 132_868_840),
        (13, True, 133_053_736),
        (16, True, 138_365_992),
        (19, True, 143_678_248),
    ],
)
def test_published_parameters_and_layers_with_weights(layers, batch_norm, count):
    logits, variables = shapes(224, layers=layers, batch_norm=batch_norm)
    leaves = jax.tree.leaves(variables["params"])
    assert sum(leaf.size for leaf in leaves) == count
    assert sum(leaf.ndim > 1 for leaf in leaves) == layers
    assert (logits.shape, logits.dtype) == ((2, 1000), jnp.float32)


def test_small_images_end_as_one_position():
    _, variables = shapes(32, layers=11, width=0.125, classes=10)
    assert variables["params"]["dense1"]["kernel"].shape == (64, 512)


def oracle(variables, x):
    """Logits of 11 layers, with running statistics if there are any."""
    p, stats = variables["params"], variables.get("batch_stats", {})
    for block, depth in enumerate((1, 1, 2, 2, 2), 1):
        layers = p[f"block{block}"]
        for number in range(1, depth + 1):
            conv, norm = layers[f"conv{number}"], f"norm{number}"
            x = convolve(x, conv["kernel"]) + conv["bias"]
            if stats:
                running = stats[f"block{block}"][norm]
                x = (x - running["mean"]) / np.sqrt(running["var"] + 1e-5)
                x = x * layers[norm]["scale"] + layers[norm]["bias"]
            x = np.maximum(x, 0)
        n, high, wide, channels = x.shape
        x = x.reshape(n, high // 2, 2, wide // 2, 2, channels).max((2, 4))
    return dense(p, x, ("dense1", "dense2"))


@pytest.mark.parametrize("batch_norm", [False, True])
def test_forward_matches_the_numpy_oracle(batch_norm):
    network = VGG(11, classes=3, batch_norm=batch_norm, width=1 / 32)
    variables, images = randomised(network, (2, 32, 32, 3))
    actual, expected = actual_and_expected(network, variables, images, oracle)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_gradient_and_statistics_of_training():
    network = VGG(11, classes=3, batch_norm=True, width=1 / 64)
    images = jnp.asarray(np.random.default_rng(0).normal(0, 60, (1, 32, 32, 3)), jnp.float32)

    @jax.jit
    def run(key):
        variables = network.init(key, images)

        def loss(params):
            logits, changed = network.apply(
                {**variables, "params": params},
                images,
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": key},
            )
            return -jax.nn.log_softmax(logits)[:, 0].sum(), changed

        return variables["params"], jax.value_and_grad(loss, has_aux=True)(variables["params"])

    params, ((loss, changed), gradient) = run(jax.random.key(0))
    assert np.isfinite(loss)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert np.any(gradient["block1"]["conv1"]["kernel"])
    means = [leaf["norm1"]["mean"] for leaf in changed["batch_stats"].values()]
    assert all(np.isfinite(mean).all() and np.any(mean) for mean in means)
    limit = np.sqrt(6 / (9 * (3 + 1)))  # Glorot's, of 3x3 kernels from 3 to 1 channels
    assert np.abs(params["block1"]["conv1"]["kernel"]).max() <= limit
    assert np.abs(params["block1"]["conv1"]["kernel"]).max() > 0.7 * limit


def test_small_images_and_other_depths_are_rejected():
    with pytest.raises(ValueError, match=r"\(1, 28, 28, 1\)"):
        VGG(11).init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    with pytest.raises(ValueError, match=r"\[11, 13, 16, 19\], got 14"):
        VGG(14).init(jax.random.key(0), jnp.zeros((1, 32, 32, 1)))
