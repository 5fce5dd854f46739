"""Loss and paths agree with enumeration; padding and impossible labels change nothing."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nets.ctc import scaled_float
from nets.ctc.best_path import ctc_best_path
from nets.ctc.loss import ctc_align, ctc_greedy, ctc_loss
from nets.ctc.scaled_float import ScaledFloat
from tests.nets.ctc.ctc_paths import by_label, log_softmax, spell

T, V, N, BLANK = 5, 4, 3, 2
SYMBOLS = [symbol for symbol in range(V) if symbol != BLANK]
LABELS = [label for n in range(N + 1) for label in itertools.product(SYMBOLS, repeat=n)]
LENGTHS = (5, 4, 2, 0)


def padded(labels, width, fill=0):
    out = np.full((len(labels), width), fill, np.int32)
    for row, label in zip(out, labels, strict=True):
        row[: len(label)] = label
    return out, np.array([len(label) for label in labels], np.int32)


@pytest.fixture(scope="module")
def case():
    """All labels of up to three symbols with each length: logits, lengths, labels, lengths."""
    logits = np.random.default_rng(0).normal(0, 2, (len(LENGTHS), T, V)).astype(np.float32)
    pairs = [(row, label) for row in range(len(LENGTHS)) for label in LABELS]
    rows = [row for row, _ in pairs]
    lengths = np.array(LENGTHS, np.int32)[rows]
    return logits[rows], lengths, *padded([label for _, label in pairs], N)


@pytest.fixture(scope="module")
def paths(case):
    """For each length {label: {path: log probability}}."""
    logits, lengths, *_ = case
    return {n: by_label(logits[lengths == n][0, :n], BLANK) for n in LENGTHS}


@jax.jit
def loss_and_slope(logits, lengths, labels, label_lengths):
    """Nats weighted by 1, 2, 3 ... over the rows, their gradient, and the loss."""

    def total(logits):
        result = ctc_loss(logits, lengths, labels, label_lengths, BLANK)
        return (result.nats * jnp.arange(1, len(logits) + 1)).sum(), result

    (_, result), slope = jax.value_and_grad(total, has_aux=True)(logits)
    return result, slope / jnp.arange(1, len(logits) + 1)[:, None, None]


def real(lengths, time=T):
    return np.arange(time) < np.asarray(lengths)[:, None]


def expected_slope(logits, own):
    """P(symbol at t) - P(symbol at t | label); logits [T, V], own: the label's paths."""
    slope = np.exp(log_softmax(logits))
    total = np.logaddexp.reduce(list(own.values()))
    for path, log_prob in own.items():
        slope[np.arange(len(path)), path] -= np.exp(log_prob - total)
    return slope


def test_loss_and_gradient_agree_with_the_sum_over_all_paths(case, paths):
    result, slope = jax.device_get(loss_and_slope(*case))
    logits, lengths, labels, label_lengths = case
    for row, n in enumerate(lengths):
        own = paths[n].get(tuple(labels[row, : label_lengths[row]].tolist()))
        assert result.feasible[row] == (own is not None)
        if own is None:
            assert result.nats[row] == 0
            assert not slope[row].any()
            continue
        total = np.logaddexp.reduce(list(own.values()))
        assert result.nats[row] == pytest.approx(-total, rel=1e-5, abs=1e-6)
        np.testing.assert_allclose(slope[row, :n], expected_slope(logits[row, :n], own), atol=2e-6)
    # two steps: 1 + 3 + 6 labels without a repeat; no steps: only the empty label
    assert result.feasible[lengths == 2].sum() == 10
    assert result.feasible[lengths == 0].sum() == 1
    assert (result.nats >= 0).all()


def test_padding_of_logits_or_labels_changes_nothing(case):
    logits, lengths, labels, label_lengths = case
    result, slope = loss_and_slope(*case)
    inside = real(lengths)
    poisoned = np.where(inside[..., None], logits, np.nan)
    for fill in (-7, 10**6):
        other = np.where(np.arange(N) < label_lengths[:, None], labels, fill)
        again = loss_and_slope(poisoned, lengths, other, label_lengths)
        jax.tree.map(np.testing.assert_array_equal, again, (result, slope))
        aligned = ctc_align(poisoned, lengths, other, label_lengths, BLANK)
        plain = ctc_align(*case, BLANK)
        jax.tree.map(np.testing.assert_array_equal, aligned, plain)
    assert not slope[~inside].any()
    jax.tree.map(
        np.testing.assert_array_equal,
        ctc_greedy(poisoned, lengths, BLANK),
        ctc_greedy(logits, lengths, BLANK),
    )


def test_long_rows_agree_with_optax_and_better_with_float64():
    """Sums over many steps, of probabilities down to e^-400."""
    rng = np.random.default_rng(1)
    time, count = 60, 12
    logits = rng.normal(0, 20, (4, time, V)).astype(np.float32)
    labels = rng.choice(SYMBOLS, (4, count)).astype(np.int32)
    lengths, label_lengths = np.array([60, 41, 60, 33]), np.array([12, 12, 0, 7])
    result, slope = loss_and_slope(logits, lengths, labels, label_lengths)

    @jax.jit
    def with_optax(logits):
        pads = [(~real(n, m)).astype(np.float32) for n, m in ((lengths, time), (label_lengths, 12))]

        def total(logits):
            nats = optax.ctc_loss(logits, pads[0], labels, pads[1], blank_id=BLANK)
            return nats.sum(), nats

        return jax.grad(total, has_aux=True)(logits)

    theirs, nats = with_optax(logits)
    assert result.feasible.all()
    assert max(nats) > 500
    np.testing.assert_allclose(result.nats, nats, rtol=1e-5)
    np.testing.assert_allclose(slope, theirs, atol=2e-3)
    # the same sums of logarithms in numpy's float64
    for row in range(4):
        n, label = lengths[row], labels[row, : label_lengths[row]]
        states = np.full(2 * len(label) + 1, BLANK)
        states[1::2] = label
        log_probs = log_softmax(logits[row, :n])
        sums = np.full(len(states), -np.inf)
        sums[0] = 0
        for t in range(n):
            one = np.append(-np.inf, sums)[:-1]
            two = np.append([-np.inf] * 2, sums)[: len(sums)]
            skip = np.append([False] * 2, states[2:] != states[:-2])[: len(states)]
            two = np.where(skip, two, -np.inf)
            sums = np.logaddexp(np.logaddexp(sums, one), two) + log_probs[t, states]
        assert result.nats[row] == pytest.approx(-np.logaddexp.reduce(sums[-2:]), rel=1e-6)


def test_certain_labels_cost_nothing_and_impossible_ones_have_no_slope():
    logits = np.full((4, 6, V), -1e4, np.float32)
    for t, symbol in enumerate([0, 0, BLANK, 0, 3, BLANK]):
        logits[:, t, symbol] = 1e4
    logits[2, 1, :3] = -np.inf  # certainly 3 at step 1, which is not in the label
    logits[3, 5, 1] = np.nan
    labels, label_lengths = padded([(0, 0, 3), (0, 3), (0, 0), (0, 0, 3)], 4)
    result, slope = loss_and_slope(logits, np.array([6, 6, 6, 6]), labels, label_lengths)
    assert result.feasible.tolist() == [True, True, False, True]
    assert result.nats[0] == 0
    # the minimum for a step is 2 ** -8192; three paths of row 1 are wrong at one step
    assert result.nats[1] == pytest.approx(8192 * np.log(2) - np.log(3), rel=1e-6)
    np.testing.assert_allclose(slope[1].sum(axis=1), 0, atol=1e-5)
    assert result.nats[2] == 0
    assert not slope[2].any()
    assert np.isnan(result.nats[3])
    assert np.isnan(slope[3]).any()
    assert np.isfinite(slope[:3]).all()

    # both symbols at step 3 spell the label, so P is 1, and rounding may exceed it
    rng, rows = np.random.default_rng(4), np.full(4, 6)
    for _ in range(10):
        logits[:] = -1e4
        logits[:, :3, 0] = logits[:, 4:, BLANK] = 1e4
        logits[:, 3, [0, BLANK]] = rng.normal(size=(4, 2))
        nats = loss_and_slope(logits, rows, np.zeros_like(labels), np.ones_like(rows))[0].nats
        assert ((nats >= 0) & (nats < 1e-6)).all()


def test_a_loss_that_does_not_count_has_no_gradient():
    logits = np.zeros((4, 6, V), np.float32)
    logits[3, 5, 1] = np.nan
    labels, label_lengths = padded([(0, 0, 3), (0, 3), (0, 0), (0, 0, 3)], 4)

    def dropped(logits):
        nats = ctc_loss(logits, np.full(4, 6), labels, label_lengths, BLANK).nats
        return jnp.where(jnp.isnan(nats), 0, nats).sum()

    assert np.isfinite(jax.jit(jax.grad(dropped))(logits)).all()


def test_greedy_spells_the_best_path():
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(40, T, V)).astype(np.float32)
    lengths = rng.integers(0, T + 1, 40)
    labels, counts = jax.device_get(ctc_greedy(logits, lengths, BLANK))
    assert labels.dtype == counts.dtype == np.int32
    path, score = jax.device_get(ctc_best_path(logits, lengths, BLANK))
    for row, n in enumerate(lengths):
        log_p = np.float64(logits[row, :n])
        log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
        assert path[row].tolist() == [*log_p.argmax(axis=1), *[BLANK] * (T - n)]
        assert score[row] == pytest.approx(log_p.max(axis=1, initial=-np.inf).sum(), abs=1e-4)
        expected = spell(logits[row, :n].argmax(axis=1), BLANK)
        assert labels[row].tolist() == [*expected, *[0] * (T - len(expected))]
        assert counts[row] == len(expected)
    assert max(counts) >= 3


def test_the_alignment_is_the_best_path_of_the_label(case, paths):
    _, lengths, labels, label_lengths = case
    result = jax.device_get(ctc_align(*case, BLANK))
    feasible = loss_and_slope(*case)[0].feasible
    np.testing.assert_array_equal(result.score > -np.inf, feasible)
    for row, n in enumerate(lengths):
        label = tuple(labels[row, : label_lengths[row]].tolist())
        path, index = result.path[row].tolist(), result.place[row]
        assert path[n:] == [BLANK] * (T - n)
        own = paths[n].get(label)
        if own is None:
            assert (index == -1).all()
            assert path == [BLANK] * T
            continue
        assert result.score[row] == pytest.approx(max(own.values()), rel=1e-5, abs=1e-6)
        assert own[tuple(path[:n])] == pytest.approx(max(own.values()), rel=1e-6, abs=1e-6)
        np.testing.assert_array_equal(index == -1, np.array(path) == BLANK)
        visited = [i for i, _ in itertools.groupby(index[index >= 0].tolist())]
        assert visited == list(range(len(label)))
        assert [label[i] for i in index if i >= 0] == [s for s in path if s != BLANK]


@jax.jit
def properties(logits, lengths, labels, label_lengths):
    text = (labels, label_lengths, BLANK)
    result, slope = loss_and_slope(logits, lengths, labels, label_lengths)
    best, count = ctc_greedy(logits, lengths, BLANK)
    nats = ctc_loss(logits, lengths, best, count, BLANK).nats
    reverse = ctc_loss(logits[:, ::-1], jnp.full_like(lengths, T), labels[:, ::-1], *text[1:])
    whole = ctc_loss(logits, jnp.full_like(lengths, T), *text)
    return result, slope, ctc_align(logits, lengths, *text).score, nats, reverse, whole


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.floats(0.1, 40))
def test_properties_of_any_logits(seed, scale):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, scale, (4, T, V)).astype(np.float32)
    labels, lengths = rng.choice(SYMBOLS, (4, N)).astype(np.int32), rng.integers(0, T + 1, 4)
    result, slope, score, greedy, reverse, whole = jax.device_get(
        properties(logits, lengths, labels, np.array([N, N, N, N]))
    )
    tolerance = 1e-5 * (1 + result.nats)
    assert (result.nats >= 0).all()
    # one path is at most as probable as all of them
    assert (result.nats <= np.where(result.feasible, -score, 0) + tolerance).all()
    np.testing.assert_array_equal(result.feasible, score > -np.inf)
    best = np.where(real(lengths), log_softmax(logits).max(axis=2), 0).sum(axis=1)
    assert (greedy <= 1e-5 * (1 - best) - best).all()
    # the gradient at a step sums to 0 over the symbols
    np.testing.assert_allclose(slope.sum(axis=2), 0, atol=1e-5)
    # reversed in time it has the same probability
    np.testing.assert_allclose(reverse.nats, whole.nats, rtol=1e-5, atol=1e-5)


def test_inputs_without_steps_or_labels():
    nothing, none = np.zeros((2, 0, V), np.float32), np.zeros(2, np.int32)
    one, empty = np.ones((2, 1), np.int32), np.zeros((2, 0), np.int32)
    result = ctc_loss(nothing, none, one, np.array([0, 1]), BLANK)
    assert result.feasible.tolist() == [True, False]
    assert result.nats.tolist() == [0, 0]
    assert ctc_greedy(nothing, none, BLANK)[0].shape == (2, 0)
    aligned = ctc_align(nothing, none, one, np.array([0, 1]), BLANK)
    assert aligned.score.tolist() == [0, -np.inf]
    assert aligned.path.shape == (2, 0)
    logits = np.random.default_rng(0).normal(size=(2, 3, V)).astype(np.float32)
    blanks = log_softmax(logits)[..., BLANK]
    result = ctc_loss(logits, np.array([3, 1]), empty, none, BLANK)
    np.testing.assert_allclose(result.nats, [-blanks[0].sum(), -blanks[1, 0]], rtol=1e-6)


def test_scaled_floats_add_and_multiply_beyond_the_range_of_float32():
    logs = np.array([-3e6, -200.0, -0.3, 0.0, 700.0, -np.inf])

    @jax.jit
    def run(a, b):
        a, b = (ScaledFloat.from_log2(scaled_float.clip_log2(x)) for x in (a, b))
        for _ in range(3):  # to the eighth power
            a, b = scaled_float.multiply(a, a), scaled_float.multiply(b, b)
        zero = ScaledFloat.from_log2(jnp.full_like(a.mantissa, -jnp.inf))
        total = scaled_float.add(a, scaled_float.add(b, zero))
        return total.log(), scaled_float.multiply(a, b).log()

    a, b = (grid.ravel().astype(np.float32) for grid in np.meshgrid(logs, logs))
    total, product = run(a, b)
    a, b = (8 * np.log(2) * np.maximum(x, np.where(x == -np.inf, x, -8192)) for x in (a, b))
    np.testing.assert_allclose(total, np.logaddexp(a, b), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(product, a + b, rtol=1e-5, atol=1e-5)


def test_wrong_arguments_are_refused():
    logits, lengths = np.zeros((2, 5, V), np.float32), np.array([5, 5])
    labels, counts = np.ones((2, 3), np.int32), np.array([3, 1])

    def refused(match, *args, blank=BLANK):
        with pytest.raises(ValueError, match=match):
            ctc_loss(*args, blank)

    refused(r"\[batch, time, symbols\], got float32 of shape \(5, 4\)", logits[0], 5, labels, 3)
    refused(r"\[batch, time, symbols\], got int32", logits.astype(np.int32), 5, labels, 3)
    refused("blank_id must be from 0 to 3, got 4", logits, lengths, labels, counts, blank=4)
    refused(r"lengths must be from 0 to 5, got \[6, 5\]", logits, np.array([6, 5]), labels, counts)
    refused(r"labels must have shape \(2, N\), got \(1, 3\)", logits, lengths, labels[:1], counts)
    refused(r"lengths must be from 0 to 3", logits, lengths, labels, counts + 1)
    refused(r"not the blank 1, got \[1\]", logits, lengths, labels, counts, blank=1)
