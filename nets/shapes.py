"""Shapes that also hold for empty and divided batches, and without implicit broadcasting."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec


def is_static(size: Any) -> bool:
    """Whether a size is a number rather than a symbolic dimension of `jax.export`."""
    return isinstance(size, int)


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


def parts_of(rows: int) -> int:
    """Return the number of parts of a batch of N rows that devices may have.

    It is the greatest common divisor of N and the number of devices, or 1 where N is symbolic.
    """
    return math.gcd(rows, jax.device_count()) if isinstance(rows, int) else 1


def by_part(function: Callable[..., Any], *arrays: jax.Array) -> Any:
    """Map a function over the parts [P, ...] of arrays; a single one needs no batched products.

    >>> by_part(lambda x: x.sum(), jnp.ones((2, 3))).tolist()
    [3.0, 3.0]
    """
    if len(arrays[0]) > 1:
        return jax.vmap(function)(*arrays)
    return jax.tree.map(lambda leaf: leaf[None], function(*(array[0] for array in arrays)))


def zeros_by_row(x: jax.Array, axes: int = 1, dtype: Any = jnp.float32) -> jax.Array:
    """Return zeros of the shape of the first `axes` axes of x, divided over devices as x is.

    On explicit axes of a mesh and in `jax.shard_map`, arrays that are divided have a type of their
    own, and the carry of a loop must have it from the start.

    >>> zeros_by_row(jnp.ones((2, 4, 3))).tolist()
    [0.0, 0.0]
    """
    first = x[(*(slice(None),) * axes, *(slice(1),) * (x.ndim - axes))]
    return jnp.zeros_like(first, dtype).sum(axis=range(axes, x.ndim), dtype=dtype)


def as_rows_of(x: jax.Array, leaf: jax.Array) -> jax.Array:
    """Return a leaf [N, ...] of numbers with the type of the rows of x: see `zeros_by_row`."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.extended):  # random keys
        return leaf
    zeros = zeros_by_row(x, dtype=leaf.dtype)
    return leaf + jnp.expand_dims(zeros, tuple(range(1, leaf.ndim)))


def varying(tree: Any, x: jax.Array) -> Any:
    """Return a tree of floats that in `jax.shard_map` has the type of x, which varies by device.

    A hand-written gradient of it is then that of a device's own rows, and JAX adds those of all.
    """
    zero = jnp.zeros_like(x).sum()
    return jax.tree.map(lambda leaf: leaf + zero.astype(leaf.dtype), tree)


def replicated(x: jax.Array) -> NamedSharding | None:
    """Return the `out_sharding` of a sum over the rows of x: None without explicit mesh axes."""
    mesh = jax.typeof(x).sharding.mesh
    return NamedSharding(mesh, PartitionSpec()) if AxisType.Explicit in mesh.axis_types else None


def divided(x: jax.Array) -> NamedSharding | None:
    """Return the `out_sharding` of an array with the rows of x: None without explicit mesh axes."""
    sharding = jax.typeof(x).sharding
    if AxisType.Explicit not in sharding.mesh.axis_types:
        return None
    return NamedSharding(sharding.mesh, PartitionSpec(*sharding.spec[:1]))


def merge_rows(x: jax.Array, axis: int = 0) -> jax.Array:
    """Merge steps and rows, the axes [T, N] from `axis` on, so that devices can divide the result.

    Merged step by step, the rows of a device that has a share of N would be in T places, and XLA
    would gather the array onto every device. So the parts of N, not the steps, come first. On a
    single device nothing is moved.

    >>> merge_rows(jnp.zeros((6, 4, 3))).shape
    (24, 3)
    """
    before, (steps, rows), after = x.shape[:axis], x.shape[axis : axis + 2], x.shape[axis + 2 :]
    parts = parts_of(rows)
    split = x.reshape(*before, steps, parts, rows // parts, *after)
    return jnp.swapaxes(split, axis, axis + 1).reshape(*before, steps * rows, *after)


def unmerge_rows(x: jax.Array, steps: int, rows: int, axis: int = 0) -> jax.Array:
    """Invert `merge_rows` for T steps and N rows.

    >>> unmerge_rows(merge_rows(jnp.zeros((6, 4, 3))), 6, 4).shape
    (6, 4, 3)
    """
    before, after, parts = x.shape[:axis], x.shape[axis + 1 :], parts_of(rows)
    split = x.reshape(*before, parts, steps, rows // parts, *after)
    return jnp.swapaxes(split, axis, axis + 1).reshape(*before, steps, rows, *after)
