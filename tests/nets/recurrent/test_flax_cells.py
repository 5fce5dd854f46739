"""Flax's cells under our driver, and ours under Flax's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from nets.recurrent.layers import RNN, Bidirectional
from tests.nets.recurrent.networks import (
    CELLS,
    B,
    D,
    H,
    T,
    assert_close,
    make_cell,
    noise_like,
    quick_jit,
    setting,
)

LENGTHS = np.array([4, 0, T])
THEIRS = {
    "simple": nn.SimpleCell,
    "gru": nn.GRUCell,
    "mgu": nn.MGUCell,
    "lstm": nn.LSTMCell,
    "optimized_lstm": nn.OptimizedLSTMCell,
}


@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize("reverse", [False, True])
def test_flax_cells_run_as_under_flax(name, reverse):
    ours = RNN(THEIRS[name](H), reverse=reverse)
    theirs = nn.RNN(THEIRS[name](H), return_carry=True, reverse=reverse, keep_order=True)
    x = np.random.default_rng(0).normal(size=(B, T, D)).astype(np.float32)
    variables = noise_like(jax.eval_shape(ours.init, jax.random.key(0), x), 1)
    zeros = ours.cell.initialize_carry(jax.random.key(0), (B, D))
    start = noise_like(zeros, 2)
    expected, outputs = quick_jit(theirs.apply)(
        variables, x, initial_carry=start, seq_lengths=LENGTHS
    )
    real = np.arange(T) < LENGTHS[:, None]
    bad = np.where(real[..., None], x, np.float32(np.nan))
    last, ours_shown = quick_jit(ours.apply)(variables, bad, LENGTHS, initial_carry=start)
    # Flax computes on in the padding, and gives a row without steps another row's carry
    assert_close(ours_shown, jnp.where(real[..., None], outputs, 0))
    some = np.array([0, 2])
    assert_close(
        jax.tree.map(lambda leaf: leaf[some], last), jax.tree.map(lambda leaf: leaf[some], expected)
    )
    for after, before in zip(jax.tree.leaves(last), jax.tree.leaves(start), strict=True):
        assert (after[1] == before[1]).all()


def test_flax_cells_in_both_directions_with_resets():
    net = Bidirectional(RNN(nn.GRUCell(H)), RNN(nn.GRUCell(H)))
    x = np.random.default_rng(0).normal(size=(2, B, T, D)).astype(np.float32)
    variables = noise_like(jax.eval_shape(net.init, jax.random.key(0), x), 1)
    resets = np.zeros((2, B, T))
    resets[..., 3] = 1
    run = quick_jit(net.apply)
    _, outputs = run(variables, x, resets=resets)
    # a reset before step 3 is read: the end of the row forwards, its start backwards
    _, late = run(variables, x[..., 3:, :])
    _, early = run(variables, x[..., :4, :])
    assert_close(outputs[..., 3:, :H], late[..., :H])
    assert_close(outputs[..., :4, H:], early[..., H:])


@pytest.mark.parametrize("name", [name for name in CELLS if name != "lstm_no_tanh"])
def test_our_cells_run_under_flax(name):
    variables, x, carry = setting(name)
    theirs = nn.RNN(make_cell(name), return_carry=True)
    ours = RNN(make_cell(name))
    expected, actual = quick_jit(
        lambda variables, x, carry: [
            net.apply(variables, x, initial_carry=carry) for net in (theirs, ours)
        ]
    )(variables, x, carry)
    assert_close(actual, expected)


def test_flaxs_bidirectional_takes_our_cells():
    variables, x, _ = setting("gru", "bidirectional")
    theirs = nn.Bidirectional(nn.RNN(make_cell("gru")), nn.RNN(make_cell("gru")))
    params = variables["params"]
    named = {"forward_rnn": params["forward"], "backward_rnn": params["backward"]}
    ours = Bidirectional(RNN(make_cell("gru")), RNN(make_cell("gru")))
    expected = quick_jit(theirs.apply)({"params": named}, x)
    assert_close(quick_jit(ours.apply)(variables, x)[1], expected)
