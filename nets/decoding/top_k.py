"""The largest entries of long rows."""

import math

import jax.numpy as jnp
from jax import lax

LONG = 512  # entries of a row, from which on its blocks are looked at first


def top_k(x, k: int):
    """What `lax.top_k(x, k)` returns for x [..., V], several times faster for long rows on a CPU.

    The k largest entries lie in the k blocks with the largest maxima, so only these are searched.
    Of equal entries the first come first here too: an entry outside of these blocks has k maxima
    before it.
    """
    length = x.shape[-1]
    size = math.isqrt(length // k)
    if length < LONG or size < 2:
        return lax.top_k(x, k)
    room = (*((0, 0),) * (x.ndim - 1), (0, -length % size))
    blocks = jnp.pad(x, room, constant_values=-jnp.inf).reshape(*x.shape[:-1], -1, size)
    _, best = lax.top_k(blocks.max(axis=-1), k)
    best = jnp.sort(best, axis=-1)
    indices = (best[..., None] * size + jnp.arange(size)).reshape(*best.shape[:-1], -1)
    inside = jnp.take_along_axis(x, jnp.minimum(indices, length - 1), axis=-1)
    values, found = lax.top_k(jnp.where(indices < length, inside, -jnp.inf), k)
    return values, jnp.take_along_axis(indices, found, axis=-1)
