"""Dropout, weight drop and zoneout: masks are read from networks that expose them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax.errors import InvalidRngError

from nets.recurrent.cells import ElmanCell, GRUCell, LSTMCarry, LSTMCell
from nets.recurrent.layers import RNN
from nets.recurrent.linear_cells import MinGRUCell
from tests.nets.recurrent.networks import (
    B,
    T,
    assert_close,
    identity,
    make_cell,
    quick_jit,
    scalar,
    setting,
)

ALL = {"dropout": 0.3, "recurrent_dropout": 0.3, "weight_drop": 0.3, "zoneout": 0.3}
KEY = {"dropout": jax.random.key(1)}
LENGTHS = np.array([4, 0, T])


def linear(size, **weights):
    """ElmanCell without tanh, and variables that are zero unless given."""
    zeros = {"kernel": (size, size), "recurrent_kernel": (size, size), "bias": (size,)}
    cell = {name: weights.get(name, np.zeros(shape)) for name, shape in zeros.items()}
    cell = {name: np.asarray(array, np.float32) for name, array in cell.items()}
    return ElmanCell(size, activation=identity), {"params": {"cell": cell}}


def noisy(net, variables, x, key=1, **given):
    run = quick_jit(partial(net.apply, train=True))
    return jax.tree.map(
        np.asarray, run(variables, x, rngs={"dropout": jax.random.key(key)}, **given)
    )


def assert_mask(mask, rate):
    """Zeros at about the given rate, 1 / (1 - rate) elsewhere."""
    scale = np.float32(1 / (1 - rate))
    assert_close(np.unique(mask.round(4)), np.array([0, scale], np.float32), 1e-4)
    assert abs((mask == 0).mean() - rate) < 4 * (rate * (1 - rate) / mask.size) ** 0.5


def test_dropout_has_one_mask_of_the_inputs_for_all_steps():
    cell, variables = linear(32, kernel=np.eye(32))
    _, outputs = noisy(RNN(cell, dropout=0.3), variables, np.ones((64, 5, 32), np.float32))
    assert (outputs == outputs[:, :1]).all()
    assert_mask(outputs[:, 0], 0.3)
    assert len(np.unique(outputs[:, 0], axis=0)) == 64


def test_recurrent_dropout_has_one_mask_of_h_for_all_steps():
    cell, variables = linear(32, recurrent_kernel=np.eye(32))
    ones = np.ones((64, 32), np.float32)
    net = RNN(cell, recurrent_dropout=0.3)
    _, outputs = noisy(net, variables, np.ones((64, 3, 32), np.float32), initial_carry=ones)
    mask = outputs[:, 0]
    assert_mask(mask, 0.3)
    assert_close(outputs, np.stack([mask, mask**2, mask**3], axis=1))


def test_recurrent_dropout_of_a_parallel_cell():
    """z = 1/2 and n = 0: h_t = h_{t-1} mask / 2, by the associative scan."""
    cell = {"kernel": np.zeros((3, 64), np.float32), "bias": np.zeros(64, np.float32)}
    net = RNN(MinGRUCell(32), recurrent_dropout=0.3)
    ones, x = np.ones((64, 32), np.float32), np.ones((64, 3, 3), np.float32)
    _, outputs = noisy(net, {"params": {"cell": cell}}, x, initial_carry=ones)
    assert_mask(2 * outputs[:, 0], 0.3)
    assert_close(outputs[:, 2], outputs[:, 0] ** 3)


def test_weight_drop_has_one_mask_of_the_recurrent_kernel_for_all_rows_and_steps():
    kernel = np.random.default_rng(0).normal(1, 0.1, (32, 32)).astype(np.float32)
    cell, variables = linear(32, recurrent_kernel=kernel)
    eye, x = np.eye(32, dtype=np.float32), np.zeros((32, 2, 32), np.float32)
    _, outputs = noisy(RNN(cell, weight_drop=0.3), variables, x, initial_carry=eye)
    dropped = outputs[:, 0]  # row b comes from the b-th unit vector
    assert_mask(dropped / kernel, 0.3)
    assert_close(outputs[:, 1], dropped @ dropped, 1e-4)


def test_zoneout_keeps_old_values_exactly_anew_at_every_step():
    cell, variables = linear(32, kernel=np.eye(32))
    steps = 1 + np.arange(6, dtype=np.float32)
    x = np.broadcast_to(steps[:, None], (64, 6, 32))
    _, outputs = noisy(RNN(cell, zoneout=0.3), variables, x)
    before = np.concatenate([np.zeros_like(outputs[:, :1]), outputs[:, :-1]], axis=1)
    kept = outputs == before
    assert (kept | (outputs == x)).all()
    for t in range(6):
        assert abs(kept[:, t].mean() - 0.3) < 0.05
    assert (kept != kept[:, :1]).any()


def test_zoneout_has_a_rate_for_each_leaf_of_the_carry():
    variables, x, _ = setting("lstm", lead=(300,), time=1)
    ones = (np.full((300, 4), 7, np.float32), np.full((300, 4), 7, np.float32))
    net = RNN(LSTMCell(4), zoneout=(0.5, 0.05))
    last, _ = noisy(net, variables, x, initial_carry=ones)
    assert abs((last.c == 7).mean() - 0.5) < 0.06
    assert abs((last.h == 7).mean() - 0.05) < 0.03
    step = quick_jit(LSTMCell(4).apply)
    new, _ = step({"params": variables["params"]["cell"]}, ones, x[:, 0])
    assert type(new) is tuple
    mean, _ = quick_jit(net.apply)(variables, x, initial_carry=ones)
    assert_close(mean, LSTMCarry(3.5 + new[0] / 2, 0.35 + 0.95 * new[1]))
    with pytest.raises(ValueError, match="zoneout has 2 rates, but the carry has 1 leaves"):
        RNN(GRUCell(4), zoneout=(0.5, 0.05)).init(jax.random.key(0), x)
    with pytest.raises(ValueError, match=r"zoneout must not be negative.*got 1\.0"):
        RNN(LSTMCell(4), zoneout=(0.5, 1.0)).init(jax.random.key(0), x)


def test_zoneout_of_an_lstm_treats_c_and_h_separately():
    variables, x, _ = setting("lstm", lead=(300,), time=1)
    start = make_cell("lstm").initialize_carry(jax.random.key(0), (300, 3))
    start = jax.tree.map(lambda leaf: leaf + 7, start)
    last, outputs = noisy(RNN(LSTMCell(4), zoneout=0.5), variables, x, initial_carry=start)
    assert (outputs[:, 0] == last.h).all()
    c, h = last.c == 7, last.h == 7
    step = quick_jit(LSTMCell(4).apply)
    new, _ = step({"params": variables["params"]["cell"]}, start, x[:, 0])
    assert_close(np.where(c, 0, last.c), np.where(c, 0, new.c))
    assert_close(np.where(h, 0, last.h), np.where(h, 0, new.h))
    for a in (c, ~c):
        for b in (h, ~h):
            assert abs((a & b).mean() - 0.25) < 0.06


@pytest.mark.parametrize("name", ["lstm", "gru", "min_gru"])
def test_zoneout_takes_the_expectation_outside_of_training(name):
    variables, x, carry = setting(name)
    run = quick_jit(RNN(make_cell(name), zoneout=0.3).apply)
    last, outputs = run(variables, x, initial_carry=carry)
    states, step = [], quick_jit(make_cell(name).apply)
    for t in range(T):
        new, _ = step({"params": variables["params"]["cell"]}, carry, x[:, t])
        carry = jax.tree.map(lambda a, b: 0.3 * a + 0.7 * b, carry, new)
        states.append(jax.tree.leaves(carry)[-1])
    assert_close((last, outputs), (carry, np.stack(states, 1)))


def test_the_parallel_scan_equals_the_loop():
    """A negligible zoneout rate selects the loop."""
    variables, x, carry = setting("min_lstm")
    given = {"lengths": LENGTHS, "resets": np.eye(B, T), "initial_carry": carry}
    parallel = make_cell("min_lstm")
    nets = [RNN(parallel, zoneout=rate) for rate in (1e-12, 0.0)]
    assert_close(*(quick_jit(net.apply)(variables, x, **given) for net in nets))


def test_there_is_no_noise_outside_of_training():
    variables, x, carry = setting("gru")
    options = {**ALL, "zoneout": 0.0}
    plain, regular = (RNN(GRUCell(4), **given) for given in ({}, options))
    run = quick_jit(lambda *a: [net.apply(*a, initial_carry=carry) for net in (regular, plain)])
    actual, expected = run(variables, x)
    assert_close(actual, expected, 1e-6)
    for name, rate in ALL.items():
        assert not np.allclose(noisy(RNN(GRUCell(4), **{name: rate}), variables, x)[1], expected[1])


@pytest.mark.parametrize("name", ["lstm", "lstm_full", "min_gru"])
def test_the_same_key_gives_the_same_noise_and_padding_has_no_effect(name):
    variables, x, carry = setting(name)
    options = {k: rate for k, rate in ALL.items() if k != "weight_drop" or name != "min_gru"}
    net = RNN(make_cell(name), **options)
    real = np.arange(T) < LENGTHS[:, None]
    bad = np.where(real[..., None], x, np.float32(np.nan))

    @quick_jit
    def run(variables, x, carry, key):
        def number(variables, x, carry):
            results = net.apply(
                variables, x, LENGTHS, None, None, carry, train=True, rngs={"dropout": key}
            )
            return scalar(jax.tree.leaves(results)), results

        return jax.grad(number, (0, 1, 2), has_aux=True)(variables, x, carry)

    results = jax.device_get(run(variables, bad, carry, jax.random.key(1)))
    gradients, (last, outputs) = results
    assert_close(run(variables, x, carry, jax.random.key(1)), results, 0)
    assert not np.allclose(run(variables, x, carry, jax.random.key(2))[1][1], outputs)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(results))
    assert (outputs[~real] == 0).all()
    assert (gradients[1][~real] == 0).all()
    for before, after in zip(jax.tree.leaves(carry), jax.tree.leaves(last), strict=True):
        assert (after[1] == before[1]).all()


@pytest.mark.parametrize("options", [{"dropout": 0.4}, {"weight_drop": 0.4}], ids=str)
def test_gradients_pass_through_the_noise_before_the_custom_rule(options):
    variables, x, _ = setting("lstm")

    def slope(rule):
        net = RNN(LSTMCell(4), rule=rule, **options)
        return jax.grad(
            lambda v, x: scalar(jax.tree.leaves(net.apply(v, x, train=True, rngs=KEY))),
            (0, 1),
        )

    ours, theirs = quick_jit(lambda v, x: (slope("custom")(v, x), slope("autodiff")(v, x)))(
        variables, x
    )
    assert_close(ours, theirs)
    assert any((leaf == 0).any() for leaf in jax.tree.leaves(ours))


def test_noise_of_bfloat16_inputs():
    variables, x, _ = setting("gru")
    net = RNN(GRUCell(4, dtype=jnp.bfloat16), **ALL)
    _, outputs = noisy(net, variables, jnp.asarray(x, jnp.bfloat16))
    assert outputs.dtype == np.float32
    assert np.isfinite(outputs).all()


def test_noise_needs_a_stream():
    variables, x, _ = setting("gru")
    for name, rate in ALL.items():
        run = partial(RNN(GRUCell(4), **{name: rate}).apply, train=True)
        with pytest.raises(InvalidRngError, match="dropout"):
            jax.eval_shape(run, variables, x)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("rate", [1.0, -0.1, 2])
def test_a_rate_out_of_range_is_refused(name, rate):
    with pytest.raises(ValueError, match=f"^{name} .*{rate}"):
        RNN(GRUCell(4), **{name: rate}).init(jax.random.key(0), jnp.zeros((1, 2, 3)))


@pytest.mark.parametrize(
    ("cell", "options", "words"),
    [
        (nn.GRUCell(4), {"zoneout": 0.1}, "zoneout needs .* GRUCell"),
        (nn.LSTMCell(4), {"recurrent_dropout": 0.1}, "recurrent_dropout needs .* LSTMCell"),
        (nn.LSTMCell(4), {"weight_drop": 0.1}, "weight_drop needs .* LSTMCell"),
        (nn.LSTMCell(4), {"truncate": 2}, "truncate needs .* LSTMCell"),
        (nn.LSTMCell(4), {"remat_chunk": 2}, "remat_chunk needs .* LSTMCell"),
        (MinGRUCell(4), {"weight_drop": 0.1}, "MinGRUCell has no recurrent kernel"),
        (nn.ConvLSTMCell(4, (3,)), {}, "one feature axis, ConvLSTMCell has 2"),
        (LSTMCell, {}, r"a module such as LSTMCell.features., not a class"),
        ("lstm", {}, r"a module such as LSTMCell.features., not 'lstm'"),
    ],
)
def test_options_that_a_cell_lacks_are_refused(cell, options, words):
    with pytest.raises(ValueError, match=words):
        RNN(cell, **options).init(jax.random.key(0), jnp.zeros((1, 2, 3)))
