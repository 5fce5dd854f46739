"""Cells are held to the equations of their docstrings, written out in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from nets.cells import ElmanCell, GRUCell, LSTMCarry, LSTMCell, orthogonal_blocks
from nets.recurrent import RNN

D, H = 3, 4
CELLS = [ElmanCell, LSTMCell, GRUCell]
all_cells = pytest.mark.parametrize("cell_type", CELLS)


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def elman(p, h, x):
    h = np.tanh(x @ p["U"] + h @ p["W"] + p["b"])
    return h, h


def lstm(p, carry, x):
    c, h = carry
    kernels = zip(*(np.split(p[name], 4, axis=-1) for name in "UWb"), strict=True)
    i, f, g, o = (x @ U + h @ W + b for U, W, b in kernels)
    c = sigmoid(f + 1.0) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return (c, h), h


def gru(p, h, x):
    (Uz, Ur, Un), (Wz, Wr, Wn), (bz, br, bn) = (np.split(p[name], 3, axis=-1) for name in "UWb")
    z = sigmoid(x @ Uz + h @ Wz + bz)
    r = sigmoid(x @ Ur + h @ Wr + br)
    n = np.tanh(x @ Un + (r * h) @ Wn + bn)
    h = z * h + (1.0 - z) * n
    return h, h


EQUATIONS = {ElmanCell: elman, LSTMCell: lstm, GRUCell: gru}


def noise_like(tree, seed, scale=0.7):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(0, scale, a.shape), a.dtype), tree)


def setting(cell_type, leading=(2,), **options):
    """Return a cell with random variables, carry and input."""
    cell = cell_type(H, **options)
    carry = cell.initialize_carry(jax.random.key(0), (*leading, D))
    x = noise_like(jnp.zeros((*leading, D)), 1, 1.0)
    variables = noise_like(jax.eval_shape(cell.init, jax.random.key(0), carry, x), 2)
    return cell, variables, noise_like(carry, 3), x


def assert_close(actual, expected):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), actual, expected
    )


@all_cells
@pytest.mark.parametrize("leading", [(2,), (2, 3), ()])
def test_one_step_is_the_equation(cell_type, leading):
    cell, variables, carry, x = setting(cell_type, leading)
    params = variables["params"]
    p = {
        "U": params["input"]["kernel"],
        "W": params["recurrent_kernel"],
        "b": params["input"]["bias"],
    }
    p, before, inputs = jax.tree.map(lambda a: np.asarray(a, np.float64), (p, tuple(carry), x))
    if cell_type is not LSTMCell:
        before = np.asarray(carry, np.float64)
    after, y = cell.apply(variables, carry, x)
    expected_after, expected_y = EQUATIONS[cell_type](p, before, inputs)
    assert_close(tuple(after) if cell_type is LSTMCell else after, expected_after)
    assert_close(y, expected_y)


@pytest.mark.parametrize("count", [1, 3, 4])
def test_each_block_of_a_recurrent_kernel_is_orthogonal(count):
    kernel = orthogonal_blocks(count)(jax.random.key(0), (6, 6 * count))
    blocks = np.split(np.asarray(kernel), count, axis=1)
    for block in blocks:
        np.testing.assert_allclose(block.T @ block, np.eye(6), atol=1e-5)
    assert len({block.tobytes() for block in blocks}) == count


@all_cells
def test_initial_parameters(cell_type):
    cell = cell_type(H)
    carry = cell.initialize_carry(jax.random.key(0), (2, D))
    params = cell.init(jax.random.key(0), carry, jnp.zeros((2, D)))["params"]
    assert jax.tree.map(lambda p: p.shape, params) == {
        "input": {"kernel": (D, cell.gates * H), "bias": (cell.gates * H,)},
        "recurrent_kernel": (H, cell.gates * H),
    }
    np.testing.assert_array_equal(params["input"]["bias"], 0.0)
    for block in np.split(np.asarray(params["recurrent_kernel"]), cell.gates, axis=1):
        np.testing.assert_allclose(block.T @ block, np.eye(H), atol=1e-5)


@all_cells
def test_initial_carry_is_zero_in_float32(cell_type):
    carry = cell_type(H, dtype=jnp.bfloat16).initialize_carry(jax.random.key(0), (2, 5, D))
    for leaf in jax.tree.leaves(carry):
        assert leaf.shape == (2, 5, H)
        assert leaf.dtype == jnp.float32
        np.testing.assert_array_equal(leaf, 0.0)
    if cell_type is LSTMCell:
        assert isinstance(carry, LSTMCarry)
        assert LSTMCarry._fields == ("c", "h")
    else:
        assert len(jax.tree.leaves(carry)) == 1


def test_forget_gate_starts_at_the_sigmoid_of_one():
    cell, variables, carry, x = setting(LSTMCell)
    zeros = jax.tree.map(jnp.zeros_like, variables)
    after, _ = cell.apply(zeros, carry, x)
    assert_close(after.c, sigmoid(1.0) * np.asarray(carry.c))


@all_cells
def test_a_step_on_the_projected_input_is_the_call(cell_type):
    cell, variables, carry, x = setting(cell_type)
    projected = cell.apply(variables, x, method="project")
    assert projected.shape == (2, cell.gates * H)
    assert_close(
        cell.apply(variables, carry, projected, method="step"), cell.apply(variables, carry, x)
    )


@all_cells
def test_bfloat16_products_between_float32_parameters_and_carries(cell_type):
    cell, variables, carry, x = setting(cell_type, dtype=jnp.bfloat16)
    assert cell.apply(variables, x, method="project").dtype == jnp.bfloat16
    result = cell.apply(variables, carry, x)
    assert {leaf.dtype for leaf in jax.tree.leaves((variables, result))} == {jnp.dtype("float32")}
    params = variables["params"]
    silent = jax.tree.map(jnp.zeros_like, params)
    # each product by itself, since the rounding of one would hide that the other has none
    for name in params:
        alone = {"params": {**silent, name: params[name]}}
        half, single = (c.apply(alone, carry, x)[1] for c in (cell, cell_type(H)))
        gap = np.abs(np.asarray(half) - np.asarray(single)).max()
        # bfloat16 keeps 8 bits: the products must show it, and must not be worse than that
        assert 0 < gap < 8 * 2.0**-8


@pytest.mark.parametrize(("cell_type", "kept"), [(LSTMCell, sigmoid(1.0)), (GRUCell, 0.5)])
def test_memory_is_not_rounded_to_bfloat16(cell_type, kept):
    cell, variables, carry, x = setting(cell_type, dtype=jnp.bfloat16)
    zeros = jax.tree.map(jnp.zeros_like, variables)
    after, _ = cell.apply(zeros, carry, x)
    before = jax.tree.leaves(carry)[0]
    assert_close(jax.tree.leaves(after)[0], kept * np.asarray(before))


@all_cells
def test_flax_runs_our_cells_as_our_driver_does(cell_type):
    x = noise_like(jnp.zeros((2, 5, D)), 0, 1.0)
    ours, theirs = RNN(cell_type(H)), nn.RNN(cell_type(H), return_carry=True)
    variables = noise_like(jax.eval_shape(ours.init, jax.random.key(0), x), 1)
    assert_close(jax.jit(ours.apply)(variables, x), jax.jit(theirs.apply)(variables, x))
