"""Vanishing gradients: how much of a gradient remains after backpropagation through time.

Source: Hochreiter 1991; Bengio, Simard and Frasconi, "Learning long-term dependencies with gradient
descent is difficult", 1994.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ..recurrent.cells import Cell, LSTMCarry, Weights


def gradients_through_time(
    step: Callable[[Any, Any], Any], carry: Any, inputs: Any, loss: Callable[[Any], jax.Array]
) -> Any:
    """Return the gradients of loss(h_T) with respect to h_1 .. h_T, h_t = step(h_{t-1}, inputs_t).

    A zero is added to every h_t, and the loss is differentiated with respect to these zeros. carry:
    h_0, any tree of arrays. inputs: a tree of arrays [T, ...]. loss: carry -> scalar. Returns a
    tree like `carry` with a leading axis T, where row t - 1 belongs to h_t. The leaves of a carry
    are independent variables: the gradient of an LSTM's c_t excludes the path through h_t, although
    h_t is computed from it.
    """

    def final_loss(zeros: Any) -> jax.Array:
        def body(state: Any, step_inputs: Any) -> tuple[Any, None]:
            zero, x = step_inputs
            return jax.tree.map(jnp.add, step(state, x), zero), None

        return loss(jax.lax.scan(body, carry, (zeros, inputs))[0])

    time = jax.tree.leaves(inputs)[0].shape[0]
    return jax.grad(final_loss)(
        jax.tree.map(lambda leaf: jnp.zeros((time, *leaf.shape), leaf.dtype), carry)
    )


def safe_norm(x: jax.Array) -> jax.Array:
    """Return the Euclidean norm over the last axis, without underflow or overflow of squares."""
    largest = jnp.abs(x).max(axis=-1, keepdims=True)
    scale = jnp.where(largest > 0, largest, 1)
    return scale[..., 0] * jnp.linalg.norm(x / scale, axis=-1)


def gradient_norms(
    cell: Cell, weights: Weights, x: jax.Array, loss: Callable[[jax.Array], jax.Array]
) -> dict[str, jax.Array]:
    """Return the norm of d loss / d h_t at every step of a cell that starts from zeros.

    x: float [N, T, D]. loss: maps the last output [N, H] to a scalar that is a sum of one term for
    each example. Returns arrays [T, N] by name; element [t - 1, n] is the norm at step t for
    example n. "state" is the whole carry; the other names are its leaves (an LSTM's "c" and "h";
    "c" is 0 at step T when the loss depends on h_T only). Raises ValueError when x has other axes.
    """
    if x.ndim != 3:
        raise ValueError(f"x must be [rows, time, features], got shape {x.shape}")
    carry = cell.initialize_carry(jax.random.key(0), x[:, 0].shape)
    inputs = cell.project(weights, jnp.swapaxes(x, 0, 1))
    gradients = gradients_through_time(
        partial(cell.step, weights), carry, inputs, lambda state: loss(cell.output(state))
    )
    leaves = gradients._asdict() if isinstance(gradients, LSTMCarry) else {}
    whole = jnp.concatenate(jax.tree.leaves(gradients), axis=-1)
    return {name: safe_norm(gradient) for name, gradient in {"state": whole, **leaves}.items()}
