"""Long rows: in two halves, with less memory, truncated, unrolled; all against the plain run."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from nets.recurrent.layers import RNN
from tests.nets.recurrent.networks import (
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

# one with the custom rule, one with autodiff, one in parallel
some_cells = pytest.mark.parametrize("name", ["gru", "lstm_diagonal", "min_lstm"])
LENGTHS = np.array([5, 0, 2])
RESETS = np.array([[0, 1, 0, 0, 0, 1], [0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 1, 0]])


def graded(net, given=None):
    """(variables, x, carry) -> (gradients, results)."""

    def run(variables, x, carry):
        results = net.apply(variables, x, initial_carry=carry, **(given or {}))
        return scalar(jax.tree.leaves(results)), results

    return jax.grad(run, (0, 1, 2), has_aux=True)


def compare(one, other, arguments, tolerance=1e-11):
    both = quick_jit(lambda *arguments: (one(*arguments), other(*arguments)))
    assert_close(*both(*arguments), tolerance)


# a bidirectional layer cannot run in halves: its backward layer reads the second half first
@pytest.mark.parametrize("form", ["forward", "reversed", "stacked"])
@some_cells
def test_two_halves_with_the_carry_passed_on_are_the_whole(name, form):
    variables, x, carry = setting(name, form)
    net, half = make_network(name, form), T // 2
    run = quick_jit(
        lambda x, carry, lengths, resets: net.apply(
            variables, x, lengths=lengths, resets=resets, initial_carry=carry
        )
    )
    whole = run(x, carry, LENGTHS, RESETS)
    parts = [slice(None, half), slice(half, None)]
    outputs = {}
    for part in parts[::-1] if form == "reversed" else parts:
        lengths = np.clip(LENGTHS - (part.start or 0), 0, half)
        carry, outputs[part.start] = run(x[:, part], carry, lengths, RESETS[:, part])
    joined = np.concatenate([outputs[None], outputs[half]], axis=1)
    assert_close((carry, joined), whole, 1e-6)


@some_cells
@pytest.mark.parametrize(
    ("form", "options", "given"),
    [
        ("forward", {"remat_chunk": 3}, {}),
        ("reversed", {"remat_chunk": 4, "unroll": 2}, {"lengths": LENGTHS, "resets": RESETS}),
    ],
    ids=["divides", "does not"],
)
def test_saving_memory_changes_nothing(name, form, options, given):
    with PRECISIONS["float64"]():
        saving = make_network(name, form, "float64", **options)
        plain = make_network(name, form, "float64")
        arguments = setting(name, form, "float64")
        compare(graded(saving, given), graded(plain, given), arguments)


@pytest.mark.parametrize("name", ["lstm", "lstm_full"])
def test_memory_is_saved(name):
    variables, x, carry = setting(name, time=64)

    def residuals(chunk):
        net = make_network(name, "forward", remat_chunk=chunk)

        def back(v, x, c):
            return jax.vjp(lambda v, x, c: net.apply(v, x, initial_carry=c), v, x, c)[1]

        kept = jax.eval_shape(back, variables, x, carry)
        return sum(leaf.size for leaf in jax.tree.leaves(kept))

    # 64 / 8 carries instead of about five numbers per unit and step; both keep x
    assert residuals(8) < x.size + 0.3 * (residuals(0) - x.size)


@pytest.mark.parametrize("name", ["lstm", "lstm_full"])
def test_unrolled_loops_give_the_same(name):
    form = "reversed"
    with PRECISIONS["float64"]():
        unrolled = make_network(name, form, "float64", unroll=4)
        plain = make_network(name, form, "float64")
        given = {"lengths": LENGTHS, "resets": RESETS}
        compare(graded(unrolled, given), graded(plain, given), setting(name, form, "float64"))


def windows(form, size, time):
    """Slices between multiples of size, in reading order."""
    slices = [slice(start, min(start + size, time)) for start in range(0, time, size)]
    return slices[::-1] if form == "reversed" else slices


@some_cells
@pytest.mark.parametrize(
    ("form", "size", "more"),
    [("forward", 3, {"remat_chunk": 3}), ("reversed", 4, {})],
    ids=["saving", "reversed"],
)
def test_truncated_gradients_equal_those_of_windows(name, form, size, more):
    with PRECISIONS["float64"]():
        given = {"resets": RESETS}
        truncated = make_network(name, form, "float64", truncate=size, **more)
        plain = make_network(name, form, "float64")
        arguments = setting(name, form, "float64")

        def run(variables, x, carry):
            outputs = {}
            for part in windows(form, size, T):
                if outputs:
                    carry = lax.stop_gradient(carry)
                    # backwards, a sequence that begins with the last window ends there
                    ends = RESETS[:, [part.stop]] * (form == "reversed") if part.stop < T else 0
                    carry = jax.tree.map(lambda leaf, ends=ends: leaf * (1 - ends), carry)
                resets = RESETS[:, part]
                carry, y = plain.apply(variables, x[:, part], resets=resets, initial_carry=carry)
                outputs[part.start] = y
            joined = [outputs[start] for start in sorted(outputs)]
            results = carry, jnp.concatenate(joined, axis=1)
            return scalar(jax.tree.leaves(results)), results

        runs = (
            graded(truncated, given),
            jax.grad(run, (0, 1, 2), has_aux=True),
            graded(plain, given),
        )
        cut, expected, whole = quick_jit(lambda *a: [run(*a) for run in runs])(*arguments)
        assert_close(cut, expected, 1e-11)
        assert_close(cut[1], whole[1], 1e-12)
        gap = jax.tree.map(lambda a, b: abs(a - b).max(), cut[0][0], whole[0][0])
        assert max(jax.tree.leaves(gap)) > 1e-3  # the gradient is truncated


def test_truncation_beyond_the_row_has_no_effect():
    with PRECISIONS["float64"]():
        arguments = setting("lstm", "forward", "float64")
        cut, plain = (make_network("lstm", "forward", "float64", truncate=k) for k in (T + 2, 0))
        compare(graded(cut), graded(plain), arguments)


def test_chunks_longer_than_the_row_run_no_more_steps_than_it_has():
    net = make_network("lstm", "forward", truncate=1000)
    variables, x, carry = setting("lstm")
    program = jax.make_jaxpr(lambda: net.apply(variables, x, initial_carry=carry))()
    scans = [int(n) for n in re.findall(r"length=(\d+)", str(program))]
    assert scans
    assert max(scans) == T


def test_noise_of_a_run_in_chunks_equals_that_of_the_plain_run():
    """Seven steps in chunks of three: the keys of the steps are padded, too."""
    variables, x, _ = setting("lstm", time=7)
    noise = {"zoneout": 0.4, "recurrent_dropout": 0.3, "weight_drop": 0.2, "dropout": 0.1}
    rngs = {"dropout": jax.random.key(3)}

    def run(**options):
        net = RNN(make_cell("lstm"), **noise, **options)
        return quick_jit(partial(net.apply, train=True, rngs=rngs))(variables, x)

    plain = run()
    assert_close(run(remat_chunk=3), plain, 1e-6)
    assert_close(run(truncate=3), plain, 1e-6)
    assert x.shape[:2] == (B, 7)
