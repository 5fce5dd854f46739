"""Gradients of a batch in parts, one after the other, which takes less memory than the whole."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .config import ConfigError, RunConfig


class Gradient(NamedTuple):
    """Sums over the rows of a batch, and what the model changed.

    dense: gradients of parameters. rows: gradients of the rows of tables that the batch reads, by
    table, and their ids: train/sparse_rows.py.
    """

    dense: Any
    rows: Any
    ids: Any
    means: Any
    model_state: Any
    carry: Any


def check_parts(config: RunConfig, devices: int = 1) -> None:
    """Raise ConfigError unless config.accumulate_steps divides the rows of a batch on a device."""
    rows = config.batch_size // devices
    if rows % config.accumulate_steps:
        raise ConfigError(
            f"config.accumulate_steps {config.accumulate_steps} must divide the rows of a batch on "
            f"a device, which are {rows}"
        )


Compute = Callable[[Any, Any, Any, jax.Array], Gradient]


def in_parts(
    compute: Compute, parts: int, model_state: Any, batch: Any, carry: Any, *, key: jax.Array
) -> Gradient:
    """Return compute(model_state, batch, carry, key), computed for `parts` parts of the rows.

    The gradients and means are those of the whole batch up to rounding, also with masks, since both
    are sums. The random key differs from part to part, and each part passes its model_state to the
    next, so batch normalisation uses the statistics of a part.
    """
    if parts == 1:
        return compute(model_state, batch, carry, key)

    def body(sums: Any, part: Any) -> tuple[Any, Any]:
        dense, means, model_state = sums
        batch, carry, number = part
        result = compute(model_state, batch, carry, jax.random.fold_in(key, number))
        dense = jax.tree.map(jnp.add, dense, result.dense)
        means = jax.tree.map(jnp.add, means, result.means)
        return (dense, means, result.model_state), (result.rows, result.ids, result.carry)

    batches, carries = split_rows(batch, parts), split_rows(carry, parts)
    first = jax.tree.map(lambda x: x[0], (batches, carries))
    shapes = jax.eval_shape(compute, model_state, *first, key)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (shapes.dense, shapes.means))
    sums, stacked = jax.lax.scan(body, (*zeros, model_state), (batches, carries, jnp.arange(parts)))
    (dense, means, model_state), (rows, ids, carry) = sums, jax.tree.map(join_rows, stacked)
    return Gradient(dense, rows, ids, means, model_state, carry)


def split_rows(tree: Any, parts: int) -> Any:
    """Return arrays [parts, B / parts, ...]; part i has the rows i, i + parts, i + 2 parts, ...

    So the rows of a batch that is divided over devices stay where they are.
    """

    def split(x: jax.Array) -> jax.Array:
        return x.reshape(x.shape[0] // parts, parts, *x.shape[1:]).swapaxes(0, 1)

    return jax.tree.map(split, tree)


def join_rows(x: jax.Array) -> jax.Array:
    """Inverse of `split_rows` for one array."""
    return x.swapaxes(0, 1).reshape(-1, *x.shape[2:])
