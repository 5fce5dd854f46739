"""Gradients through time are held to products of matrices, to numpy loops and to differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.interpret.gradient_flow import gradient_norms, gradients_through_time, norm
from nets.recurrent.cells import ElmanCell, GRUCell, LSTMCarry, LSTMCell

N, T, D, H = 2, 6, 3, 4


def setting(cell, time=T, scale=0.7):
    """Random weights and inputs, and a loss that is a sum over rows of something curved."""
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


def test_linear_recurrence_has_powers_of_its_matrix():
    cell = ElmanCell(H, activation=linear)
    weights, x, loss = setting(cell)
    h = np.zeros((N, H))
    U, W, b = (np.asarray(weights[k], float) for k in ("kernel", "recurrent_kernel", "bias"))
    for t in range(T):
        h = np.asarray(x[:, t]) @ U + h @ W + b
    last = np.asarray(jax.jit(jax.grad(loss))(h.astype(np.float32)))
    found = gradient_norms(cell, weights, x, loss)
    assert set(found) == {"state"}
    expected = [
        np.linalg.norm(last @ np.linalg.matrix_power(W.T, T - t), axis=1) for t in range(1, T + 1)
    ]
    np.testing.assert_allclose(found["state"], expected, rtol=1e-5)


def test_an_orthogonal_linear_recurrence_keeps_the_norm():
    cell = ElmanCell(H, activation=linear)
    weights, x, loss = setting(cell)
    rotation = jax.nn.initializers.orthogonal()(jax.random.key(1), (H, H))
    found = gradient_norms(cell, {**weights, "recurrent_kernel": rotation}, x, loss)["state"]
    np.testing.assert_allclose(found, np.broadcast_to(found[-1], (T, N)), rtol=1e-5)


@pytest.mark.parametrize("cell", [ElmanCell(H), GRUCell(H), LSTMCell(H)])
def test_differences_of_the_rest_of_the_sequence_are_the_gradient(cell):
    with jax.enable_x64(True):
        weights, x, loss = setting(cell)
        double = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), (weights, x))
        weights, inputs = double[0], cell.project(double[0], jnp.swapaxes(double[1], 0, 1))
        cell = cell.clone(param_dtype=jnp.float64)
        start = cell.initialize_carry(jax.random.key(0), (N, D))

        @jax.jit
        def step(carry, given):
            return cell.step(weights, carry, given)

        @jax.jit
        def end(carry):
            return loss(cell.output(carry))

        found = gradients_through_time(step, start, inputs, end)
        states = [start]
        for given in inputs:
            states.append(step(states[-1], given))

        def rest(carry, t):
            for given in inputs[t:]:
                carry = step(carry, given)
            return end(carry)

        for t in (1, 3, T):
            leaves, tree = jax.tree.flatten(states[t])
            for k, leaf in enumerate(leaves):
                gradient = jax.tree.leaves(found)[k]
                assert gradient.shape == (T, N, H)
                for place in ((0, 0), (1, H - 1)):
                    values = []
                    for shift in (1e-6, -1e-6):
                        moved = np.array(leaf)
                        moved[place] += shift
                        values.append(
                            rest(tree.unflatten([*leaves[:k], moved, *leaves[k + 1 :]]), t)
                        )
                    difference = (values[0] - values[1]) / 2e-6
                    np.testing.assert_allclose(
                        gradient[t - 1][place], difference, rtol=1e-6, atol=1e-8
                    )


def test_parts_of_an_lstm_and_the_whole():
    cell = LSTMCell(H)
    weights, x, loss = setting(cell)
    found = gradient_norms(cell, weights, x, loss)
    assert set(found) == {"state", "c", "h"}
    assert all(norms.shape == (T, N) for norms in found.values())
    whole = np.sqrt(np.square(found["c"]) + np.square(found["h"]))
    np.testing.assert_allclose(found["state"], whole, rtol=1e-5)
    np.testing.assert_array_equal(found["c"][-1], 0)  # the loss reads h_T alone
    assert np.all(found["c"][:-1] > 0)


def test_the_memory_keeps_what_its_forget_gate_lets_through():
    cell = LSTMCell(H)
    weights, x, loss = setting(cell)
    shut = jax.tree.map(jnp.zeros_like, weights)  # h takes no part in what follows it
    shut["bias"] = jnp.full(4 * H, 0.3)
    f = 1 / (1 + np.exp(-0.3))
    c = np.asarray(gradient_norms(cell, shut, x, loss)["c"])
    np.testing.assert_allclose(c[:-2] / c[1:-1], f, rtol=1e-5)


def test_rows_of_a_batch_do_not_mix():
    cell = GRUCell(H)
    weights, x, loss = setting(cell)
    found = gradient_norms(cell, weights, x, loss)["state"]
    x[1] = 0.5
    other = gradient_norms(cell, weights, x, loss)["state"]
    np.testing.assert_allclose(other[:, 0], found[:, 0], rtol=1e-6)
    assert not np.allclose(other[:, 1], found[:, 1], rtol=1e-2)


def test_the_gradient_goes_by_a_carry_of_several_leaves():
    def step(carry, given):
        return LSTMCarry(2 * carry.c, carry.h + 3 * carry.c * given)

    carry = LSTMCarry(jnp.ones((1, 1)), jnp.ones((1, 1)))
    given = jnp.asarray([5.0, 7.0, 11.0])
    found = gradients_through_time(step, carry, given, lambda last: last.h.sum())
    np.testing.assert_allclose(found.h.ravel(), [1, 1, 1])
    np.testing.assert_allclose(found.c.ravel(), [3 * 7 + 2 * 3 * 11, 3 * 11, 0])


def test_norm_of_what_is_too_small_or_too_large_to_be_squared():
    x = jnp.asarray([[3e-30, 4e-30], [3e30, -4e30], [0.0, 0.0]])
    np.testing.assert_allclose(norm(x), [5e-30, 5e30, 0.0], rtol=1e-6)


def test_inputs_without_a_batch_are_refused():
    cell = ElmanCell(H)
    weights, x, loss = setting(cell)
    with pytest.raises(ValueError, match=r"\[rows, time, features\], got shape \(6, 3\)"):
        gradient_norms(cell, weights, x[0], loss)
