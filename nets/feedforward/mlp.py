"""Multi-layer perceptron: dense layers with an activation function after each but the last."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from .activations import ACTIVATIONS, maxout


class MLP(nn.Module):
    """h_0 = x, h_l = f(W_l h_(l-1) + b_l) for each hidden layer, outputs = W h_L + b.

    widths: units of each hidden layer, of which there may be none. activation: f, a name in
    ACTIVATIONS, or "maxout", with `pieces` affine functions for each unit. batch_norm: f is applied
    to batch norm of W_l h_(l-1), whose offset replaces b_l. dropout: probability with which each
    h_l is set to 0 in training; the others are divided by 1 - dropout. axis_name: the device axis
    that divides the batch, so that batch norm uses the statistics of the whole batch
    (`train/step.py` sets it); None where one program sees the whole batch. Batch norm computes in
    float32.

    Sources: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors",
    1986; Ioffe and Szegedy, "Batch normalization", 2015; Srivastava et al., "Dropout", 2014.

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
    pieces: int = 2
    dropout: float = 0.0
    batch_norm: bool = False
    axis_name: str | None = None

    def setup(self) -> None:
        """Make the layers `hidden0`, `hidden1`, ... and `output`, and the norms `norm0`, ..."""
        options: dict[str, Any] = {
            "kernel_init": self.kernel_init,
            "bias_init": self.bias_init,
            "dtype": self.dtype,
        }
        pieces = self.pieces if self.activation == "maxout" else 1
        for i, width in enumerate(self.widths):
            layer = nn.Dense(width * pieces, use_bias=not self.batch_norm, **options)
            setattr(self, f"hidden{i}", layer)
            if self.batch_norm:
                setattr(self, f"norm{i}", nn.BatchNorm(momentum=0.9, axis_name=self.axis_name))
        self.drop = nn.Dropout(self.dropout)
        self.output = nn.Dense(self.outputs, **options)

    def hidden(self, x: jax.Array, *, train: bool = False) -> list[jax.Array]:
        """Return the activities [B, widths[l]] of every hidden layer for x float [B, D].

        train: enables dropout, normalises with the statistics of the batch, and updates the running
        ones (collection "batch_stats").
        """
        x, layers = x.astype(self.dtype), []
        for i in range(len(self.widths)):
            x = getattr(self, f"hidden{i}")(x)
            if self.batch_norm:
                x = getattr(self, f"norm{i}")(x, use_running_average=not train)
            if self.activation == "maxout":
                x = maxout(x, self.pieces)
            else:
                x = ACTIVATIONS[self.activation](x)
            x = self.drop(x, deterministic=not train)
            layers.append(x)
        return layers

    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        """Return outputs float32 [B, outputs] for x float [B, D]; train: as in `hidden`."""
        last = [x.astype(self.dtype), *self.hidden(x, train=train)][-1]
        return self.output(last).astype(jnp.float32)
