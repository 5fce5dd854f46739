"""Backpropagation through time with a hand-written gradient, for the three standard cells.

Autodiff of a scan adds h_{t-1}^T d_t to the gradient of the recurrent kernel in every step: T small
products, and T passes over a matrix. Here, the forward scan stores the factors by which each step
multiplies the gradient. The backward scan carries only dh and records d_t = d loss / d
(pre-activations); a single product over all T * N rows then gives the gradient of each kernel. The
rows are merged in an order (`nets.shapes.merge_rows`) in which devices that divide the batch also
divide this product. The tests compare values and gradients with autodiff.

Source: Appleyard et al., "Optimizing performance of recurrent neural networks on GPUs", 2016.

A custom rule has no forward mode: `jax.jvp` needs `RNN(..., rule="autodiff")`. Reverse mode over
reverse mode works.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from ..choices import accumulation_dtype, kernel_first, slow_kernel
from ..shapes import flatten_from, merge_rows, replicated
from .cells import Cell, ElmanCell, GRUCell, LSTMCarry, LSTMCell, Weights
from .scan import (
    Options,
    Steps,
    apply_resets,
    hoist_pays_forward,
    project_inputs,
    select,
    zero_padding,
)

Array = jax.Array
Saved = dict[str, Array]
Forward = tuple[Any, Saved]  # carry, factors of the gradient
Backward = tuple[Any, Array]  # gradients of the carry and of the input product


class Rule(NamedTuple):
    """One step of a cell and its transpose.

    forward(cell, weights, carry, inputs) -> (carry, saved [N, ...])
    backward(cell, weights, saved, gradient of the new carry) -> (gradient of the old carry, d)
    gradients(cell, saved, h, d) -> gradients of the recurrent weights, from the rows of all steps

    d [N, G * H] is the gradient of the input product; h [N, H] is the output before the step.
    """

    forward: Callable[..., Forward]
    backward: Callable[..., Backward]
    gradients: Callable[..., Weights]


def product_kernel_first(kernel: Array, x: Array, wide: Any) -> Array:
    """Return x @ kernel^T in dtype `wide` as (kernel @ x^T)^T: [M, K] x [..., K] -> [..., M]."""
    # the barrier prevents XLA from swapping the operands back
    result, last = accumulation_dtype(x.dtype, wide), (x.ndim - 1,)
    product = lax.dot_general(kernel, x, (((1,), last), ((), ())), preferred_element_type=result)
    return jnp.moveaxis(lax.optimization_barrier(product), 0, -1).astype(wide)


def backproject(cell: Cell, d: Array, kernel: Array) -> Array:
    """Return d @ kernel^T in the cell's dtype: [..., columns] x [H, columns] -> [..., H]."""
    dtype = cell.dtype or cell.param_dtype
    low, kernel = d.astype(dtype), kernel.astype(dtype)
    if kernel_first(kernel.shape, math.prod(d.shape[:-1])):
        return product_kernel_first(kernel, low, d.dtype)
    result, last = accumulation_dtype(dtype, d.dtype), (d.ndim - 1,)
    product = lax.dot_general(low, kernel, ((last, (1,)), ((), ())), preferred_element_type=result)
    return product.astype(d.dtype)


def with_transpose(cell: Cell, weights: Weights, rows: int) -> Weights:
    """Add the transposed recurrent kernel, computed once before the loop, where that is faster."""
    kernel = weights["recurrent_kernel"]
    if not kernel_first(kernel.shape, rows):
        return weights
    transposed = kernel.T.astype(cell.dtype or cell.param_dtype)
    return {**weights, "transposed_kernel": lax.optimization_barrier(transposed)}


def recur(cell: Cell, weights: Weights, h: Array) -> Array:
    """Return the recurrent product h @ W in param_dtype: [N, H] -> [N, G * H]."""
    if "transposed_kernel" not in weights:
        return cell.recur(weights, h, None)
    kernel = weights["transposed_kernel"]
    return product_kernel_first(kernel, h.astype(kernel.dtype), cell.param_dtype)


def kernel_gradient(cell: Cell, h: Array, d: Array) -> Array:
    """Return h^T @ d in the cell's dtype, summed in param_dtype: [N, H] x [N, M] -> [H, M]."""
    dtype = cell.dtype or cell.param_dtype
    transposed = h.astype(dtype).T
    slow = slow_kernel(h.shape[1], d.shape[1])
    if slow or dtype != cell.param_dtype:  # else transposed within the product
        transposed = lax.optimization_barrier(transposed)
    low, result = d.astype(dtype), cell.param_dtype
    return jnp.matmul(transposed, low, preferred_element_type=result, out_sharding=replicated(d))


def sum_rows(d: Array) -> Array:
    """Sum over rows [N, M] -> [M], as a product, which is faster."""
    return jnp.matmul(jnp.ones((1, d.shape[0]), d.dtype), d, out_sharding=replicated(d))[0]


def _elman_forward(cell: Cell, weights: Weights, carry: Array, inputs: Array) -> Forward:
    h = jnp.tanh(inputs.astype(carry.dtype) + recur(cell, weights, carry))
    return h, {"slope": 1 - h * h}


def _elman_backward(cell: Cell, weights: Weights, saved: Saved, dh: Array) -> Backward:
    d = dh * saved["slope"]
    return backproject(cell, d, weights["recurrent_kernel"]), d


def _recurrent_kernel_gradient(cell: Cell, saved: Saved, h: Array, d: Array) -> Weights:
    return {"recurrent_kernel": kernel_gradient(cell, h, d)}


def _lstm_forward(cell: Cell, weights: Weights, carry: LSTMCarry, inputs: Array) -> Forward:
    """Compute all four gates as one array [N, 4, H], which XLA compiles to one parallel loop.

    sigmoid(x) = tanh(x / 2) / 2 + 1 / 2, with the slope s (1 - s).
    """
    rows, hidden = carry.c.shape
    gate = jnp.arange(4)[None, :, None]
    half = jnp.where(gate == 2, 1.0, 0.5).astype(carry.c.dtype)
    offset = jnp.where(gate == 2, 0.0, 0.5).astype(carry.c.dtype)
    pre = inputs.astype(carry.c.dtype) + recur(cell, weights, carry.h)
    gates = half * jnp.tanh(half * pre.reshape(rows, 4, hidden)) + offset
    i, f, g, o = (gates[:, k] for k in range(4))
    c = f * carry.c + i * g
    squashed = jnp.tanh(c)
    slope = jnp.where(gate == 2, 1 - gates * gates, gates * (1 - gates))
    # the other factor of each gate's product: i g, f c, g i, o tanh(c)
    factors = [g[:, None], carry.c[:, None], i[:, None], squashed[:, None]]
    factor = jnp.select([gate == k for k in range(4)], factors)
    saved = {"slope": slope * factor, "cell": o * (1 - squashed * squashed), "forget": f}
    return LSTMCarry(c, o * squashed), saved


def _lstm_backward(cell: Cell, weights: Weights, saved: Saved, carry: LSTMCarry) -> Backward:
    dc = carry.c + carry.h * saved["cell"]
    slope = flatten_from(saved["slope"], 1)
    d = jnp.concatenate([dc, dc, dc, carry.h], axis=-1) * slope
    return LSTMCarry(dc * saved["forget"], backproject(cell, d, weights["recurrent_kernel"])), d


def _gru_forward(cell: GRUCell, weights: Weights, carry: Array, inputs: Array) -> Forward:
    split = 2 * cell.features
    inputs = inputs.astype(carry.dtype)
    kernel = weights["recurrent_kernel"]
    if cell.reset_after:
        product = recur(cell, weights, carry)
        gates = nn.sigmoid(inputs[:, :split] + product[:, :split])
        z, r = jnp.split(gates, 2, axis=-1)
        reset = product[:, split:] + weights["recurrent_bias"]  # multiplied by r
        candidate = r * reset
    else:
        product = cell.product(carry, kernel[:, :split]).astype(carry.dtype)
        gates = nn.sigmoid(inputs[:, :split] + product)
        z, r = jnp.split(gates, 2, axis=-1)
        reset = carry
        candidate = cell.product(r * carry, kernel[:, split:]).astype(carry.dtype)
    n = jnp.tanh(inputs[:, split:] + candidate)
    saved = {
        "z": z,
        "r": r,
        "z_slope": (carry - n) * z * (1 - z),
        "r_slope": reset * r * (1 - r),
        "n_slope": (1 - z) * (1 - n * n),
    }
    return z * carry + (1 - z) * n, saved


def _gru_backward(cell: GRUCell, weights: Weights, saved: Saved, dh: Array) -> Backward:
    split = 2 * cell.features
    kernel = weights["recurrent_kernel"]
    dz, dn = dh * saved["z_slope"], dh * saved["n_slope"]
    if cell.reset_after:
        dr = dn * saved["r_slope"]
        dproduct = jnp.concatenate([dz, dr, dn * saved["r"]], axis=-1)
        dcarry = backproject(cell, dproduct, kernel)
    else:
        dreset = backproject(cell, dn, kernel[:, split:])
        dr = dreset * saved["r_slope"]
        dcarry = dreset * saved["r"]
        dcarry += backproject(cell, jnp.concatenate([dz, dr], axis=-1), kernel[:, :split])
    return dh * saved["z"] + dcarry, jnp.concatenate([dz, dr, dn], axis=-1)


def _gru_gradients(cell: GRUCell, saved: Saved, h: Array, d: Array) -> Weights:
    split = 2 * cell.features
    dgates, dn = d[:, :split], d[:, split:]
    if cell.reset_after:
        dreset = dn * saved["r"]
        kernel = kernel_gradient(cell, h, jnp.concatenate([dgates, dreset], axis=-1))
        return {"recurrent_kernel": kernel, "recurrent_bias": sum_rows(dreset)}
    blocks = [kernel_gradient(cell, h, dgates), kernel_gradient(cell, saved["r"] * h, dn)]
    return {"recurrent_kernel": jnp.concatenate(blocks, axis=-1)}


RULES = {
    ElmanCell: Rule(_elman_forward, _elman_backward, _recurrent_kernel_gradient),
    LSTMCell: Rule(_lstm_forward, _lstm_backward, _recurrent_kernel_gradient),
    GRUCell: Rule(_gru_forward, _gru_backward, _gru_gradients),
}


def has_rule(cell: nn.RNNCellBase) -> bool:
    """Whether the cell is a tanh ElmanCell, an LSTMCell without options, or a GRUCell."""
    if type(cell) is LSTMCell:
        plain = LSTMCell(cell.features, forget_bias=cell.forget_bias, parent=None)
        options = ("peephole", "output_activation", "projection", "layer_norm", "coupled")
        return all(getattr(cell, name) == getattr(plain, name) for name in options)
    return type(cell) is GRUCell or (type(cell) is ElmanCell and cell.activation is jnp.tanh)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def scan_fused(  # noqa: PLR0917, as custom_vjp counts positions
    cell: Cell, options: Options, weights: Weights, carry: Any, steps: Steps, fresh: Any = None
) -> tuple[Any, Array]:
    """Run a cell that has a rule; return (carry, outputs [T, N, H]).

    fresh: see `apply_resets`; None without resets.
    """
    options = options._replace(hoist=options.hoist or hoist_pays_forward(cell, steps.x))
    return _forward(cell, options, weights, carry, steps, fresh)[0]


def _forward(  # noqa: PLR0917, as custom_vjp calls it by position
    cell: Cell, options: Options, weights: Weights, carry: Any, steps: Steps, fresh: Any
) -> Any:
    rule = RULES[type(cell)]
    scanned, project = project_inputs(cell, weights, steps, options.hoist)
    step_weights = with_transpose(cell, weights, steps.x.shape[1])

    def body(carry: Any, step: Steps) -> tuple[Any, Any]:
        start = apply_resets(step.resets, carry, fresh)
        new, saved = rule.forward(cell, step_weights, start, project(step.x))
        # without padding and resets, the outputs shifted by one step are the same
        before = None if step.valid is None and step.resets is None else cell.output(start)
        outputs = zero_padding(step.valid, cell.output(new))
        return select(step.valid, new, start), (outputs, saved, before)

    last, (outputs, saved, before) = lax.scan(
        body, carry, scanned, reverse=options.reverse, unroll=options.unroll
    )
    return (last, outputs), (weights, cell.output(carry), steps, outputs, saved, before, fresh)


def _backward(cell: Cell, options: Options, residuals: Any, gradient: Any) -> Any:
    weights, first, steps, outputs, saved, before, fresh = residuals
    rule = RULES[type(cell)]

    def body(dcarry: Any, step: tuple[Any, ...]) -> tuple[Any, tuple[Array, Any]]:
        dy, saved, valid, resets = step
        dy = zero_padding(valid, dy)
        dnew = LSTMCarry(dcarry.c, dcarry.h + dy) if type(cell) is LSTMCell else dcarry + dy
        dstart, d = rule.backward(cell, weights, saved, dnew)
        dstart = select(valid, dstart, dcarry)
        dfresh = None if fresh is None else apply_resets(~resets, dstart)
        dfresh = jax.tree.map(lambda a: a.sum(axis=0), dfresh)
        return apply_resets(resets, dstart), (zero_padding(valid, d), dfresh)

    dlast, doutputs = gradient
    dcarry, (d, dfresh) = lax.scan(
        body,
        dlast,
        (doutputs, saved, steps.valid, steps.resets),
        reverse=not options.reverse,
        unroll=options.unroll,
    )
    if before is None:
        shifted = (outputs[1:], first[None]) if options.reverse else (first[None], outputs[:-1])
        before = jnp.concatenate(shifted)[: outputs.shape[0]]  # empty if there are no steps
    dx = backproject(cell, d, weights["kernel"]).astype(steps.x.dtype)
    x, d, before, saved = jax.tree.map(merge_rows, (steps.x, d, before, saved))
    dweights = {"kernel": kernel_gradient(cell, x, d), "bias": sum_rows(d)}
    dweights.update(rule.gradients(cell, saved, before, d))
    dfresh = jax.tree.map(lambda a: a.sum(axis=0), dfresh)
    return dweights, dcarry, Steps(dx, None, None, None), dfresh


scan_fused.defvjp(_forward, _backward)
