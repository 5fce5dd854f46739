"""Every cell against the numpy loops, in value and gradient.

Each cell runs in both directions; a single direction and several layers are tested with one cell of
each kind of scan.
"""

from functools import cache

import jax
import numpy as np
import pytest

from tests.nets.recurrent import oracle
from tests.nets.recurrent.networks import (
    CELLS,
    FORMS,
    PRECISIONS,
    B,
    T,
    assert_close,
    make_cell,
    make_network,
    quick_jit,
    scalar,
    setting,
)

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
every_cell = pytest.mark.parametrize("name", CELLS)
EACH_SCAN = ("elman", "gru_reset_after", "lstm_projection", "min_lstm")
# for code that does not depend on the cell: one cell of each kind of scan
each_scan = pytest.mark.parametrize("name", EACH_SCAN)
# a layer in both directions runs the scans of a forward and of a reversed layer of the same cell
MATRIX = [
    (name, form) for form in FORMS for name in (CELLS if form == "bidirectional" else EACH_SCAN)
]

EVERYTHING = np.ones((B, T))
NOTHING = np.zeros((B, T))
# a short row, an empty one, a full one; holes and padding on the left; resets at the first step, at
# the last step, in consecutive steps, and in the padding
LENGTHS = np.array([4, 0, T])
MASK = np.array([[1, 0, 1, 1, 0, 1], [0, 0, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]], float)
RESETS = np.array([[1, 0, 0, 1, 0, 1], [0, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0]], float)
CASES = {
    "none": (np.full(B, T), EVERYTHING, NOTHING),
    "lengths": (LENGTHS, EVERYTHING, NOTHING),
    "mask": (np.full(B, T), MASK, NOTHING),
    "resets": (np.full(B, T), EVERYTHING, RESETS),
    "lengths and resets": (LENGTHS, EVERYTHING, RESETS),
    "all": (LENGTHS[::-1], MASK, RESETS),
}


def real_steps(lengths, mask):
    return (np.arange(mask.shape[-1]) < lengths[..., None]) & (mask != 0)


def rows_first(array, lead):
    """[*lead, ...] -> [N, ...]."""
    return np.asarray(array, np.float64).reshape(-1, *array.shape[len(lead) :])


@cache
def graded(name, form, dtype, given=("lengths", "mask", "resets", "initial_carry")):
    """(variables, x, **given) -> ((scalar, results), gradients); compiled once for all cases."""
    net = make_network(name, form, dtype)

    def run(variables, x, carry, rest):
        if "initial_carry" in given:
            rest = {**rest, "initial_carry": carry}
        results = net.apply(variables, x, **rest)
        return scalar(jax.tree.leaves(results)), results

    return quick_jit(jax.value_and_grad(run, argnums=(0, 1, 2), has_aux=True))


def assert_equals_the_loop(of, arguments, results, marks, case=""):
    """Compare values, and the gradient's product with two random directions for each leaf.

    of: name, form and dtype; arguments, results: arguments and results of `graded`; marks: valid
    steps and resets, both [*lead, T].
    """
    name, form, dtype = of
    variables, x, carry = arguments
    (_, values), gradients = results
    lead, tolerance = x.shape[:-2], TOLERANCE[dtype]
    real, fresh = (np.asarray(mark != 0).reshape(-1, mark.shape[-1]) for mark in marks)
    leaves, tree = jax.tree.flatten(
        (
            [rows_first(leaf, lead) for leaf in jax.tree.leaves(carry)],
            rows_first(x, lead),
            jax.tree.map(lambda a: np.asarray(a, np.float64), variables["params"]),
        )
    )
    index_of_x = len(jax.tree.leaves(carry))
    rng = np.random.default_rng(5)
    directions = []
    for k, leaf in enumerate(leaves):
        direction = np.zeros((2 * len(leaves), *leaf.shape))
        direction[2 * k : 2 * k + 2] = rng.normal(size=(2, *leaf.shape))
        directions.append(direction * real[..., None] if k == index_of_x else direction)
    moved = [leaf + oracle.SMALL * 1j * d for leaf, d in zip(leaves, directions, strict=True)]
    flat, steps, params = jax.tree.unflatten(tree, moved)
    size = 2 if name.startswith("lstm") else 1
    carries = [tuple(flat[k : k + size]) for k in range(0, len(flat), size)]
    rows = oracle.Rows(steps, real, fresh)
    expected = oracle.batch(form, CELLS[name][2], params, carries, rows)

    actual = [rows_first(leaf, lead) for leaf in jax.tree.leaves(values)]
    assert_close(actual, [leaf[0].real for leaf in expected], tolerance, case)
    slopes = [scalar([leaf[k] for leaf in expected]).imag for k in range(2 * len(leaves))]
    slopes = np.array(slopes) / oracle.SMALL
    # in the order of `leaves`; there may be no gradient of the carry
    paths = jax.tree_util.tree_leaves_with_path(gradients[::-1])
    for k, (path, gradient) in enumerate(paths, len(leaves) - len(paths)):
        both = slice(2 * k, 2 * k + 2)
        weighted = np.asarray(gradient, np.float64).ravel() * directions[k][both].reshape(2, -1)
        scale = max(1, np.abs(weighted).max())
        where = case + jax.tree_util.keystr(path)
        assert_close(weighted.sum(1) / scale, slopes[both] / scale, tolerance, where)
    assert (rows_first(gradients[1], lead)[~real] == 0).all()


@pytest.mark.parametrize(("name", "form"), MATRIX)
def test_equals_the_loop_in_double_precision(name, form):
    with PRECISIONS["float64"]():
        variables, x, carry = setting(name, form, "float64")
        for case, (lengths, mask, resets) in CASES.items():
            real = real_steps(lengths, mask)
            arguments = (variables, np.where(real[..., None], x, np.nan), carry)
            rest = {"lengths": lengths, "mask": mask, "resets": resets}
            results = graded(name, form, "float64")(*arguments, rest)
            of = (name, form, "float64")
            assert_equals_the_loop(of, arguments, results, (real, resets), case)


@each_scan
def test_without_arguments_a_single_row_starts_from_zeros(name):
    form, dtype = "bidirectional", "float32"
    variables, x, carry = setting(name, form, dtype, lead=())
    carry = jax.tree.map(np.zeros_like, carry)
    arguments, full = (variables, x, carry), np.ones(T, bool)
    results = graded(name, form, dtype, given=())(*arguments, {})
    (_, (last, outputs)), gradients = results
    assert jax.tree.map(np.shape, last) == jax.tree.map(np.shape, carry)
    assert outputs.shape == (T, outputs.shape[-1])
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradients[2]))  # not used
    results = (results[0], (*gradients[:2], None))
    assert_equals_the_loop((name, form, dtype), arguments, results, (full, ~full))


@each_scan
def test_two_leading_axes(name):
    form, dtype, lead = "bidirectional", "float32", (2, 2)
    variables, x, carry = setting(name, form, dtype, lead=lead)
    lengths = np.array([[0, 3], [T, 1]])
    resets = np.random.default_rng(3).random((*lead, T)) < 0.3
    real = real_steps(lengths, np.ones((*lead, T)))
    x = np.where(real[..., None], x, np.float32(np.nan))
    arguments, rest = (variables, x, carry), {"lengths": lengths, "resets": resets}
    results = graded(name, form, dtype)(*arguments, rest)
    (_, (last, outputs)), _ = results
    assert jax.tree.map(np.shape, last) == jax.tree.map(np.shape, carry)
    assert outputs.shape[:-1] == (2, 2, T)
    assert_equals_the_loop((name, form, dtype), arguments, results, (real, resets))


@every_cell
def test_equals_the_cell_unrolled_by_hand(name):
    variables, x, carry = setting(name)
    cell = make_cell(name)
    step = quick_jit(cell.apply)
    expected, outputs = carry, []
    for t in range(T):
        expected, y = step({"params": variables["params"]["cell"]}, expected, x[:, t])
        outputs.append(y)
    run = quick_jit(make_network(name, "forward").apply)
    actual = run(variables, x, initial_carry=carry)
    assert_close(actual, (expected, np.stack(outputs, axis=1)))


@pytest.mark.parametrize("name", ["lstm", "gru", "lstm_full", "min_gru"])
@pytest.mark.parametrize("form", ["forward", "reversed"])
def test_one_step_of_one_row_is_the_cell(name, form):
    variables, x, carry = setting(name, form, lead=(1,), time=1)

    @quick_jit
    def both(variables, x, carry):
        last, outputs = make_network(name, form).apply(variables, x, initial_carry=carry)
        cell = {"params": variables["params"]["cell"]}
        return (last, outputs[:, 0]), make_cell(name).apply(cell, carry, x[:, 0])

    assert_close(*both(variables, x, carry))


@pytest.mark.parametrize("name", ["lstm", "gru_reset_after", "elman", "lstm_full", "min_lstm"])
def test_zero_steps_return_the_initial_carry(name):
    variables, x, carry = setting(name)
    net = make_network(name, "forward")

    def run(variables, carry):
        results = net.apply(variables, x[:, :0], initial_carry=carry)
        return scalar(jax.tree.leaves(results)), results

    slope = quick_jit(jax.grad(run, argnums=(0, 1), has_aux=True))
    gradients, (last, outputs) = slope(variables, carry)
    assert_close(last, carry, 0)
    assert outputs.shape == (B, 0, outputs.shape[-1])
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradients[0]))
    assert all((leaf != 0).all() for leaf in jax.tree.leaves(gradients[1]))


@pytest.mark.parametrize("name", ["lstm", "gru", "lstm_full", "min_gru", "min_lstm"])
def test_a_reset_clears_even_nan_in_value_and_gradient(name):
    variables, x, carry = setting(name)
    resets = np.zeros((B, T))
    resets[:, 0] = 1
    rest = {"resets": resets}
    broken = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), carry)
    run = graded(name, "forward", "float32")
    expected, actual = (run(variables, x, start, rest) for start in (carry, broken))
    assert np.isfinite(expected[0][1][1]).all()
    assert_close(actual, expected)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(actual[1][2]))


@pytest.mark.parametrize("name", ["lstm", "min_gru"])
def test_inputs_before_a_reset_may_be_nan(name):
    variables, x, carry = setting(name)
    resets = np.zeros((B, T))
    resets[1, 3] = 1
    run = graded(name, "forward", "float32")
    (_, (last, outputs)), _ = run(variables, x, carry, {"resets": resets})
    bad = x.copy()
    bad[1, :3] = np.nan
    (_, (bad_last, bad_outputs)), _ = run(variables, bad, carry, {"resets": resets})
    assert np.isnan(bad_outputs[1, :3]).all()
    assert_close(bad_last, last)
    assert_close(bad_outputs[1, 3:], outputs[1, 3:])
    assert_close(bad_outputs[::2], outputs[::2])
