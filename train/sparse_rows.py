"""Tables of which a step reads a few rows: their gradient is of those rows alone.

A dense gradient of a table of V word vectors costs a pass over V rows at each step, whatever the
batch. So a step gathers the rows that the batch reads, differentiates with respect to them, and
adds their updates into the donated table in place. The optimizer must not keep a state of the
parameters' shape: it sees rows where the tables are.
"""

from collections.abc import Mapping
from typing import Any

import jax
import optax

Ids = Mapping[str, jax.Array]


def gather(params: Any, ids: Ids) -> Any:
    """Return the parameters with rows [*ids.shape, ...] in the place of the tables named in ids."""
    return {**params, **{name: params[name][rows] for name, rows in ids.items()}} if ids else params


def with_tables(read: Any, params: Any, ids: Ids) -> dict[str, Any]:
    """Return a model's variables: whole tables among "params", what was gathered as "rows"."""
    if not ids:
        return {"params": read}
    tables = {name: params[name] for name in ids}
    return {"params": {**read, **tables}, "rows": {name: read[name] for name in ids}}


def scatter_add(params: Any, ids: Ids, updates: Any) -> Any:
    """Add updates of what `gather` returned; a row that was read twice gets the sum of both."""
    if not ids:
        return optax.apply_updates(params, updates)
    rest = {name: leaf for name, leaf in params.items() if name not in ids}
    new = optax.apply_updates(rest, {name: updates[name] for name in rest})
    return {**new, **{name: params[name].at[rows].add(updates[name]) for name, rows in ids.items()}}


def total(gradient: Any, ids: Ids, axis_name: str) -> tuple[Any, Ids]:
    """Sum over devices what all of them hold; join, in order, the rows that each of them read."""

    def join(x):
        return jax.lax.all_gather(x, axis_name, tiled=True)

    summed = {
        name: jax.tree.map(join, leaf) if name in ids else jax.lax.psum(leaf, axis_name)
        for name, leaf in gradient.items()
    }
    return summed, {name: join(rows) for name, rows in ids.items()}
