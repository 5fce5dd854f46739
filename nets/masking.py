"""Masks of padded batches, and checks of the arguments that describe padding."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from .shapes import expand_to


def valid_steps(
    shape: tuple[int, ...], lengths: ArrayLike | None = None, mask: ArrayLike | None = None
) -> jax.Array | None:
    """Return bool [..., T], True where a step is valid, or None without lengths and mask.

    shape: [..., T]. lengths: int [...]. mask: [..., T], non-zero where a step is valid. With both,
    a step is valid if both say so. Raises ValueError when lengths or mask do not fit the shape.

    >>> valid_steps((2, 3), lengths=jnp.array([1, 3])).tolist()
    [[True, False, False], [True, True, True]]
    """
    valid = None
    time = shape[-1]
    if lengths is not None:
        lengths = jnp.asarray(lengths)
        if lengths.shape != shape[:-1] or not jnp.issubdtype(lengths.dtype, jnp.integer):
            raise ValueError(
                f"lengths must be integers of shape {shape[:-1]} for an input whose batch and "
                f"time axes are {shape}, got {lengths.dtype} of shape {lengths.shape}"
            )
        # inside `jax.jit` the values are unknown, inside `jax.export` the number of steps may be
        if isinstance(time, int) and is_concrete(lengths):
            values = np.asarray(lengths)
            if values.size and (values.min() < 0 or values.max() > time):
                raise ValueError(f"lengths must be from 0 to {time}, got {values.tolist()}")
        steps = jnp.arange(time, dtype=lengths.dtype)
        valid = expand_to(steps, lengths[..., None]) < lengths[..., None]
    if mask is not None:
        if jnp.shape(mask) != shape:
            raise ValueError(f"mask must have shape {shape}, got {jnp.shape(mask)}")
        nonzero = jnp.asarray(mask).astype(bool)
        valid = nonzero if valid is None else valid & nonzero
    return valid


def as_named(expected: Any, carry: Any) -> Any:
    """Return `carry`, a plain tuple as a named one if `expected` is one of the same length."""
    named = isinstance(expected, tuple) and hasattr(expected, "_fields")
    if named and type(carry) is tuple and len(carry) == len(expected):
        return type(expected)(*carry)
    return carry


def check_carry(expected: Any, carry: Any) -> Any:
    """Return `as_named`; raise ValueError unless structure, shapes and dtypes fit."""
    carry = as_named(expected, carry)
    descriptions = [
        jax.tree.map(lambda leaf: f"{leaf.dtype}{list(leaf.shape)}", tree)
        for tree in (expected, jax.tree.map(jnp.asarray, carry))
    ]
    # as values, a NamedTuple and a plain tuple compare equal
    same = str(jax.tree.structure(expected)) == str(jax.tree.structure(carry))
    if descriptions[0] != descriptions[1] or not same:
        raise ValueError(f"initial_carry must be {descriptions[0]}, got {descriptions[1]}")
    return carry


def masked_softmax(scores: jax.Array, valid: jax.Array | None) -> jax.Array:
    """Softmax over the last axis, restricted to valid entries; all other entries are zero.

    valid: bool, of a shape that broadcasts with scores; None if all entries are valid. A row
    without valid entries is zero. Scores of invalid entries, even NaN, affect neither values nor
    gradients.
    """
    if valid is None:
        valid = jnp.ones(scores.shape, bool)
    scores = jnp.where(valid, scores, 0)
    highest = jnp.max(scores, axis=-1, keepdims=True, initial=-jnp.inf, where=valid)
    highest = jnp.where(jnp.isfinite(highest), highest, 0)
    weights = jnp.where(valid, jnp.exp(scores - jax.lax.stop_gradient(highest)), 0)
    total = weights.sum(axis=-1, keepdims=True)
    return weights / jnp.where(total > 0, total, 1)


def only_valid(x: jax.Array, lengths: ArrayLike | None, fill: float = 0.0) -> jax.Array:
    """Return x [B, T, C] with `fill` in the padding; lengths: int [B], or None for no padding."""
    valid = valid_steps(x.shape[:2], lengths)
    return x if valid is None else jnp.where(valid[..., None], x, fill)


def is_concrete(*values: Any) -> bool:
    """Whether all arrays in pytrees have values, unlike the tracers of a program being compiled."""
    return not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(values))
