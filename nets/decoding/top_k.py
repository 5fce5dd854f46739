"""The k largest entries of each row, faster than `lax.top_k` for long rows on a CPU."""

import math

import jax.numpy as jnp
from jax import Array, lax

from ..shapes import expand_to, flatten_from

LONG = 512  # rows of at least this length are searched block by block


def top_k(x: Array, k: int) -> tuple[Array, Array]:
    """Return the same as `lax.top_k(x, k)` for x [..., V], several times faster on a CPU.

    The k largest entries are in the k blocks with the largest maxima, so only those blocks are
    searched. Ties are broken as in `lax.top_k`, by the lower index: any entry outside those blocks
    ranks after all k of their maxima.
    """
    length = x.shape[-1]
    size = math.isqrt(length // k)
    if length < LONG or size < 2:
        return lax.top_k(x, k)
    padding = (*((0, 0),) * (x.ndim - 1), (0, -length % size))
    blocks = jnp.pad(x, padding, constant_values=-jnp.inf)
    blocks = blocks.reshape(*x.shape[:-1], blocks.shape[-1] // size, size)
    _, best = lax.top_k(blocks.max(axis=-1), k)
    best = jnp.sort(best, axis=-1)
    within = jnp.arange(size, dtype=best.dtype)
    indices = best[..., None] * size + expand_to(within, x[..., None])
    indices = flatten_from(indices, x.ndim - 1)
    candidates = jnp.take_along_axis(x, jnp.minimum(indices, length - 1), axis=-1)
    values, order = lax.top_k(jnp.where(indices < length, candidates, -jnp.inf), k)
    return values, jnp.take_along_axis(indices, order, axis=-1)
