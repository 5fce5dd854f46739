"""Autoencoders: principal components, tied weights, penalties, shapes, and corruption."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.feedforward.autoencoder import (
    ConvolutionalAutoencoder,
    DenseAutoencoder,
    sparsity_divergence,
)

SHAPE = (4, 3, 1)
IMAGES = jax.random.uniform(jax.random.key(0), (20, *SHAPE))


def count(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables))


def init(model, images=IMAGES):
    return jax.jit(model.init)(jax.random.key(1), images)


@pytest.mark.parametrize("tie_weights", [False, True])
def test_a_linear_network_is_optimal_at_the_principal_components(tie_weights):
    model = DenseAutoencoder(SHAPE, (), 5, tie_weights=tie_weights)
    x = np.asarray(IMAGES, np.float64).reshape(len(IMAGES), -1)
    mean = x.mean(axis=0)
    _, scale, directions = np.linalg.svd(x - mean, full_matrices=False)
    layer = {
        "kernel": directions[:5].T,
        "hidden_bias": -mean @ directions[:5].T,
        "visible_bias": mean,
    }
    if not tie_weights:
        layer["decoder_kernel"] = directions[:5]
    params = {"layer_0": jax.tree.map(lambda array: jnp.array(array, jnp.float32), layer)}

    def error(params):  # of the outputs themselves, without the logistic function
        logits, _ = model.apply({"params": params}, IMAGES)
        return jnp.square(logits - IMAGES).sum()

    run = jax.jit(jax.value_and_grad(error))
    value, gradient = run(params)
    np.testing.assert_allclose(value, (scale[5:] ** 2).sum(), rtol=1e-5)
    for leaf in jax.tree.leaves(gradient):
        np.testing.assert_allclose(leaf, 0, atol=1e-4)
    moved = jax.tree.map(lambda leaf: leaf + 0.01, params)
    assert run(moved)[0] > value


def test_tied_weights_are_transposes():
    sizes = [(12, 7), (7, 4), (4, 2)]
    kernels, biases = sum(a * b for a, b in sizes), sum(a + b for a, b in sizes)
    options = {"shape": SHAPE, "widths": (7, 4), "code": 2, "activation": "tanh"}
    tied, untied = (DenseAutoencoder(**options, tie_weights=tie) for tie in (True, False))
    of_tied, of_untied = init(tied), init(untied)
    assert count(of_tied) == kernels + biases
    assert count(of_untied) == 2 * kernels + biases
    # without tied weights the decoder starts as the transpose
    found = tied.apply(of_tied, IMAGES)  # not in one program, which may transpose in the product
    np.testing.assert_array_equal(found[0], untied.apply(of_untied, IMAGES)[0])
    params = of_tied["params"]
    x = np.asarray(IMAGES).reshape(len(IMAGES), -1)
    for i in range(3):
        x = x @ params[f"layer_{i}"]["kernel"] + params[f"layer_{i}"]["hidden_bias"]
        x = np.tanh(x) if i < 2 else x
    code = x
    for i in (2, 1, 0):
        x = x @ np.transpose(params[f"layer_{i}"]["kernel"]) + params[f"layer_{i}"]["visible_bias"]
        x = np.tanh(x) if i else x
    np.testing.assert_allclose(found[1], code, atol=1e-5)
    np.testing.assert_allclose(found[0], x.reshape(IMAGES.shape), atol=1e-5)


def test_the_decoder_remains_the_transpose_while_a_layer_is_pretrained():
    model = DenseAutoencoder(SHAPE, (7,), 2, activation="sigmoid")
    params = init(model)["params"]

    def loss(params, index):
        method = DenseAutoencoder.contrastive_divergence
        rngs = {"dropout": jax.random.key(2)}
        return model.apply({"params": params}, IMAGES, index, rngs=rngs, method=method)[0].sum()

    gradients = jax.jit(lambda params: [jax.grad(loss)(params, index) for index in range(2)])(
        params
    )
    for of_layer, gradient in zip(("layer_0", "layer_1"), gradients, strict=True):
        own = gradient.pop(of_layer)
        assert np.abs(own["kernel"]).max() > 0
        np.testing.assert_allclose(own["decoder_kernel"].T, own["kernel"], rtol=1e-6)
        assert not any(leaf.any() for leaf in jax.tree.leaves(gradient))


def test_the_sparsity_penalty():
    model = DenseAutoencoder(
        SHAPE, (), 4, code_activation="sigmoid", sparsity_penalty=0.5, sparsity_target=0.2
    )
    variables = init(model)

    @partial(jax.jit, static_argnums=1)
    def apply(variables, train):
        return model.apply(variables, IMAGES, train=train, mutable=["penalties"])

    (_, code), changed = apply(variables, True)
    expected = 0.0
    for unit in np.asarray(code, np.float64).T:
        mean = sum(unit) / len(unit)
        expected += 0.2 * np.log(0.2 / mean) + 0.8 * np.log(0.8 / (1 - mean))
    (penalty,) = jax.tree.leaves(changed)
    np.testing.assert_allclose(penalty, 0.5 * expected, rtol=1e-5)
    assert not jax.eval_shape(lambda: apply(variables, False))[1]
    on_target = jnp.array([[1.0, 0, 0, 0, 0], [0, 0, 0, 1, 0]]).T
    np.testing.assert_allclose(sparsity_divergence(on_target, 0.2), 0, atol=1e-6)


def test_pixels_are_corrupted_in_training_only():
    model = DenseAutoencoder(SHAPE, (), 4, corruption=0.3)
    variables, ones = init(model), jnp.ones((500, *SHAPE))
    seen = []

    class Seen(DenseAutoencoder):
        def encode(self, images):
            seen.append(np.asarray(images))
            return super().encode(images)

    spy = Seen(SHAPE, (), 4, corruption=0.3)
    for train in (True, False):
        spy.apply(variables, ones, train=train, rngs={"dropout": jax.random.key(2)})
    corrupted, clean = seen
    assert set(np.unique(corrupted)) == {0.0, 1.0}
    np.testing.assert_allclose(corrupted.mean(), 0.7, atol=0.03)
    np.testing.assert_array_equal(clean, ones)


def test_shapes_of_the_convolutional_network():
    images = jnp.zeros((2, 8, 12, 3))
    model = ConvolutionalAutoencoder((8, 12, 3), (4, 6), 5)
    (logits, code), variables = jax.eval_shape(model.init_with_output, jax.random.key(1), images)
    assert logits.shape == images.shape
    assert code.shape == (2, 5)
    shapes = jax.tree.map(lambda leaf: leaf.shape, variables["params"])
    assert shapes["down_1"]["kernel"] == (3, 3, 4, 6)
    assert shapes["to_code"]["kernel"] == (2 * 3 * 6, 5)
    assert shapes["up_1"]["kernel"] == (3, 3, 4, 3)
    with pytest.raises(ValueError, match="cannot be halved 3 times"):
        init(ConvolutionalAutoencoder((8, 12, 3), (4, 6, 8), 5), images)
