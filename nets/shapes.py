"""Shapes that also hold for empty batches, and where a program forbids implicit broadcasting."""

import math

import jax
import jax.numpy as jnp


def expand_to(x: jax.Array, like: jax.Array) -> jax.Array:
    """Return x [...] with axes of length 1 in front, so that it has the rank of `like`.

    NumPy's broadcasting does so by itself, unless `jax_numpy_rank_promotion` is "raise".

    >>> expand_to(jnp.zeros(3), jnp.zeros((2, 4, 3))).shape
    (1, 1, 3)
    """
    return jnp.expand_dims(x, tuple(range(like.ndim - x.ndim)))


def flatten_from(x: jax.Array, axis: int) -> jax.Array:
    """Return x with the axes from `axis` on joined; unlike reshape with -1, x may be empty.

    >>> flatten_from(jnp.zeros((0, 4, 3)), 1).shape
    (0, 12)
    """
    return x.reshape(*x.shape[:axis], math.prod(x.shape[axis:]))
