"""Initial values of the kernels of recurrent cells."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Initializer = Callable[..., Any]


def by_gate(init: Initializer, gates: int) -> Initializer:
    """Initialiser of a kernel [rows, gates * H] that draws the block [rows, H] of each gate."""

    def draw(key: jax.Array, shape: tuple[int, int], dtype: Any) -> Any:
        rows, columns = shape
        keys = jax.random.split(key, gates)
        blocks = [init(k, (rows, columns // gates), dtype) for k in keys]
        # a tree where the initialiser boxes its array, as `nn.with_partitioning` does
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=1), *blocks)

    return draw


def drawn_wide(init: Initializer) -> Initializer:
    """Return an initialiser that draws in float32 or wider: orthogonal ones need it."""

    def draw(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> Any:
        drawn = init(key, shape, jnp.promote_types(dtype, jnp.float32))
        return jax.tree.map(lambda leaf: leaf.astype(dtype), drawn)  # it may be boxed

    return draw
