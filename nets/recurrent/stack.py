"""DeepRecurrent: a stack of recurrent layers in one or both directions, with dropout."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import ArrayLike

from .cells import CELLS, ElmanCell
from .checks import check_static
from .layers import RNN, Bidirectional, Stacked

UNITS: dict[str, Any] = {**CELLS, "relu": partial(ElmanCell, activation=nn.relu)}
DIRECTIONS = ("both", "forward", "backward")


class DeepRecurrent(nn.Module):
    """h^l = layer_l(h^(l-1)), h^0 = x; with directions "both", h^l is [forward; backward].

    With "backward", all layers read from the end; outputs stay aligned with their inputs.

    hidden: units per direction. cell: "rnn", "gru", "lstm", or "relu", an Elman cell with
    rectifiers. dropout: rate, in training, for the inputs of every layer and the last outputs;
    variational: use one mask for all steps of a row. recurrent_dropout: rate for h in the recurrent
    product, with one mask for all steps. dtype: dtype of the products.

    Sources: Graves, Mohamed and Hinton 2013 (deep bidirectional LSTM); Irsoy and Cardie, "Opinion
    mining with deep recurrent neural networks", 2014 (each direction of a layer reads both
    directions of the layer below); Gal and Ghahramani 2016 (one mask for all steps).

    >>> net, x = DeepRecurrent(8, layers=2), jnp.ones((2, 5, 3))
    >>> variables = net.init(jax.random.key(0), x)
    >>> carries, outputs = net.apply(variables, x, jnp.array([5, 3]))
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
        if self.cell not in UNITS:
            raise ValueError(f"cell must be one of {', '.join(UNITS)}, got {self.cell!r}")
        if self.directions not in DIRECTIONS:
            raise ValueError(
                f"directions must be one of {', '.join(DIRECTIONS)}, got {self.directions!r}"
            )

        def make_rnn(depth: int) -> RNN:
            return RNN(
                UNITS[self.cell](self.hidden, dtype=self.dtype),
                reverse=self.directions == "backward",
                dropout=self.dropout if self.variational and depth else 0.0,
                recurrent_dropout=self.recurrent_dropout,
            )

        def make_layer(depth: int) -> nn.Module:
            if self.directions == "both":
                return Bidirectional(make_rnn(depth), make_rnn(depth))
            return make_rnn(depth)

        layers = [make_layer(depth) for depth in range(self.layers)]
        self.stack = Stacked(layers, dropout=0.0 if self.variational else self.dropout)
        self.drop = nn.Dropout(self.dropout, broadcast_dims=(1,) if self.variational else ())

    def __call__(
        self, x: ArrayLike, lengths: ArrayLike | None = None, train: bool = False
    ) -> tuple[tuple[Any, ...], jax.Array]:
        """Return (carries by layer, outputs [B, T, H]); H is 2 * `hidden` with both directions.

        x: float [B, T, D]. lengths: int [B], or None if all rows have T steps. train: enables
        dropout, which needs the random stream "dropout". Outputs are zero at padding, whose values
        are not read. The carries are those of `nets.recurrent.layers.Stacked`.
        """
        check_static("train", train)
        x = self.drop(x, deterministic=not train)
        carries, h = self.stack(x, lengths, deterministic=not train)
        return carries, self.drop(h, deterministic=not train)
