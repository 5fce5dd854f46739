"""DeepRecurrent: a stack of recurrent layers in one or both directions, with dropout."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from .bidirectional import Bidirectional
from .checks import Marks, draws_noise
from .layers import RNN, Layer, Results, Stacked
from .variants import ALL_CELLS

DIRECTIONS = ("both", "forward", "backward")


class DeepRecurrent(Layer):
    """h^l = layer_l(h^(l-1)), h^0 = x; with directions "both", h^l is [forward; backward].

    With "backward", all layers read from the end; outputs stay aligned with their inputs.

    hidden: units per direction. cell: a name in ALL_CELLS. dropout: rate, in training, for the
    inputs of every layer and the last outputs; variational: use one mask for all steps of a row.
    recurrent_dropout: rate for h in the recurrent product, with one mask for all steps. dtype:
    dtype of the products.

    Sources: Graves, Mohamed and Hinton 2013 (deep bidirectional LSTM); Irsoy and Cardie, "Opinion
    mining with deep recurrent neural networks", 2014 (each direction of a layer reads both
    directions of the layer below); Gal and Ghahramani 2016 (one mask for all steps).

    >>> net, x = DeepRecurrent(8, layers=2), jnp.ones((2, 5, 3))
    >>> variables = jax.jit(net.init)(jax.random.key(0), x)
    >>> carries, outputs = jax.jit(net.apply)(variables, x, jnp.array([5, 3]))
    >>> outputs.shape
    (2, 5, 16)
    """

    hidden: int
    layers: int = 1
    cell: str = "lstm"
    directions: str = "both"
    dropout: float = 0.0
    variational: bool = False
    recurrent_dropout: float = 0.0
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Declare the layers."""
        if self.cell not in ALL_CELLS:
            raise ValueError(f"cell must be one of {', '.join(ALL_CELLS)}, got {self.cell!r}")
        if self.directions not in DIRECTIONS:
            raise ValueError(
                f"directions must be one of {', '.join(DIRECTIONS)}, got {self.directions!r}"
            )

        def make_rnn(depth: int) -> RNN:
            return RNN(
                ALL_CELLS[self.cell](self.hidden, dtype=self.dtype),
                reverse=self.directions == "backward",
                dropout=self.dropout if self.variational and depth else 0.0,
                recurrent_dropout=self.recurrent_dropout,
            )

        def make_layer(depth: int) -> Layer:
            if self.directions == "both":
                return Bidirectional(make_rnn(depth), make_rnn(depth))
            return make_rnn(depth)

        layers = [make_layer(depth) for depth in range(self.layers)]
        self.stack = Stacked(layers, dropout=0.0 if self.variational else self.dropout)
        self.drop = nn.Dropout(self.dropout, broadcast_dims=(1,) if self.variational else ())

    def run(self, x: jax.Array, marks: Marks, carry: Any, *, train: bool) -> Results:
        """Return (carries of the layers, outputs); H is 2 * `hidden` with both directions."""
        still = not draws_noise(train, self.dropout)
        x = self.drop(x, deterministic=still)
        carries, h = self.stack(x, marks, None, None, carry, train)
        return carries, self.drop(h, deterministic=still)
