"""Checks of the arguments of connectionist temporal classification, which are then arrays."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from ..masking import is_concrete, valid_steps


def checked_logits(
    logits: ArrayLike, lengths: ArrayLike | None, blank_id: int
) -> tuple[Array, Array]:
    """Return logits float32 and lengths int32; raises ValueError if they do not fit."""
    logits = jnp.asarray(logits)
    shape, dtype = logits.shape, logits.dtype
    if len(shape) != 3 or not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(
            f"logits must be floating point [batch, time, symbols], got {dtype} of shape {shape}"
        )
    if not 0 <= blank_id < shape[2]:
        raise ValueError(f"blank_id must be from 0 to {shape[2] - 1}, got {blank_id}")
    return logits.astype(jnp.float32), _checked_lengths(shape[:2], lengths)


def _checked_lengths(shape: tuple[int, ...], lengths: ArrayLike | None) -> Array:
    """Lengths int32 [B] of rows [B, N], N without lengths."""
    if lengths is None:
        return jnp.full(shape[0], shape[1], jnp.int32)
    valid_steps(shape, lengths)
    return jnp.asarray(lengths, jnp.int32)


def checked(
    logits: Any, lengths: Any, labels: Any, label_lengths: Any, blank_id: int
) -> tuple[Array, ...]:
    """Return the arguments as arrays; raises ValueError as far as their values are known."""
    logits, lengths = checked_logits(logits, lengths, blank_id)
    labels = jnp.asarray(labels)
    if not labels.size:
        labels = labels.astype(jnp.int32)  # an empty list is float
    (rows, _, symbols), shape = logits.shape, labels.shape
    if len(shape) != 2 or shape[0] != rows:
        raise ValueError(f"labels must have shape ({rows}, N), got {shape}")
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(f"labels must be integers, got {labels.dtype}")
    label_lengths = _checked_lengths(shape, label_lengths)
    if is_concrete(labels, label_lengths):
        known = np.asarray(labels)[np.arange(shape[1]) < np.asarray(label_lengths)[:, None]]
        if np.any((known < 0) | (known >= symbols) | (known == blank_id)):
            raise ValueError(
                f"labels must be from 0 to {symbols - 1} and not the blank {blank_id}, "
                f"got {sorted(set(known.tolist()))}"
            )
    return logits, lengths, labels.astype(jnp.int32), label_lengths
