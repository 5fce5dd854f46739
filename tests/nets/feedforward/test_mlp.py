import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from nets.feedforward import ACTIVATIONS, MLP


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("widths", [(), (5,), (4, 6)])
def test_mlp_equals_a_loop_in_numpy(activation, widths):
    model = MLP(widths, 3, activation, bias_init=nn.initializers.normal())
    x = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    variables = model.init(jax.random.key(1), x)
    layers = variables["params"]
    h, hidden = x, []
    for i in range(len(widths)):
        a = h @ np.asarray(layers[f"hidden{i}"]["kernel"]) + np.asarray(
            layers[f"hidden{i}"]["bias"]
        )
        h = np.asarray(ACTIVATIONS[activation](jnp.asarray(a)))
        hidden.append(h)
    expected = h @ np.asarray(layers["output"]["kernel"]) + np.asarray(layers["output"]["bias"])
    np.testing.assert_allclose(model.apply(variables, x), expected, rtol=1e-5, atol=1e-6)
    for result, layer in zip(model.apply(variables, x, method="hidden"), hidden, strict=True):
        np.testing.assert_allclose(result, layer, rtol=1e-5, atol=1e-6)


def test_mlp_of_no_rows():
    model = MLP((4,), 3)
    variables = model.init(jax.random.key(0), jnp.zeros((1, 2)))
    assert model.apply(variables, jnp.zeros((0, 2))).shape == (0, 3)
