"""Gradients through time against matrix products, numpy loops and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.interpret import gradient_flow
from nets.interpret.gradient_flow import gradients_through_time, safe_norm
from nets.recurrent.cells import ElmanCell, GRUCell, LSTMCarry, LSTMCell

N, T, D, H = 2, 6, 3, 4

gradient_norms = jax.jit(gradient_flow.gradient_norms, static_argnums=(0, 3))


def setting(cell, time=T, scale=0.7):
    """Random weights and inputs, and a loss that is a sum of squares over rows."""
    rng = np.random.default_rng(0)

    def draw(shape):
        return rng.normal(0, scale, shape).astype(np.float32)

    shapes = jax.eval_shape(lambda: cell.init(jax.random.key(0), D, method="weights"))["params"]
    weights = jax.tree.map(lambda leaf: draw(leaf.shape), shapes)
    readout, target = draw((H,)), draw((N,))

    def loss(h):
        return ((h @ readout - target) ** 2).sum()

    return weights, draw((N, time, D)), loss


def linear(x):
    return x


def test_gradients_of_a_linear_recurrence_are_powers_of_its_matrix():
    cell = ElmanCell(H, activation=linear)
    weights, x, loss = setting(cell)
    h = np.zeros((N, H))
    U, W, b = (np.asarray(weights[k], float) for k in ("kernel", "recurrent_kernel", "bias"))
    for t in range(T):
        h = np.asarray(x[:, t]) @ U + h @ W + b
    last = np.asarray(jax.jit(jax.grad(loss))(h.astype(np.float32)))
    norms = gradient_norms(cell, weights, x, loss)
    assert set(norms) == {"state"}
    expected = [
        np.linalg.norm(last @ np.linalg.matrix_power(W.T, T - t), axis=1) for t in range(1, T + 1)
    ]
    np.testing.assert_allclose(norms["state"], expected, rtol=1e-5)


def test_an_orthogonal_linear_recurrence_preserves_the_norm():
    cell = ElmanCell(H, activation=linear)
    weights, x, loss = setting(cell)
    rotation = jax.nn.initializers.orthogonal()(jax.random.key(1), (H, H))
    norms = gradient_norms(cell, {**weights, "recurrent_kernel": rotation}, x, loss)["state"]
    np.testing.assert_allclose(norms, np.broadcast_to(norms[-1], (T, N)), rtol=1e-5)


@pytest.mark.parametrize("cell", [ElmanCell(H), GRUCell(H), LSTMCell(H)])
def test_gradients_match_finite_differences_over_the_rest_of_the_sequence(cell):
    with jax.enable_x64(True):
        weights, x, loss = setting(cell)
        double = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), (weights, x))
        weights = double[0]
        inputs = jax.jit(cell.project)(weights, jnp.swapaxes(double[1], 0, 1))
        cell = cell.clone(param_dtype=jnp.float64)
        start = cell.initialize_carry(jax.random.key(0), (N, D))

        @jax.jit
        def step(carry, x):
            return cell.step(weights, carry, x)

        @jax.jit
        def final_loss(carry):
            return loss(cell.output(carry))

        gradients = jax.jit(gradients_through_time, static_argnums=(0, 3))(
            step, start, inputs, final_loss
        )
        states = [start]
        for inputs_t in inputs:
            states.append(step(states[-1], inputs_t))

        def loss_from(carry, t):
            for inputs_t in inputs[t:]:
                carry = step(carry, inputs_t)
            return final_loss(carry)

        for t in (1, 3, T):
            leaves, tree = jax.tree.flatten(states[t])
            for k, leaf in enumerate(leaves):
                gradient = jax.tree.leaves(gradients)[k]
                assert gradient.shape == (T, N, H)
                for index in ((0, 0), (1, H - 1)):
                    values = []
                    for shift in (1e-6, -1e-6):
                        moved = np.array(leaf)
                        moved[index] += shift
                        values.append(
                            loss_from(tree.unflatten([*leaves[:k], moved, *leaves[k + 1 :]]), t)
                        )
                    difference = (values[0] - values[1]) / 2e-6
                    np.testing.assert_allclose(
                        gradient[t - 1][index], difference, rtol=1e-6, atol=1e-8
                    )


def test_norms_of_both_leaves_and_of_the_whole_carry_of_an_lstm():
    cell = LSTMCell(H)
    weights, x, loss = setting(cell)
    norms = gradient_norms(cell, weights, x, loss)
    assert set(norms) == {"state", "c", "h"}
    assert all(norm.shape == (T, N) for norm in norms.values())
    whole = np.sqrt(np.square(norms["c"]) + np.square(norms["h"]))
    np.testing.assert_allclose(norms["state"], whole, rtol=1e-5)
    np.testing.assert_array_equal(norms["c"][-1], 0)  # the loss depends on h_T only
    assert np.all(norms["c"][:-1] > 0)


def test_the_gradient_of_the_memory_decays_by_the_forget_gate():
    cell = LSTMCell(H)
    weights, x, loss = setting(cell)
    disconnected = jax.tree.map(jnp.zeros_like, weights)  # later steps do not depend on h
    disconnected["bias"] = jnp.full(4 * H, 0.3)
    f = 1 / (1 + np.exp(-0.3))
    c = np.asarray(gradient_norms(cell, disconnected, x, loss)["c"])
    np.testing.assert_allclose(c[:-2] / c[1:-1], f, rtol=1e-5)


def test_rows_of_a_batch_do_not_mix():
    cell = GRUCell(H)
    weights, x, loss = setting(cell)
    norms = gradient_norms(cell, weights, x, loss)["state"]
    changed = x.copy()  # the array may still be read: JAX computes in the background
    changed[1] = 0.5
    other = gradient_norms(cell, weights, changed, loss)["state"]
    np.testing.assert_allclose(other[:, 0], norms[:, 0], rtol=1e-6)
    assert not np.allclose(other[:, 1], norms[:, 1], rtol=1e-2)


def test_gradients_of_a_carry_with_several_leaves():
    def step(carry, x):
        return LSTMCarry(2 * carry.c, carry.h + 3 * carry.c * x)

    carry = LSTMCarry(jnp.ones((1, 1)), jnp.ones((1, 1)))
    x = jnp.asarray([5.0, 7.0, 11.0])
    gradients = jax.jit(
        lambda carry, x: gradients_through_time(step, carry, x, lambda last: last.h.sum())
    )(carry, x)
    np.testing.assert_allclose(gradients.h.ravel(), [1, 1, 1])
    np.testing.assert_allclose(gradients.c.ravel(), [3 * 7 + 2 * 3 * 11, 3 * 11, 0])


def test_norm_of_values_whose_squares_underflow_or_overflow():
    x = jnp.asarray([[3e-30, 4e-30], [3e30, -4e30], [0.0, 0.0]])
    np.testing.assert_allclose(jax.jit(safe_norm)(x), [5e-30, 5e30, 0.0], rtol=1e-6)


def test_inputs_without_a_batch_axis_are_rejected():
    cell = ElmanCell(H)
    weights, x, loss = setting(cell)
    with pytest.raises(ValueError, match=r"\[rows, time, features\], got shape \(6, 3\)"):
        gradient_norms(cell, weights, x[0], loss)
