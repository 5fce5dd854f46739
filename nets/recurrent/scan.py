"""Running a cell over time by `lax.scan`, or all steps at once when the cell is linear.

Everything is time-major here: x [T, N, D], rows of a step [N]. `valid` [T, N] is false at padding:
the carry is held there and the output is zero. `resets` [T, N] is true where a row starts afresh
before the step. Both are None where there is nothing to mark.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .cells import Cell, GRUCell, Weights
from .linear_cells import ParallelCell

LARGE_KERNEL = 2**18  # entries; see `slow_kernel`
CACHED = 2**22  # entries that the last cache of a CPU holds


class Steps(NamedTuple):
    """What the scan reads at each step."""

    x: jax.Array
    valid: jax.Array | None = None
    resets: jax.Array | None = None
    keys: jax.Array | None = None


class Options(NamedTuple):
    """How to scan; hashable, so that it may be static.

    hoist: one input product for all steps before the loop, in place of one in each step.
    zoneout: probability that a unit keeps its last value; without keys in the steps, its
    expectation is taken.
    """

    reverse: bool = False
    unroll: int = 1
    hoist: bool = False
    zoneout: float = 0.0


def slow_kernel(*shape: int) -> bool:
    """Whether the product of a few rows and a kernel of this shape is slow: a large one, on a CPU.

    XLA's libraries pack a second operand, and one that is transposed within the product, anew at
    each call, which for a large one takes as long as the product itself.
    """
    return jax.default_backend() == "cpu" and math.prod(shape) >= LARGE_KERNEL


def hoist_pays(cell: Cell, x) -> bool:
    """Whether the input product of x [T, N, D] is faster before the loop than in it.

    On a CPU it is for one gate, and where the product of a few rows is slow. Otherwise writing the
    products of all steps to memory and reading them back costs more than it saves, and takes the
    room.
    """
    slow = slow_kernel(x.shape[-1], cell.gates * cell.features)
    return jax.default_backend() != "cpu" or cell.gates == 1 or slow


def hoist_pays_forward(cell: Cell, x) -> bool:
    """The same for a pass without a gradient, where nothing else of the steps takes room.

    It pays as long as the products stay in the cache; but the step of a GRU becomes one slow loop
    when XLA reads them from an array.
    """
    entries = x.shape[0] * x.shape[1] * cell.gates * cell.features
    return hoist_pays(cell, x) or (entries <= CACHED and not isinstance(cell, GRUCell))


def reader(cell: Cell, weights: Weights, steps: Steps, hoist: bool):
    """Return what the scan reads, and the function from its x to the input product of a step."""
    if hoist:
        return steps._replace(x=cell.project(weights, steps.x)), lambda x: x
    return steps, partial(cell.project, weights)


def select(rows, chosen, other):
    """Leaf by leaf, chosen [N, H] where rows [N] is true, else other; chosen when rows is None."""
    if rows is None:
        return chosen
    return jax.tree.map(lambda a, b: jnp.where(rows[:, None], a, b), chosen, other)


def shown(valid, y):
    """Zeros where a row is padding."""
    return select(valid, y, jnp.zeros_like(y))


def forget(resets, carry):
    """Zeros where a row starts afresh."""
    return select(None if resets is None else ~resets, carry, jax.tree.map(jnp.zeros_like, carry))


def scan_cell(
    cell: Cell, weights: Weights, carry: Any, steps: Steps, options: Options, *, drop=None
) -> tuple[Any, jax.Array]:
    """Step by step: (carry, outputs [T, N, H]).

    drop: [N, H], what multiplies h in the recurrent product, or None.
    """
    steps, inputs = reader(cell, weights, steps, options.hoist)

    def body(carry, step: Steps):
        start = forget(step.resets, carry)
        new = cell.step(weights, start, inputs(step.x), drop)
        if options.zoneout:
            new = zone_out(options.zoneout, step.keys, start, new)
        return select(step.valid, new, start), shown(step.valid, cell.output(new))

    return lax.scan(body, carry, steps, reverse=options.reverse, unroll=options.unroll)


def zone_out(rate: float, key, old, new):
    """Keep each unit's old value with probability `rate`, or on average when there is no key.

    Source: Krueger et al., "Zoneout", 2017.
    """
    if key is None:
        return jax.tree.map(lambda a, b: rate * a + (1 - rate) * b, old, new)
    leaves, form = jax.tree.flatten(old)
    keys = jax.tree.unflatten(form, list(jax.random.split(key, len(leaves))))
    return jax.tree.map(
        lambda k, a, b: jnp.where(jax.random.bernoulli(k, rate, a.shape), a, b), keys, old, new
    )


def scan_parallel(
    cell: ParallelCell, weights: Weights, carry, steps: Steps, options: Options, *, drop=None
) -> tuple[Any, jax.Array]:
    """All steps by `lax.associative_scan`: (carry, outputs [T, N, H]).

    (a, b) followed by (a', b') is (a a', a' b + b'), which is associative. drop: as in scan_cell.
    """
    inputs = cell.project(weights, steps.x).astype(carry.dtype)
    a, b = cell.coefficients(inputs)
    if drop is not None:
        a = a * drop
    if steps.resets is not None:
        a = jnp.where(steps.resets[..., None], 0, a)
    if steps.valid is not None:
        hold = 1 if steps.resets is None else jnp.where(steps.resets[..., None], 0, 1)
        a = jnp.where(steps.valid[..., None], a, hold)
        b = jnp.where(steps.valid[..., None], b, 0)
    if not a.shape[0]:
        return carry, b
    first = -1 if options.reverse else 0

    def follow(earlier, later):
        # 0 times NaN would be NaN, in the gradient too
        a, b = (jnp.where(later[0] == 0, 0, leaf) for leaf in earlier)
        return a * later[0], later[0] * b + later[1]

    b = b.at[first].set(follow((a[first], carry), (a[first], b[first]))[1])

    _, h = lax.associative_scan(follow, (a, b), reverse=options.reverse)
    outputs = h if steps.valid is None else jnp.where(steps.valid[..., None], h, 0)
    return h[0 if options.reverse else -1], outputs
