"""How much of the gradient is left when it has been carried back through time.

Source: Hochreiter 1991; Bengio, Simard and Frasconi, "Learning long-term dependencies with gradient
descent is difficult", 1994.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ..recurrent.cells import Cell, LSTMCarry, Weights


def gradients_through_time(step: Callable, carry, inputs, loss: Callable) -> Any:
    """Gradient of loss(h_T) with regard to h_1 .. h_T, where h_t = step(h_{t-1}, inputs_t).

    A zero is added to every h_t, and the loss is differentiated by these zeros. carry: h_0, any
    tree of arrays. inputs: a tree of arrays [T, ...]. loss: carry -> scalar. Returns a tree like
    `carry` with a leading axis T, where h_t is in row t - 1. Parts of a carry are independent
    variables: for c_t of an LSTM what comes back by h_t, which was made of it, does not count.
    """

    def end(zeros):
        def body(state, at):
            zero, given = at
            return jax.tree.map(jnp.add, step(state, given), zero), None

        return loss(jax.lax.scan(body, carry, (zeros, inputs))[0])

    time = jax.tree.leaves(inputs)[0].shape[0]
    return jax.grad(end)(
        jax.tree.map(lambda leaf: jnp.zeros((time, *leaf.shape), leaf.dtype), carry)
    )


def norm(x):
    """Euclidean norm over the last axis; squares of small numbers do not vanish on the way."""
    largest = jnp.abs(x).max(axis=-1, keepdims=True)
    unit = jnp.where(largest > 0, largest, 1)
    return unit[..., 0] * jnp.linalg.norm(x / unit, axis=-1)


def gradient_norms(cell: Cell, weights: Weights, x, loss: Callable) -> dict[str, jax.Array]:
    """Norm of d loss / d h_t at every step of a cell that starts from zeros.

    x: float [N, T, D]. loss: function of the last output [N, H] with a scalar as its value, the sum
    of one term for each row. Returns [T, N] by name, h_t in row t - 1, each row of the batch by
    itself: "state" for the whole carry, then the parts that it has (an LSTM's "c" and "h"; when
    the loss reads h_T alone, "c" is 0 in the last row). Raises ValueError when x has other axes.
    """
    if x.ndim != 3:
        raise ValueError(f"x must be [rows, time, features], got shape {x.shape}")
    carry = cell.initialize_carry(jax.random.key(0), x[:, 0].shape)
    inputs = cell.project(weights, jnp.swapaxes(x, 0, 1))
    found = gradients_through_time(
        partial(cell.step, weights), carry, inputs, lambda state: loss(cell.output(state))
    )
    parts = found._asdict() if isinstance(found, LSTMCarry) else {}
    whole = jnp.concatenate(jax.tree.leaves(found), axis=-1)
    return {name: norm(gradient) for name, gradient in {"state": whole, **parts}.items()}
