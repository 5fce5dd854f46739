"""Gradients of only those rows of a table that a step reads.

A dense gradient of a table of V word vectors costs a pass over V rows at each step, whatever the
batch. Instead, a step gathers the rows that the batch reads, differentiates with respect to them,
and adds their updates to the donated table in place. The optimizer must not keep state of the
parameters' shape, since it sees rows instead of tables.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax

Ids = Mapping[str, jax.Array]


def gather(params: Any, ids: Ids) -> Any:
    """Return the parameters with each table named in ids replaced by its rows [*ids.shape, ...]."""
    return {**params, **{name: params[name][rows] for name, rows in ids.items()}} if ids else params


def value_and_grad(objective: Callable[[Any], Any], params: Any, ids: Ids) -> tuple[Any, Any]:
    """Return ((value, aux), gradient) of objective(variables).

    The gradient has the form of `gather`. variables: the whole tables in "params", the gathered
    rows in "rows".
    """

    def of_gathered(gathered: Any) -> Any:
        if not ids:
            return objective({"params": gathered})
        tables = {name: params[name] for name in ids}
        rows = {name: gathered[name] for name in ids}
        return objective({"params": {**gathered, **tables}, "rows": rows})

    return jax.value_and_grad(of_gathered, has_aux=True)(gather(params, ids))


def partition(gradient: Any, ids: Ids) -> tuple[Any, Any]:
    """Divide a gradient in the form of `gather` into dense gradients and those of rows."""
    if not ids:
        return gradient, {}
    dense = {name: leaf for name, leaf in gradient.items() if name not in ids}
    return dense, {name: gradient[name] for name in ids}


def scatter_add(params: Any, ids: Ids, updates: Any) -> Any:
    """Add updates in the form of `gather`; a row that was read twice gets both of its updates."""
    if not ids:
        return optax.apply_updates(params, updates)
    rest = {name: leaf for name, leaf in params.items() if name not in ids}
    new = optax.apply_updates(rest, {name: updates[name] for name in rest})
    return {**new, **{name: params[name].at[rows].add(updates[name]) for name, rows in ids.items()}}


def all_reduce(gradient: Any, ids: Ids, axis_name: str) -> tuple[Any, Ids]:
    """Sum dense gradients over devices; concatenate, in order, the row gradients and their ids."""

    def concatenate(x: jax.Array) -> jax.Array:
        return jax.lax.all_gather(x, axis_name, tiled=True)

    reduced = {
        name: jax.tree.map(concatenate, leaf) if name in ids else jax.lax.psum(leaf, axis_name)
        for name, leaf in gradient.items()
    }
    return reduced, {name: concatenate(rows) for name, rows in ids.items()}
