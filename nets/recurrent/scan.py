"""Run a cell over time, step by step, with `lax.scan`.

Arrays are time-major: x [T, N, D], with N rows in each step. `valid` [T, N] is False at padding,
where the carry is kept and the output is zero. `resets` [T, N] is True where a row restarts before
the step, in reading order (see `nets.recurrent.resets`). Either is None if there is no padding or
no reset.

Inside `jax.export` the numbers of rows and steps may be symbolic; a choice that depends on them
then falls back to the variant that works for every size.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ..choices import products_first, products_first_without_gradient
from .cells import Cell, Drop, GRUCell, Weights


class Steps(NamedTuple):
    """The inputs of the scan, with time as the leading axis."""

    x: jax.Array
    valid: jax.Array | None = None
    resets: jax.Array | None = None
    keys: jax.Array | None = None


class Options(NamedTuple):
    """Options of the scan; hashable, so that they can be a static argument.

    hoist: compute the input product of all steps before the loop instead of in each step.
    zoneout: probabilities that a unit keeps its previous value, one for each leaf of the carry, or
    () for none; if the steps have no keys, the expectation is taken.
    """

    reverse: bool = False
    unroll: int = 1
    hoist: bool = False
    zoneout: tuple[float, ...] = ()


def hoist_pays(cell: Cell, x: jax.Array) -> bool:
    """Whether computing the input product of x [T, N, D] before the loop is faster than inside."""
    return products_first(x.shape[-1], cell.gates * cell.features, cell.gates)


def hoist_pays_forward(cell: Cell, x: jax.Array) -> bool:
    """Like `hoist_pays`, for a pass without gradient."""
    entries = x.shape[0] * x.shape[1] * cell.gates * cell.features
    fuses = not isinstance(cell, GRUCell)
    return hoist_pays(cell, x) or products_first_without_gradient(entries, fuses)


def project_inputs(
    cell: Cell, weights: Weights, steps: Steps, hoist: bool
) -> tuple[Steps, Callable[[jax.Array], jax.Array]]:
    """Return the inputs of the scan, and a function from x of a step to its input product."""
    if hoist:
        return steps._replace(x=cell.project(weights, steps.x)), lambda x: x
    return steps, partial(cell.project, weights)


def select(rows: jax.Array | None, new: Any, old: Any) -> Any:
    """Leaf by leaf, new [N, H] where rows [N] is True and old elsewhere; new if rows is None."""
    if rows is None:
        return new
    return jax.tree.map(lambda a, b: jnp.where(rows[:, None], a, b), new, old)


def zero_padding(valid: jax.Array | None, y: jax.Array) -> jax.Array:
    """Return y [N, H] with zeros in padded rows."""
    return select(valid, y, jnp.zeros_like(y))


def apply_resets(resets: jax.Array | None, carry: Any, fresh: Any = None) -> Any:
    """Return the carry with `fresh`, leaves [H], in the rows that restart; None: zeros."""
    if resets is None:
        return carry
    return select(~resets, carry, jax.tree.map(jnp.zeros_like, carry) if fresh is None else fresh)


def scan_cell(
    cell: Cell,
    weights: Weights,
    carry: Any,
    steps: Steps,
    options: Options,
    *,
    drop: Drop = None,
    fresh: Any = None,
) -> tuple[Any, jax.Array]:
    """Run a cell step by step; return (carry, outputs [T, N, H]).

    drop: multiplier [N, H] of h in the recurrent product, or None. fresh: see `apply_resets`.
    """
    steps, project = project_inputs(cell, weights, steps, options.hoist)

    def body(carry: Any, step: Steps) -> tuple[Any, jax.Array]:
        start = apply_resets(step.resets, carry, fresh)
        new = cell.step(weights, start, project(step.x), drop)
        if options.zoneout:
            from .zoneout import zone_out

            new = zone_out(options.zoneout, step.keys, start, new)
        return select(step.valid, new, start), zero_padding(step.valid, cell.output(new))

    return lax.scan(body, carry, steps, reverse=options.reverse, unroll=options.unroll)
