"""A trained initial carry: against loops in numpy, in chunks, with Flax's cells, off by default."""

import jax
import numpy as np
import pytest
from flax import linen as nn

from nets.recurrent.cells import LSTMCell
from nets.recurrent.convert import to_flax
from nets.recurrent.layers import RNN
from tests.nets.recurrent import oracle
from tests.nets.recurrent.networks import (
    CELLS,
    PRECISIONS,
    B,
    D,
    H,
    T,
    assert_close,
    make_network,
    noise_like,
    quick_jit,
    scalar,
    setting,
)

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(B, T, D)).astype(np.float32)
# a short row, an empty one, a full one; resets at the first and the last step, in consecutive
# steps, and in the padding
LENGTHS = np.array([4, 0, T])
RESETS = np.array([[1, 0, 0, 1, 0, 1], [0, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0]], bool)
VALID = np.arange(T) < LENGTHS[:, None]


def graded(net):
    """(variables, x, carry or None) -> (gradients of the variables, results)."""

    def run(variables, x, carry=None):
        results = net.apply(variables, x, LENGTHS, resets=RESETS, initial_carry=carry)
        return scalar(jax.tree.leaves(results)), results

    return quick_jit(jax.grad(run, has_aux=True))


def variables_of(net):
    return noise_like(jax.eval_shape(net.init, KEY, X), 1)


@pytest.mark.parametrize(
    ("name", "form", "given"),
    [
        ("elman", "reversed", False),
        ("lstm", "bidirectional", False),
        ("gru_reset_after", "forward", True),
        ("lstm_projection", "stacked", False),
        ("min_gru", "deep", False),
    ],
)
def test_equals_the_loop_in_value_and_gradient(name, form, given):
    """given: the row starts from a given carry, and only a reset returns to the trained one."""
    with PRECISIONS["float64"]():
        net = make_network(name, form, "float64", trainable_carry=True)
        _, x, carry = setting(name, form, "float64")
        variables = variables_of(net)
        results = graded(net)(variables, x, *([carry] if given else []))
    gradient, values = jax.tree.map(np.asarray, results)
    leaves, tree = jax.tree.flatten(variables["params"])
    count = len(leaves)  # leaf k is moved in direction k
    directions = [
        noise_like(leaf, k) * (np.arange(count) == k).reshape(-1, *[1] * leaf.ndim)
        for k, leaf in enumerate(leaves)
    ]
    moved = [leaf + oracle.SMALL * 1j * d for leaf, d in zip(leaves, directions, strict=True)]
    carries = [None] * {"bidirectional": 2, "stacked": 2, "deep": 4}.get(form, 1)
    if given:
        carries = [(np.broadcast_to(carry, (count, B, H)),)]
    rows = oracle.Rows(np.where(VALID[..., None], x, np.nan), VALID, RESETS)
    expected = oracle.batch(form, CELLS[name][2], jax.tree.unflatten(tree, moved), carries, rows)
    assert_close(jax.tree.leaves(values), [leaf[0].real for leaf in expected], 1e-10)
    for k, slope in enumerate(jax.tree.leaves(gradient["params"])):
        loop = scalar([leaf[k] for leaf in expected]).imag / oracle.SMALL
        assert_close((slope * directions[k][k]).sum(), loop, 1e-9)


def test_runs_in_chunks_and_with_flax_cells():
    nets = [RNN(LSTMCell(H), trainable_carry=True, remat_chunk=chunk) for chunk in (0, 4)]
    variables = variables_of(nets[0])
    expected, results = graded(nets[0])(variables, X)
    assert_close(graded(nets[1])(variables, X), (expected, results))

    flax, params = RNN(nn.LSTMCell(H), trainable_carry=True), variables["params"]

    def converted(tree):
        named = {"initial_carry_0": "initial_carry_c", "initial_carry_1": "initial_carry_h"}
        return {"cell": to_flax(tree["cell"], "lstm")} | {k: tree[v] for k, v in named.items()}

    assert jax.tree.map(np.shape, variables_of(flax)["params"]) == jax.tree.map(
        np.shape, converted(params)
    )
    slope, (last, outputs) = graded(flax)({"params": converted(params)}, X)
    assert_close((*last, outputs), (*results[0], results[1]))
    assert_close(slope["params"], converted(expected["params"]))


def test_is_zero_at_first_and_off_by_default():
    plain, trained = (RNN(LSTMCell(H), trainable_carry=on) for on in (False, True))
    assert RNN(LSTMCell(H)) == plain
    variables, more = (quick_jit(net.init)(KEY, X) for net in (plain, trained))
    start = {name: np.zeros(H, np.float32) for name in ("initial_carry_c", "initial_carry_h")}
    assert_close(more["params"], {**variables["params"], **start}, 0)
