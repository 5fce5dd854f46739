"""Every recurrent cell by a name, as settings choose it."""

from collections.abc import Callable
from functools import partial
from typing import Any

from flax import linen as nn

from .cells import CELLS, Cell, ElmanCell, GRUCell, LSTMCell


def identity(c: Any) -> Any:
    """Return c."""
    return c


def projected(features: int, **options: Any) -> Cell:
    """Return an LSTM with a memory of 2 * features and its projection to `features` outputs."""
    return LSTMCell(2 * features, projection=features, **options)


def linear(name: str, features: int, **options: Any) -> Cell:
    """Return a cell of `linear_cells`, which is imported when it is first used."""
    from . import linear_cells

    return getattr(linear_cells, name)(features, **options)


LINEAR = ("min_gru", "min_lstm")  # those without recurrent kernels

# all are called as cell(features, **options), with the options of Cell, and have `features` outputs
ALL_CELLS: dict[str, Callable[..., Any]] = {
    **CELLS,
    "relu": partial(ElmanCell, activation=nn.relu),
    "gru_reset_after": partial(GRUCell, reset_after=True),
    "lstm_peephole": partial(LSTMCell, peephole="diagonal"),
    "lstm_full_peephole": partial(LSTMCell, peephole="full"),
    "lstm_linear_output": partial(LSTMCell, output_activation=identity),
    "lstm_layer_norm": partial(LSTMCell, layer_norm=True),
    "lstm_coupled": partial(LSTMCell, coupled=True),
    "lstm_projection": projected,
    "min_gru": partial(linear, "MinGRUCell"),
    "min_lstm": partial(linear, "MinLSTMCell"),
}
