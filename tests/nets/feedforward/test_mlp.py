import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.feedforward import ACTIVATIONS, INITIALIZERS, MLP
from tests.nets.recurrent.networks import noise_like


@pytest.mark.parametrize("widths", [(), (5,), (4, 6)])
def test_mlp_equals_a_loop_in_numpy(widths):
    networks = [MLP(widths, 3, activation) for activation in ("sigmoid", "tanh", "relu")]
    x = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    variables = noise_like(jax.eval_shape(networks[0].init, jax.random.key(1), x), seed=1)
    layers = variables["params"]

    @jax.jit
    def run(variables):
        return [
            (net.apply(variables, x), net.apply(variables, x, method="hidden")) for net in networks
        ]

    for net, (outputs, results) in zip(networks, run(variables), strict=True):
        h, hidden = x, []
        for i in range(len(widths)):
            a = h @ layers[f"hidden{i}"]["kernel"] + layers[f"hidden{i}"]["bias"]
            h = np.asarray(ACTIVATIONS[net.activation](jnp.asarray(a)))
            hidden.append(h)
        expected = h @ layers["output"]["kernel"] + layers["output"]["bias"]
        np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)
        for result, layer in zip(results, hidden, strict=True):
            np.testing.assert_allclose(result, layer, rtol=1e-5, atol=1e-6)


def test_mlp_of_no_rows():
    model = MLP((4,), 3)
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 2)))
    assert jax.jit(model.apply)(variables, jnp.zeros((0, 2))).shape == (0, 3)


def gradient_of(model, variables, x):
    """Gradient of a loss that weighs all outputs differently."""
    weights = np.random.default_rng(3).normal(size=(len(x), model.outputs))

    def loss(params):
        return (weights * model.apply({"params": params}, x)).sum()

    return jax.grad(loss)(variables["params"])


def test_no_gradient_reaches_hidden_layers_of_steps_unless_it_passes_straight_through():
    x = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    model = MLP((4, 6), 3, "sign")
    other = model.clone(activation="sign_straight_through")

    @jax.jit
    def run(key):
        variables = model.init(key, x)
        networks = (model, other)
        return [(gradient_of(net, variables, x), net.apply(variables, x)) for net in networks]

    (plain, outputs), (through, same) = run(jax.random.key(1))
    np.testing.assert_array_equal(outputs, same)
    for name in ("hidden0", "hidden1"):
        assert not np.any(plain[name]["kernel"])
        assert np.any(through[name]["kernel"])
    np.testing.assert_array_equal(plain["output"]["kernel"], through["output"]["kernel"])
    assert np.any(plain["output"]["kernel"])


def test_maxout_layers_equal_a_loop_in_numpy():
    x = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    model = MLP((4,), 3, "maxout", pieces=3)

    @jax.jit
    def run(key):
        outputs, variables = model.init_with_output(key, x)
        return outputs, variables["params"]

    outputs, layers = jax.tree.map(np.asarray, run(jax.random.key(1)))
    assert layers["hidden0"]["kernel"].shape == (2, 12)
    h = np.zeros((7, 4))
    for unit in range(4):
        kernel = layers["hidden0"]["kernel"][:, 3 * unit : 3 * unit + 3]
        h[:, unit] = (x @ kernel).max(axis=1)
    expected = h @ layers["output"]["kernel"]
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


def test_units_that_start_at_zero_stay_equal():
    x = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)

    def units(name):
        """Largest difference of two units of the hidden layers after some steps."""
        model = MLP((4, 6), 3, "sigmoid", kernel_init=INITIALIZERS[name])

        @jax.jit
        def step(params):
            gradient = gradient_of(model, {"params": params}, x)
            return jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient)

        params = jax.jit(model.init)(jax.random.key(1), x)["params"]
        for _ in range(3):
            params = step(params)
        kernels = [params[layer]["kernel"] for layer in ("hidden0", "hidden1")]
        assert all(np.any(kernel) for kernel in kernels)
        return max(float(np.ptp(kernel, axis=1).max()) for kernel in kernels)

    assert units("zeros") < 1e-7
    assert units("glorot") > 0.1


def test_dropout_is_off_in_evaluation_and_keeps_the_mean_in_training():
    x = np.ones((2000, 3), np.float32)
    model = MLP((5,), 2, dropout=0.4)
    plain = MLP((5,), 2)

    @jax.jit
    def run(key, dropout):
        variables = model.init(key, x)
        return (
            [net.apply(variables, x) for net in (model, plain)],
            plain.apply(variables, x, method="hidden"),
            model.apply(variables, x, train=True, method="hidden", rngs={"dropout": dropout}),
        )

    outputs, (expected,), (found,) = run(jax.random.key(0), jax.random.key(1))
    np.testing.assert_array_equal(*outputs)
    kept = np.asarray(found) != 0
    positive = np.asarray(expected) > 0
    np.testing.assert_allclose(kept[positive].mean(), 0.6, atol=0.02)
    np.testing.assert_allclose(found, np.where(kept, expected / 0.6, 0), rtol=1e-5)


def test_batch_norm_standardises_each_unit_by_the_batch_and_later_by_running_statistics():
    x = np.random.default_rng(0).normal(2, 3, size=(50, 3)).astype(np.float32)
    model = MLP((4,), 2, "identity", batch_norm=True)

    @jax.jit
    def run(key):
        variables = model.init(key, x)
        found, changed = model.apply(
            variables, x, train=True, method="hidden", mutable=["batch_stats"]
        )
        later = model.apply({**variables, **changed}, x, method="hidden")
        return variables, found, changed, later

    variables, (found,), changed, (later,) = run(jax.random.key(0))
    assert set(variables["params"]["hidden0"]) == {"kernel"}
    a = x @ np.asarray(variables["params"]["hidden0"]["kernel"])
    mean, variance = a.mean(axis=0), a.var(axis=0)
    np.testing.assert_allclose(found, (a - mean) / np.sqrt(variance + 1e-5), rtol=1e-3, atol=1e-4)
    statistics = changed["batch_stats"]["norm0"]
    np.testing.assert_allclose(statistics["mean"], 0.1 * mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(statistics["var"], 0.9 + 0.1 * variance, rtol=1e-4)
    expected = (a - statistics["mean"]) / np.sqrt(np.asarray(statistics["var"]) + 1e-5)
    np.testing.assert_allclose(later, expected, rtol=1e-3, atol=1e-4)
