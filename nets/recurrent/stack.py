"""Deep recurrent network of one direction or both, with dropout: what encoders share."""

from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from .cells import CELLS, ElmanCell
from .layers import RNN, Bidirectional, Stacked

UNITS: dict[str, Any] = {**CELLS, "relu": partial(ElmanCell, activation=nn.relu)}
DIRECTIONS = ("both", "forward", "backward")


class DeepRecurrent(nn.Module):
    """h^l = layer_l(h^(l-1)), h^0 = x; with directions "both" each layer has [ahead; behind].

    With "backward" each reads from the end; outputs stay beside their inputs.

    hidden: units of a direction. cell: "rnn", "gru", "lstm", or "relu", an Elman cell with
    rectifiers. dropout: in training, of what every layer reads and of the last outputs;
    variational: with one mask for all steps of a row. recurrent_dropout: of h in the recurrent
    product, with one mask. dtype: that of the products.

    Sources: Graves, Mohamed and Hinton 2013 (deep LSTM of both directions); Irsoy and Cardie,
    "Opinion mining with deep recurrent neural networks", 2014 (each direction of a layer reads both
    of the layer below); Gal and Ghahramani 2016 (one mask).
    """

    hidden: int
    layers: int = 1
    cell: str = "lstm"
    directions: str = "both"
    dropout: float = 0.0
    variational: bool = False
    recurrent_dropout: float = 0.0
    dtype: Any = jnp.float32

    def setup(self):
        """Declare the layers."""
        if self.cell not in UNITS:
            raise ValueError(f"cell must be one of {', '.join(UNITS)}, got {self.cell!r}")
        if self.directions not in DIRECTIONS:
            raise ValueError(
                f"directions must be one of {', '.join(DIRECTIONS)}, got {self.directions!r}"
            )

        def one(depth: int):
            return RNN(
                UNITS[self.cell](self.hidden, dtype=self.dtype),
                reverse=self.directions == "backward",
                dropout=self.dropout if self.variational and depth else 0.0,
                recurrent_dropout=self.recurrent_dropout,
            )

        both = self.directions == "both"
        layers = [Bidirectional(one(k), one(k)) if both else one(k) for k in range(self.layers)]
        self.stack = Stacked(layers, dropout=0.0 if self.variational else self.dropout)
        self.drop = nn.Dropout(self.dropout, broadcast_dims=(1,) if self.variational else ())

    def __call__(self, x, lengths=None, *, train: bool = False):
        """Return (carries by layer, outputs [B, T, H]), H twice `hidden` with both directions.

        x: float [B, T, D]. lengths: int [B], None for all T; outputs are 0 at padding, whatever
        stands there. The carries are as `nets.recurrent.layers.Stacked` returns them.
        """
        x = self.drop(x, deterministic=not train)
        carries, h = self.stack(x, lengths, deterministic=not train)
        return carries, self.drop(h, deterministic=not train)
