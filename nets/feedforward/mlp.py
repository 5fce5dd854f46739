"""Multi-layer perceptron: dense layers with an activation function after each but the last."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from .activations import ACTIVATIONS


class MLP(nn.Module):
    """h_0 = x, h_l = f(W_l h_(l-1) + b_l) for each hidden layer, outputs = W h_L + b.

    widths: units of each hidden layer, of which there may be none. activation: f, a name in
    ACTIVATIONS. Source: Rumelhart, Hinton and Williams, "Learning representations by
    back-propagating errors", 1986.

    >>> variables = MLP((10, 20, 10), 3).init(jax.random.key(0), jnp.zeros((2, 4)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables))
    513
    """

    widths: Sequence[int]
    outputs: int
    activation: str = "relu"
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Make the layers `hidden0`, `hidden1`, ... and `output`."""
        options: dict[str, Any] = {
            "kernel_init": self.kernel_init,
            "bias_init": self.bias_init,
            "dtype": self.dtype,
        }
        for i, width in enumerate(self.widths):
            setattr(self, f"hidden{i}", nn.Dense(width, **options))
        self.output = nn.Dense(self.outputs, **options)

    def hidden(self, x: jax.Array, *, train: bool = False) -> list[jax.Array]:
        """Return the activities [B, widths[l]] of every hidden layer for x float [B, D]."""
        del train
        x, layers = x.astype(self.dtype), []
        for i in range(len(self.widths)):
            x = ACTIVATIONS[self.activation](getattr(self, f"hidden{i}")(x))
            layers.append(x)
        return layers

    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        """Return outputs float32 [B, outputs] for x float [B, D]."""
        last = [x.astype(self.dtype), *self.hidden(x, train=train)][-1]
        return self.output(last).astype(jnp.float32)
