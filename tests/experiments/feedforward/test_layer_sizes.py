"""Sizes of activities and gradients against backpropagation in numpy."""

import jax
import numpy as np

from experiments.feedforward.layer_sizes import layer_sizes
from nets.feedforward import MLP


def test_sizes_equal_backpropagation_by_hand():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(6, 3)).astype(np.float32), rng.integers(2, size=6)
    model = MLP((4, 5), 2, "tanh")
    variables = model.init(jax.random.key(0), x)
    layers = {name: np.asarray(layer["kernel"]) for name, layer in variables["params"].items()}
    h1 = np.tanh(x @ layers["hidden0"])
    h2 = np.tanh(h1 @ layers["hidden1"])
    scores = np.exp(h2 @ layers["output"])
    delta = (scores / scores.sum(axis=1, keepdims=True) - np.eye(2)[labels]) / 6
    gradients = [h2.T @ delta]
    delta = delta @ layers["output"].T * (1 - h2**2)
    gradients.append(h1.T @ delta)
    delta = delta @ layers["hidden1"].T * (1 - h1**2)
    gradients.append(x.T @ delta)
    found = layer_sizes(model, variables, x, labels, jax.random.key(1))
    sizes = [np.sqrt(np.mean(h**2)) for h in (x, h1, h2)]
    np.testing.assert_allclose(found.activities, sizes, rtol=1e-5)
    sizes = [np.sqrt(np.mean(gradient**2)) for gradient in reversed(gradients)]
    np.testing.assert_allclose(found.gradients, sizes, rtol=1e-4)
