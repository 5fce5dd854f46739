"""One step of each cell against its equations, initial values, and rounding to bfloat16."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.recurrent.cells import ElmanCell, GRUCell, LSTMCarry, LSTMCell
from nets.recurrent.grid import MDRNN
from nets.recurrent.layers import RNN
from nets.recurrent.linear_cells import MinGRUCell, MinLSTMCell
from tests.nets.recurrent import oracle
from tests.nets.recurrent.networks import (
    CELLS,
    PRECISIONS,
    D,
    H,
    assert_close,
    identity,
    make_cell,
    noise_like,
    quick_jit,
    setting,
)

every_cell = pytest.mark.parametrize("name", CELLS)
# parameters of each kind of cell, and those that an option adds
SHAPES = {
    "elman": {"kernel": (D, H), "bias": (H,), "recurrent_kernel": (H, H)},
    "lstm": {"kernel": (D, 4 * H), "bias": (4 * H,), "recurrent_kernel": (H, 4 * H)},
    "lstm_diagonal": {"peephole_kernel": (3, H)},
    "lstm_full": {"peephole_kernel": (3, H, H)},
    "lstm_projection": {"projection_kernel": (H, 2), "recurrent_kernel": (2, 4 * H)},
    "lstm_layer_norm": {
        "input_scale": (4 * H,),
        "recurrent_scale": (4 * H,),
        "cell_scale": (H,),
        "cell_bias": (H,),
    },
    "lstm_coupled": {"kernel": (D, 3 * H), "bias": (3 * H,), "recurrent_kernel": (H, 3 * H)},
    "lstm_all_options": {
        "kernel": (D, 3 * H),
        "bias": (3 * H,),
        "recurrent_kernel": (2, 3 * H),
        "peephole_kernel": (2, H, H),
        "projection_kernel": (H, 2),
        "input_scale": (3 * H,),
        "recurrent_scale": (3 * H,),
        "cell_scale": (H,),
        "cell_bias": (H,),
    },
    "gru": {"kernel": (D, 3 * H), "bias": (3 * H,), "recurrent_kernel": (H, 3 * H)},
    "gru_reset_after": {"recurrent_bias": (H,)},
}


def one_step(name, lead=(2,), dtype="float32"):
    """Cell, its random weights, carry and input x [*lead, D]."""
    variables, x, carry = setting(name, "forward", dtype, lead=lead, time=1)
    cell = make_cell(name, dtype)
    return cell, variables["params"]["cell"], carry, x[..., 0, :]


def initial(cell, size=D):
    carry = cell.initialize_carry(jax.random.key(0), (2, size))
    return quick_jit(cell.init)(jax.random.key(1), carry, jnp.zeros((2, size)))["params"]


def called(cell, weights, carry, x):
    """New carry and output of one step."""
    return quick_jit(cell.apply)({"params": weights}, carry, x)


@every_cell
@pytest.mark.parametrize("lead", [(), (2, 3)])
def test_one_step_is_the_equation(name, lead):
    with PRECISIONS["float64"]():
        cell, weights, carry, x = one_step(name, lead, "float64")
        after, y = called(cell, weights, carry, x)
        expected = CELLS[name][2](weights, jax.tree.leaves(carry), x)
        assert_close(jax.tree.leaves(after), list(expected), 1e-12)
        assert_close(np.asarray(y), expected[-1], 1e-12)


def test_lstm_of_mitchells_lecture():
    """Full peepholes: the input and forget gates read c_{t-1}, the output gate reads c_t."""
    with PRECISIONS["float64"]():
        cell, w, (c, h), x = one_step("lstm_full", (), "float64")
        W_xi, W_xf, W_xc, W_xo = np.split(w["kernel"].T, 4)
        W_hi, W_hf, W_hc, W_ho = np.split(w["recurrent_kernel"].T, 4)
        W_ci, W_cf, W_co = (kernel.T for kernel in w["peephole_kernel"])
        b_i, b_f, b_c, b_o = np.split(w["bias"], 4)
        i = oracle.sigmoid(W_xi @ x + W_hi @ h + W_ci @ c + b_i)
        f = oracle.sigmoid(W_xf @ x + W_hf @ h + W_cf @ c + b_f)
        new = f * c + i * np.tanh(W_xc @ x + W_hc @ h + b_c)
        o = oracle.sigmoid(W_xo @ x + W_ho @ h + W_co @ new + b_o)
        after, y = called(cell, w, LSTMCarry(c, h), x)
        assert_close(after, LSTMCarry(new, o * np.tanh(new)), 1e-12)
        assert_close(y, after.h, 0)


def test_lstm_of_chais_lecture():
    """No bias; h_t = C_t O_t without a second tanh."""
    with PRECISIONS["float64"]():
        cell, w, (c, h), x = one_step("lstm_no_tanh", (), "float64")
        w = {**w, "bias": jnp.zeros_like(w["bias"])}
        W_ix, W_fx, W_1, W_ox = np.split(w["kernel"].T, 4)
        W_ih, W_fh, W_h, W_oh = np.split(w["recurrent_kernel"].T, 4)
        gate_i = oracle.sigmoid(W_ix @ x + W_ih @ h)
        gate_o = oracle.sigmoid(W_ox @ x + W_oh @ h)
        gate_f = oracle.sigmoid(W_fx @ x + W_fh @ h)
        new = gate_f * c + gate_i * np.tanh(W_1 @ x + W_h @ h)
        after, _ = called(cell, w, LSTMCarry(c, h), x)
        assert_close(after, LSTMCarry(new, new * gate_o), 1e-12)


def test_gru_of_the_lectures():
    """Mitchell's equations; Verbeek's write z for 1 - z, which changes the sign of the z block."""
    with PRECISIONS["float64"]():
        cell, w, h, x = one_step("gru", (), "float64")
        W_z, W_r, W_h = np.split(w["kernel"].T, 3)
        U_z, U_r, U_h = np.split(w["recurrent_kernel"].T, 3)
        b_z, b_r, b_h = np.split(w["bias"], 3)
        z = oracle.sigmoid(W_z @ x + U_z @ h + b_z)
        r = oracle.sigmoid(W_r @ x + U_r @ h + b_r)
        new = np.tanh(W_h @ x + U_h @ (r * h) + b_h)
        assert_close(called(cell, w, h, x)[0], z * h + (1 - z) * new, 1e-12)
        sign = np.where(np.arange(3 * H) < H, -1, 1)
        other = {name: kernel * sign for name, kernel in w.items()}
        assert_close(called(cell, other, h, x)[0], (1 - z) * h + z * new, 1e-12)


@every_cell
def test_parameters(name):
    base = {"gru_reset_after": "gru"}.get(name, name.split("_")[0])
    expected = {**SHAPES.get(base, {}), **SHAPES.get(name, {})}
    if name.startswith("min"):
        gates = 2 if name == "min_gru" else 3
        expected = {"kernel": (D, gates * H), "bias": (gates * H,)}
    cell = make_cell(name)
    carry, x = cell.initialize_carry(jax.random.key(0), (2, D)), jnp.zeros((2, D))
    params = jax.eval_shape(cell.init, jax.random.key(0), carry, x)["params"]
    assert {part: leaf.shape for part, leaf in params.items()} == expected
    assert {leaf.dtype for leaf in params.values()} == {jnp.dtype("float32")}


@every_cell
def test_initial_values(name):
    cell = make_cell(name).clone(features=6)
    params = initial(cell, 200)
    for part in ("bias", "recurrent_bias", "cell_bias"):
        if part in params and not (part == "bias" and name.startswith("lstm")):
            assert (params[part] == 0).all()
    for part in ("input_scale", "recurrent_scale", "cell_scale"):
        assert (params.get(part, jnp.ones(1)) == 1).all()
    assert 0.9 < float(params["kernel"].std() * 200**0.5) < 1.1  # LeCun's rule
    if name.startswith("lstm"):
        names = "fgo" if cell.coupled else "ifgo"
        blocks = dict(zip(names, np.split(params["bias"], len(names)), strict=True))
        assert all((block == (gate == "f")).all() for gate, block in blocks.items())
    if "recurrent_kernel" in params:
        blocks = np.split(np.asarray(params["recurrent_kernel"]), cell.gates, axis=1)
        for block in blocks:
            assert_close(block @ block.T, np.eye(len(block), dtype=np.float32))
        assert len({block.tobytes() for block in blocks}) == cell.gates


def test_forget_bias_is_an_initial_value_and_nothing_is_added_to_it():
    bias = np.asarray(initial(LSTMCell(H, forget_bias=-2.5))["bias"])
    assert_close(bias, np.repeat(np.float32([0, -2.5, 0, 0]), H), 0)
    cell, weights, carry, x = one_step("lstm")
    zeros = jax.tree.map(jnp.zeros_like, weights)
    after, _ = called(cell, zeros, carry, x)
    assert_close(np.asarray(after.c), carry.c / 2)


def test_initialisers_can_be_chosen():
    ones, twos = jax.nn.initializers.ones, jax.nn.initializers.constant(2.0)
    params = initial(GRUCell(H, kernel_init=ones, recurrent_init=twos))
    assert (params["kernel"] == 1).all()
    assert (params["recurrent_kernel"] == 2).all()


@every_cell
def test_a_step_on_the_projected_input_is_the_call(name):
    cell, weights, carry, x = one_step(name)
    inputs = quick_jit(cell.project)(weights, x)
    assert inputs.shape == (2, cell.gates * H)
    after = quick_jit(cell.step)(weights, carry, inputs)
    expected = called(cell, weights, carry, x)
    assert_close((after, cell.output(after)), expected, 1e-6)
    assert expected[1].shape == (2, cell.outputs)


@every_cell
def test_bfloat16_products_between_float32_carries(name):
    cell, weights, carry, x = one_step(name)
    half = cell.clone(dtype=jnp.bfloat16)
    zeros = half.initialize_carry(jax.random.key(0), (2, 5, D))
    assert jax.tree.map(np.ndim, zeros) == jax.tree.map(lambda _: 3, zeros)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(zeros))

    @quick_jit
    def run(weights):
        return [one.apply({"params": weights}, carry, x) for one in (half, cell)]

    types = {leaf.dtype for leaf in jax.tree.leaves((zeros, run(weights)))}
    assert types == {jnp.dtype("float32")}
    if not getattr(cell, "layer_norm", False):
        assert jax.eval_shape(half.project, weights, x).dtype == jnp.bfloat16
    # one product at a time, as the rounding of one would hide a lack of rounding in another
    norms = [part for part in weights if "scale" in part]
    for part in ("kernel", "recurrent_kernel", "projection_kernel"):
        if part not in weights:
            continue
        active = (part, *norms)
        alone = {k: w if k in active else jnp.zeros_like(w) for k, w in weights.items()}
        results = run(alone)
        gap = max(jax.tree.leaves(jax.tree.map(lambda a, b: float(abs(a - b).max()), *results)))
        # 8 bits: rounding must be visible, and no larger than a few units in the last place
        assert 0 < gap < 16 * 2.0**-8, part


@pytest.mark.parametrize(("name", "kept"), [("lstm", 0.5), ("gru", 0.5), ("min_gru", 0.5)])
def test_memory_is_not_rounded_to_bfloat16(name, kept):
    cell, weights, carry, x = one_step(name)
    zeros = jax.tree.map(jnp.zeros_like, weights)
    after, _ = called(cell.clone(dtype=jnp.bfloat16), zeros, carry, x)
    assert_close(np.asarray(jax.tree.leaves(after)[0]), kept * jax.tree.leaves(carry)[0], 1e-7)


@pytest.mark.parametrize("name", [name for name in CELLS if not name.startswith("min")])
def test_drop_multiplies_h_in_the_recurrent_product_only(name):
    cell, weights, carry, x = one_step(name, (1,))
    drop = np.abs(noise_like(jnp.zeros((1, cell.outputs)), 9))
    rows = {**weights, "recurrent_kernel": drop[0][:, None] * weights["recurrent_kernel"]}
    inputs, step = cell.project(weights, x), quick_jit(cell.step)
    assert_close(step(weights, carry, inputs, drop), step(rows, carry, inputs))


def test_parallel_cells_with_saturated_gates():
    """Gates of 0 and 1, where f / (f + i) would be 0 / 0, in value and gradient."""
    carry = jnp.array([2.0])
    for scale in (-200.0, 200.0):
        for cell, gates in ((MinLSTMCell(1), 3), (MinGRUCell(1), 2)):
            weights = {"kernel": jnp.zeros((1, gates)), "bias": jnp.zeros(gates)}

            def run(inputs, cell=cell, weights=weights):
                return cell.step(weights, carry, inputs)[0]

            both = jnp.full(gates, scale).at[-1].set(4.0)
            value, slope = quick_jit(jax.value_and_grad(run))(both)
            equal = 3.0 if gates == 3 else (2.0 if scale > 0 else 4.0)
            assert_close(value, jnp.float32(equal))
            assert np.isfinite(slope).all()


def test_an_unknown_peephole_is_refused():
    with pytest.raises(ValueError, match="'diagonal' or 'full', got 'diagonals'"):
        initial(LSTMCell(H, peephole="diagonals"))
    with pytest.raises(ValueError, match="got True"):
        initial(LSTMCell(H, peephole=True))


def test_any_activation():
    cell, weights, carry, x = one_step("elman")
    linear = ElmanCell(H, activation=identity)
    expected = x @ weights["kernel"] + carry @ weights["recurrent_kernel"] + weights["bias"]
    assert_close(np.asarray(quick_jit(linear.apply)({"params": weights}, carry, x)[0]), expected)
    assert_close(np.tanh(expected), np.asarray(called(cell, weights, carry, x)[0]))


@pytest.mark.parametrize("make", [lambda **o: RNN(LSTMCell(4, **o)), partial(MDRNN, 4, axes=1)])
def test_parameters_may_be_bfloat16(make):
    """Orthogonal kernels are drawn in float32 and rounded."""
    x = jnp.ones((2, 3, D))
    wide, rounded = (
        quick_jit(make(param_dtype=dtype).init)(jax.random.key(0), x.astype(dtype))
        for dtype in (jnp.float32, jnp.bfloat16)
    )
    for a, b in zip(*map(jax.tree.leaves, (wide, rounded)), strict=True):
        assert b.dtype == jnp.bfloat16
        np.testing.assert_array_equal(a.astype(jnp.bfloat16), b)
