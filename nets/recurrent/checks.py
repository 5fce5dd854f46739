"""Checks of the settings and the arguments of recurrent layers; each raises ValueError."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.typing import ArrayLike

from ..masking import is_concrete, valid_steps
from .cells import Cell
from .resets import starts_of

CHOICES = {"rule": ("custom", "autodiff"), "backend": ("scan", "cudnn")}
RATES = ("recurrent_dropout", "weight_drop", "zoneout", "dropout")
LIFTING = ("variable_axes", "variable_broadcast", "variable_carry", "split_rngs")


@struct.dataclass
class Marks:
    """The checked arguments that all layers of a network read: which steps are what.

    valid: bool [..., T], or None if all steps are valid. resets: bool [..., T], true where a
    sequence begins, or None. lengths: int [...] if they alone tell which steps are valid. reverse:
    whether the layers read in the direction opposite to their own; static, so that `nn.remat` and
    `nn.jit` do not trace it.
    """

    valid: jax.Array | None = None
    resets: jax.Array | None = None
    lengths: ArrayLike | None = None
    reverse: bool = struct.field(pytree_node=False, default=False)


def pure_cell(layer: Any) -> Cell | None:
    """Return the cell of an RNN that can run the cell's pure functions, else None.

    None for Flax cells, for cells with another `__call__` than ours, such as those of `nn.remat`,
    and for an RNN with settings of `nn.scan`: these have to call the cell as a Flax module.
    """
    cell = layer.cell
    lifted = any(getattr(layer, name) != getattr(type(layer), name) for name in LIFTING)
    pure = isinstance(cell, Cell) and type(cell).__call__ is Cell.__call__ and not lifted
    return cell if pure else None


def check_settings(layer: Any) -> None:
    """Check that the fields of an RNN are valid and fit together."""
    cell, kind = layer.cell, type(layer.cell).__name__
    for name, allowed in CHOICES.items():
        if getattr(layer, name) not in allowed:
            raise ValueError(f"{name} must be one of {allowed}, got {getattr(layer, name)!r}")
    if layer.unroll < 1:
        raise ValueError(f"unroll must be at least 1, got {layer.unroll}")
    is_class = isinstance(cell, type)
    if is_class or not hasattr(cell, "num_feature_axes"):
        name, got = (cell.__name__, "a class") if is_class else ("LSTMCell", repr(cell))
        raise ValueError(f"the cell must be a module such as {name}(features), not {got}")
    if cell.num_feature_axes != 1:
        raise ValueError(f"the cell must have one feature axis, {kind} has {cell.num_feature_axes}")
    if layer.remat_chunk and layer.truncate not in (0, layer.remat_chunk):
        raise ValueError(
            "truncate and remat_chunk must be equal if both are given, "
            f"got {layer.truncate} and {layer.remat_chunk}"
        )
    used = [name for name in (*RATES, "remat_chunk", "truncate") if np.any(getattr(layer, name))]
    for name in used:
        for value in np.atleast_1d(getattr(layer, name)).tolist():
            if value < 0 or (value >= 1 and name in RATES):
                raise ValueError(
                    f"{name} must not be negative, and a rate less than 1, got {value}"
                )
    if used and layer.backend == "cudnn":
        raise ValueError(f"{used[0]} needs backend='scan', got 'cudnn'")
    used = [name for name in used if name != "dropout"]
    if used and pure_cell(layer) is None:
        raise ValueError(
            f"{used[0]} needs a cell of nets.recurrent, unwrapped and without "
            f"{', '.join(LIFTING)}, got {kind}"
        )
    if layer.weight_drop and "recurrent_kernel" not in cell.parameters(1):
        raise ValueError(f"weight_drop is not available: {kind} has no recurrent kernel")


def check_inputs(
    x: jax.Array,
    lengths: ArrayLike | None,
    mask: ArrayLike | None,
    resets: ArrayLike | None,
    segment_ids: ArrayLike | None,
) -> Marks:
    """Check the arguments of a layer; return the Marks of the steps of x."""
    if x.ndim < 2 or not x.shape[-1] or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            f"x must be floating point [..., time, features], got {x.dtype} of shape {x.shape}"
        )
    for name, value in (("resets", resets), ("segment_ids", segment_ids)):
        if value is not None and jnp.shape(value) != x.shape[:-1]:
            raise ValueError(f"{name} must have shape {x.shape[:-1]}, got {jnp.shape(value)}")
    if resets is not None and segment_ids is not None:
        raise ValueError("give resets or segment_ids, not both")
    starts = None if resets is None else jnp.asarray(resets).astype(bool)
    if segment_ids is not None:
        starts = starts_of(jnp.asarray(segment_ids))
    valid = valid_steps(x.shape[:-1], lengths, mask)
    return Marks(valid, starts, lengths if mask is None else None)


def draws_noise(train: bool, *rates: Any) -> bool:
    """Whether to draw noise: in training, if any of the rates is not zero.

    `train` is read only if there is such a rate, and must then be no array: `nn.remat` and `nn.jit`
    trace all arguments by default.
    """
    if not any(rates):
        return False
    if not is_concrete(train):
        raise ValueError(
            "train must be a Python bool, got a traced array: pass it by position and include "
            "that position, counted from self = 0, in static_argnums of nn.remat or nn.jit"
        )
    return bool(train)
