"""Where the rows of a packed batch restart, for layers that read in either direction."""

import jax
import jax.numpy as jnp
from jax import lax


def starts_of(segment_ids: jax.Array) -> jax.Array:
    """Bool [..., T]: True where a step has another id than the one before it.

    >>> starts_of(jnp.array([7, 7, 7, 2, 2])).tolist()
    [False, False, False, True, False]
    """
    changes = segment_ids[..., 1:] != segment_ids[..., :-1]
    return jnp.concatenate([jnp.zeros_like(segment_ids[..., :1], bool), changes], axis=-1)


def restarts(starts: jax.Array, valid: jax.Array | None, reverse: bool) -> jax.Array:
    """Bool [..., T]: True at a valid step that a layer must read with a fresh carry.

    starts: bool [..., T], True where a sequence begins. Forwards, a layer restarts at the first
    valid step of each sequence; backwards, at the last one of each sequence but the last. A start
    in the padding after the last valid step changes nothing, and one within a hole of the mask
    takes effect at the next valid step that is read.
    """
    if valid is None:
        if not reverse:
            return starts
        return jnp.concatenate([starts[..., 1:], jnp.zeros_like(starts[..., :1])], axis=-1)
    axis = starts.ndim - 1
    sequence = jnp.cumsum(starts, axis=axis, dtype=jnp.int32)  # index of the sequence of a step
    if reverse:
        sequence = sequence[..., -1:] - sequence  # counted from the end, where reading begins
    none = -1 if reverse else 0  # backwards, the first step continues from the initial carry
    before = lax.cummax(jnp.where(valid, sequence, none), axis=axis, reverse=reverse)
    edge = jnp.full_like(before[..., :1], none)
    parts = [before[..., 1:], edge] if reverse else [edge, before[..., :-1]]
    before = jnp.concatenate(parts, axis=-1)  # of the valid step that is read before this one
    return valid & (before >= 0) & (sequence > before)
