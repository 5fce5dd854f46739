"""Flax cells under our RNN, with their state and randomness, and our cells under Flax's RNN."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from nets.recurrent.bidirectional import Bidirectional
from nets.recurrent.cells import ElmanCell, LSTMCell
from nets.recurrent.layers import RNN
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
X = np.random.default_rng(0).normal(size=(B, T, D)).astype(np.float32)
KEY = jax.random.key(0)
THEIRS = {
    "simple": nn.SimpleCell,
    "gru": nn.GRUCell,
    "mgu": nn.MGUCell,
    "lstm": nn.LSTMCell,
    "optimized_lstm": nn.OptimizedLSTMCell,
}


def random_variables(net, x=X):
    return noise_like(jax.eval_shape(net.init, KEY, x), 1)


# the direction does not depend on the cell: a carry of one leaf and one of two read backwards
@pytest.mark.parametrize(
    ("name", "reverse"), [*((name, False) for name in THEIRS), ("gru", True), ("lstm", True)]
)
def test_flax_cells_run_as_under_flax(name, reverse):
    ours = RNN(THEIRS[name](H), reverse=reverse)
    theirs = nn.RNN(THEIRS[name](H), return_carry=True, reverse=reverse, keep_order=True)
    x, variables = X, random_variables(ours)
    zeros = ours.cell.initialize_carry(jax.random.key(0), (B, D))
    start = noise_like(zeros, 2)
    expected, outputs = quick_jit(theirs.apply)(
        variables, x, initial_carry=start, seq_lengths=LENGTHS
    )
    real = np.arange(T) < LENGTHS[:, None]
    bad = np.where(real[..., None], x, np.float32(np.nan))
    last, actual = quick_jit(ours.apply)(variables, bad, LENGTHS, initial_carry=start)
    # Flax also computes outputs in the padding, and returns a wrong carry for a row without steps
    assert_close(actual, jnp.where(real[..., None], outputs, 0))
    some = np.array([0, 2])
    assert_close(
        jax.tree.map(lambda leaf: leaf[some], last), jax.tree.map(lambda leaf: leaf[some], expected)
    )
    for after, before in zip(jax.tree.leaves(last), jax.tree.leaves(start), strict=True):
        assert (after[1] == before[1]).all()


def test_flax_cells_in_both_directions_with_resets():
    net = Bidirectional(RNN(nn.GRUCell(H)), RNN(nn.GRUCell(H)))
    x = np.random.default_rng(0).normal(size=(2, B, T, D)).astype(np.float32)
    variables = random_variables(net, x)
    resets = np.zeros((2, B, T))
    resets[..., 3] = 1
    run = quick_jit(net.apply)
    _, outputs = run(variables, x, resets=resets)
    # two sequences, each of which is read as if alone
    parts = [run(variables, x[..., part, :])[1] for part in (slice(3), slice(3, None))]
    assert_close(outputs, np.concatenate(parts, axis=-2))


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


class StatefulCell(nn.RNNCellBase):
    """Batch normalisation and dropout of x, a dense layer with tanh; sows its output."""

    features: int
    norm: bool = False
    rate: float = 0.0
    average: bool = False

    @nn.nowrap
    def initialize_carry(self, rng, input_shape):
        return jnp.zeros((*input_shape[:-1], self.features))

    @property
    def num_feature_axes(self):
        return 1

    @nn.compact
    def __call__(self, carry, x):
        if self.norm:
            x = nn.BatchNorm(use_running_average=self.average, momentum=0.5)(x)
        x = nn.Dropout(self.rate, deterministic=not self.rate)(x)
        h = nn.tanh(nn.Dense(self.features)(jnp.concatenate([carry, x], axis=-1)))
        self.sow("intermediates", "h", h)
        return h, h


SOWN = {"variable_axes": {"intermediates": 0}}
LIFTED = {
    "default": ({}, {}),
    "sow": ({}, SOWN),
    "dropout at every step": (
        {"rate": 0.5},
        {**SOWN, "split_rngs": {"params": False, "dropout": True}},
    ),
    "one dropout mask": (
        {"rate": 0.5},
        {"split_rngs": {"params": False, "dropout": False}},
    ),
    "running statistics": ({"norm": True}, {**SOWN, "variable_carry": "batch_stats"}),
    "statistics of each step": (
        {"norm": True},
        {"variable_axes": {"batch_stats": 0}},
    ),
    "averages": (
        {"norm": True, "average": True},
        {"variable_broadcast": ["params", "batch_stats"]},
    ),
    "all": (
        {"norm": True, "rate": 0.5},
        {**SOWN, "variable_carry": "batch_stats", "split_rngs": {"params": False, "dropout": True}},
    ),
}


@pytest.mark.parametrize("case", LIFTED)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["all", "lengths"])
def test_collections_and_streams_of_a_cell_are_as_under_flax(case, lengths):
    options, lifted = LIFTED[case]
    ours = RNN(StatefulCell(H, **options), **lifted)
    theirs = nn.RNN(StatefulCell(H, **options), return_carry=True, **lifted)
    valid = np.ones((B, T), bool) if lengths is None else np.arange(T) < lengths[:, None]
    x = np.where(valid[..., None], X, 0)  # Flax's RNN reads the padding, ours reads zeros
    rngs = {"params": KEY, "dropout": jax.random.key(1)}
    variables = jax.eval_shape(ours.init, rngs, x)
    variables = {k: noise_like(tree, 2) for k, tree in variables.items()}
    if "batch_stats" in variables:
        variables["batch_stats"] = jax.tree.map(np.abs, variables["batch_stats"])
    given = {"rngs": {"dropout": jax.random.key(1)}, "mutable": ["batch_stats", "intermediates"]}
    run = quick_jit(lambda v: ours.apply(v, x, lengths, **given))
    flax = quick_jit(lambda v: theirs.apply(v, x, seq_lengths=lengths, **given))
    ((last, outputs), changed), ((flax_last, expected), flax_changed) = (
        run(variables),
        flax(variables),
    )
    some = valid.any(axis=1)  # Flax returns a wrong carry for a row without steps
    assert_close(last[some], flax_last[some])
    assert_close(outputs, np.where(valid[..., None], expected, 0))
    assert changed.keys() == flax_changed.keys()
    if "intermediates" in changed:
        steps = [tree["intermediates"]["cell"].pop("h")[0] for tree in (changed, flax_changed)]
        assert_close(*(a[valid.T] for a in steps))
    assert_close(changed, flax_changed)


def test_values_that_a_cell_sows_stay_aligned_with_its_inputs_in_both_directions():
    net = Bidirectional(*[RNN(StatefulCell(H), **SOWN) for _ in range(2)])
    variables = random_variables(net)
    run = quick_jit(partial(net.apply, mutable="intermediates"))
    (_, outputs), changed = run(variables, X)
    sown = [changed["intermediates"][name]["cell"]["h"][0] for name in ("forward", "backward")]
    assert_close(np.concatenate(sown, -1).swapaxes(0, 1), np.asarray(outputs), 0)


def test_statistics_of_a_cell_are_created_before_the_scan_carries_them():
    cell = StatefulCell(H, norm=True)
    variables = quick_jit(RNN(cell, variable_carry="batch_stats").init)(KEY, X)
    alone = jax.eval_shape(cell.init, KEY, jnp.zeros((B, H)), X[:, 0])
    shapes = {kind: tree["cell"] for kind, tree in jax.tree.map(jnp.shape, variables).items()}
    assert shapes == jax.tree.map(jnp.shape, alone)
    statistics = jax.tree.leaves(variables["batch_stats"])
    assert_close(sorted(map(float, map(np.mean, statistics))), [0.0, 1.0], 0)


def test_settings_of_the_scan_hold_for_our_cells_too():
    """A set of parameters for each step, which the fused scan does not support."""
    lifted = {"variable_axes": {"params": 0}, "variable_broadcast": False}
    options = {**lifted, "split_rngs": {"params": True}}
    ours, theirs = RNN(LSTMCell(H), **options), nn.RNN(LSTMCell(H), return_carry=True, **options)
    variables = random_variables(ours)
    assert variables["params"]["cell"]["kernel"].shape == (T, D, 4 * H)
    assert_close(quick_jit(ours.apply)(variables, X), quick_jit(theirs.apply)(variables, X), 1e-6)


def test_intermediates_of_a_cell_can_be_captured():
    net = RNN(LSTMCell(H), **SOWN)
    run = partial(net.apply, capture_intermediates=True)
    (_, outputs), changed = quick_jit(run)(random_variables(net), X)
    _, captured = changed["intermediates"]["cell"]["__call__"][0]
    assert_close(np.swapaxes(captured, 0, 1), np.asarray(outputs), 0)


def test_a_cell_with_its_own_call_is_called():
    class SowingCell(ElmanCell):
        """Sows h."""

        @nn.compact
        def __call__(self, carry, x):
            carry, y = super().__call__(carry, x)
            self.sow("intermediates", "h", y)
            return carry, 2 * y

    net, plain = RNN(SowingCell(H), **SOWN), RNN(ElmanCell(H))
    variables = random_variables(plain)
    run = quick_jit(partial(net.apply, mutable="intermediates"))
    (last, outputs), changed = run(variables, X, LENGTHS)
    expected_last, expected = quick_jit(plain.apply)(variables, X, LENGTHS)
    assert_close((last, outputs), (expected_last, 2 * expected), 1e-6)
    assert changed["intermediates"]["cell"]["h"][0].shape == (T, B, H)
