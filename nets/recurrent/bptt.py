"""Backpropagation through time by hand, for the three standard cells.

Autodiff of a scan adds h_{t-1}^T d_t to the gradient of the recurrent kernel at every step: T small
products, and T passes over a matrix. Here the forward scan stores, for each step, the factors by
which a gradient is multiplied on its way back; the backward scan carries d h alone and writes down
d_t = d loss / d (pre-activations); then one product over all T * N rows gives the whole gradient of
each kernel. Tests hold values and gradients to autodiff.

Source: Appleyard et al., "Optimizing performance of recurrent neural networks on GPUs", 2016.

A custom rule has no forward mode: `jax.jvp` needs `RNN(..., rule="autodiff")`. Reverse over reverse
works.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from .cells import Cell, ElmanCell, GRUCell, LSTMCarry, LSTMCell, Weights, sum_dtype
from .scan import Options, Steps, forget, hoist_pays_forward, reader, select, shown, slow_kernel

Saved = dict[str, jax.Array]


class Rule(NamedTuple):
    """A cell's step and its transpose.

    forward(cell, weights, carry, inputs) -> (carry, saved [N, ...])
    backward(cell, weights, saved, gradient of the carry) -> (gradient of the carry before, d)
    gradients(cell, saved, h, d) -> gradients of the recurrent weights, from rows of all steps

    d [N, G * H] is the gradient of the input product; h [N, H] the output before the step.
    """

    forward: Callable[..., tuple[Any, Saved]]
    backward: Callable[..., tuple[Any, jax.Array]]
    gradients: Callable[..., Weights]


def turns(kernel, rows: int) -> bool:
    """Whether `turned_product` is faster: a slow kernel, which as the first operand is not packed.

    Measured with 8 to 128 rows; with other numbers of rows than multiples of 8 it gains nothing.
    """
    return rows % 8 == 0 and 16 <= rows <= 64 and slow_kernel(*kernel.shape)


def turned_product(kernel, x, wide):
    """Return x @ kernel^T in dtype `wide` as (kernel @ x^T)^T: [M, K] x [N, K] -> [N, M]."""
    # the barrier keeps XLA from turning the product back
    wanted = sum_dtype(x.dtype, wide)
    product = lax.dot_general(kernel, x, (((1,), (1,)), ((), ())), preferred_element_type=wanted)
    return lax.optimization_barrier(product).T.astype(wide)


def back(cell: Cell, d, kernel):
    """Return d @ kernel^T in the cell's dtype: [N, columns] x [H, columns] -> [N, H]."""
    dtype = cell.dtype or cell.param_dtype
    low, kernel = d.astype(dtype), kernel.astype(dtype)
    if turns(kernel, len(d)):
        return turned_product(kernel, low, d.dtype)
    wanted = sum_dtype(dtype, d.dtype)
    product = lax.dot_general(low, kernel, (((1,), (1,)), ((), ())), preferred_element_type=wanted)
    return product.astype(d.dtype)


def with_turned(cell: Cell, weights: Weights, rows: int) -> Weights:
    """Add the recurrent kernel transposed, made once before the loop, where that is faster."""
    kernel = weights["recurrent_kernel"]
    if not turns(kernel, rows):
        return weights
    turned = kernel.T.astype(cell.dtype or cell.param_dtype)
    return {**weights, "turned_kernel": lax.optimization_barrier(turned)}


def recur(cell: Cell, weights: Weights, h):
    """Recurrent product h @ W in param_dtype: [N, H] -> [N, G * H]."""
    if "turned_kernel" not in weights:
        return cell.recur(weights, h, None)
    kernel = weights["turned_kernel"]
    return turned_product(kernel, h.astype(kernel.dtype), cell.param_dtype)


def outer(cell: Cell, h, d):
    """Return h^T @ d in the cell's dtype, summed in param_dtype: [N, H] x [N, M] -> [H, M]."""
    dtype = cell.dtype or cell.param_dtype
    turned = h.astype(dtype).T
    slow = slow_kernel(h.shape[1], d.shape[1])
    if slow or dtype != cell.param_dtype:  # transposed within the product
        turned = lax.optimization_barrier(turned)
    return jnp.matmul(turned, d.astype(dtype), preferred_element_type=cell.param_dtype)


def total(d):
    """Sum over rows [N, M] -> [M], as a product, which is faster."""
    return (jnp.ones((1, d.shape[0]), d.dtype) @ d)[0]


def _elman_forward(cell, weights, carry, inputs):
    h = jnp.tanh(inputs.astype(carry.dtype) + recur(cell, weights, carry))
    return h, {"slope": 1 - h * h}


def _elman_backward(cell, weights, saved, dh):
    d = dh * saved["slope"]
    return back(cell, d, weights["recurrent_kernel"]), d


def _kernel_gradient(cell, saved, h, d):
    return {"recurrent_kernel": outer(cell, h, d)}


def _lstm_forward(cell, weights, carry, inputs):
    """All four gates as one array [N, 4, H], so that XLA makes one parallel loop of it.

    sigmoid(x) = tanh(x / 2) / 2 + 1 / 2; its slope is s (1 - s).
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
    with_it = [g[:, None], carry.c[:, None], i[:, None], squashed[:, None]]  # i g, f c, g i, o tanh
    partner = jnp.select([gate == k for k in range(4)], with_it)
    saved = {"slope": slope * partner, "cell": o * (1 - squashed * squashed), "forget": f}
    return LSTMCarry(c, o * squashed), saved


def _lstm_backward(cell, weights, saved, carry):
    dc = carry.c + carry.h * saved["cell"]
    d = jnp.concatenate([dc, dc, dc, carry.h], axis=-1) * saved["slope"].reshape(len(dc), -1)
    return LSTMCarry(dc * saved["forget"], back(cell, d, weights["recurrent_kernel"])), d


def _gru_forward(cell, weights, carry, inputs):
    split = 2 * cell.features
    inputs = inputs.astype(carry.dtype)
    kernel = weights["recurrent_kernel"]
    if cell.reset_after:
        product = recur(cell, weights, carry)
        gates = nn.sigmoid(inputs[:, :split] + product[:, :split])
        z, r = jnp.split(gates, 2, axis=-1)
        reset = product[:, split:] + weights["recurrent_bias"]  # what r multiplies
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


def _gru_backward(cell, weights, saved, dh):
    split = 2 * cell.features
    kernel = weights["recurrent_kernel"]
    dz, dn = dh * saved["z_slope"], dh * saved["n_slope"]
    if cell.reset_after:
        dr = dn * saved["r_slope"]
        through = back(cell, jnp.concatenate([dz, dr, dn * saved["r"]], axis=-1), kernel)
    else:
        dreset = back(cell, dn, kernel[:, split:])
        dr = dreset * saved["r_slope"]
        through = dreset * saved["r"]
        through += back(cell, jnp.concatenate([dz, dr], axis=-1), kernel[:, :split])
    return dh * saved["z"] + through, jnp.concatenate([dz, dr, dn], axis=-1)


def _gru_gradients(cell, saved, h, d):
    split = 2 * cell.features
    gates, dn = d[:, :split], d[:, split:]
    if cell.reset_after:
        dreset = dn * saved["r"]
        kernel = outer(cell, h, jnp.concatenate([gates, dreset], axis=-1))
        return {"recurrent_kernel": kernel, "recurrent_bias": total(dreset)}
    parts = [outer(cell, h, gates), outer(cell, saved["r"] * h, dn)]
    return {"recurrent_kernel": jnp.concatenate(parts, axis=-1)}


RULES = {
    ElmanCell: Rule(_elman_forward, _elman_backward, _kernel_gradient),
    LSTMCell: Rule(_lstm_forward, _lstm_backward, _kernel_gradient),
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
def scan_fused(cell: Cell, options: Options, weights: Weights, carry, steps: Steps):
    """Run a cell that has a rule: (carry, outputs [T, N, H])."""
    options = options._replace(hoist=options.hoist or hoist_pays_forward(cell, steps.x))
    return _forward(cell, options, weights, carry, steps)[0]


def _forward(cell, options, weights, carry, steps):
    rule = RULES[type(cell)]
    read, inputs = reader(cell, weights, steps, options.hoist)
    within = with_turned(cell, weights, steps.x.shape[1])

    def body(carry, step):
        start = forget(step.resets, carry)
        new, saved = rule.forward(cell, within, start, inputs(step.x))
        # with neither padding nor resets, the outputs shifted by one step are the same
        before = None if step.valid is None and step.resets is None else cell.output(start)
        return select(step.valid, new, start), (shown(step.valid, cell.output(new)), saved, before)

    last, (outputs, saved, before) = lax.scan(
        body, carry, read, reverse=options.reverse, unroll=options.unroll
    )
    return (last, outputs), (weights, cell.output(carry), steps, outputs, saved, before)


def _backward(cell, options, kept, gradient):
    weights, first, steps, outputs, saved, before = kept
    rule = RULES[type(cell)]

    def body(dcarry, step):
        dy, saved, valid, resets = step
        dy = shown(valid, dy)
        held = LSTMCarry(dcarry.c, dcarry.h + dy) if type(cell) is LSTMCell else dcarry + dy
        start, d = rule.backward(cell, weights, saved, held)
        return forget(resets, select(valid, start, dcarry)), shown(valid, d)

    dlast, doutputs = gradient
    dcarry, d = lax.scan(
        body,
        dlast,
        (doutputs, saved, steps.valid, steps.resets),
        reverse=not options.reverse,
        unroll=options.unroll,
    )
    if before is None:
        ends = (outputs[1:], first[None]) if options.reverse else (first[None], outputs[:-1])
        before = jnp.concatenate(ends)[: outputs.shape[0]]  # none of no steps
    x, d, before, saved = jax.tree.map(
        lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (steps.x, d, before, saved)
    )
    dweights = {"kernel": outer(cell, x, d), "bias": total(d)}
    dweights.update(rule.gradients(cell, saved, before, d))
    dx = back(cell, d, weights["kernel"]).reshape(steps.x.shape).astype(steps.x.dtype)
    return dweights, dcarry, Steps(dx, None, None, None)


scan_fused.defvjp(_forward, _backward)
