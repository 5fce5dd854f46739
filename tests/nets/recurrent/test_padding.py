"""Padding, lengths, masks and resets: properties, retracing, and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nets.masking import masked_softmax, valid_steps
from nets.recurrent.bidirectional import Bidirectional
from nets.recurrent.cells import ElmanCell, GRUCell, LSTMCarry, LSTMCell
from nets.recurrent.layers import RNN, Stacked
from tests.nets.recurrent.networks import (
    B,
    D,
    H,
    T,
    assert_close,
    make_network,
    quick_jit,
    scalar,
    setting,
)

LSTM = setting("lstm", "bidirectional")
RUN = quick_jit(
    lambda variables, x, carry, lengths, resets: make_network("lstm", "bidirectional").apply(
        variables, x, lengths=lengths, resets=resets, initial_carry=carry
    )
)
quick = settings(deadline=None, derandomize=True, max_examples=12)
rows_of_lengths = st.lists(st.integers(0, T), min_size=B, max_size=B).map(np.array)
some_resets = st.integers(0, 999).map(lambda seed: np.random.default_rng(seed).random((B, T)) < 0.3)


@quick
@given(order=st.permutations(range(B)), lengths=rows_of_lengths, resets=some_resets)
def test_rows_in_another_order_give_results_in_that_order(order, lengths, resets):
    variables, x, carry = LSTM
    order = np.array(order)

    def moved(tree):
        return jax.tree.map(lambda leaf: leaf[order], tree)

    expected = moved(jax.device_get(RUN(variables, x, carry, lengths, resets)))
    actual = RUN(variables, x[order], moved(carry), lengths[order], resets[order])
    assert_close(actual, expected, 1e-6)


@quick
@given(lengths=rows_of_lengths, resets=some_resets, seed=st.integers(0, 99))
def test_padding_values_change_nothing(lengths, resets, seed):
    variables, x, carry = LSTM
    real = np.arange(T) < lengths[:, None]
    garbage = np.random.default_rng(seed).choice([np.nan, np.inf, -1e30, 0.0], x.shape)
    bad = np.where(real[..., None], x, garbage).astype(np.float32)
    # numpy: each number of valid steps would be compiled
    expected = jax.device_get(RUN(variables, x, carry, lengths, resets))
    assert_close(RUN(variables, bad, carry, lengths, resets & real), expected, 0)
    assert (expected[1][~real] == 0).all()
    for before, after in zip(jax.tree.leaves(carry), jax.tree.leaves(expected[0]), strict=True):
        assert (after[lengths == 0] == before[lengths == 0]).all()


@quick
@given(lengths=rows_of_lengths, more=st.sampled_from([1, 4]), resets=some_resets)
def test_more_padding_changes_nothing(lengths, more, resets):
    variables, x, carry = LSTM
    longer = np.pad(x, [(0, 0), (0, more), (0, 0)], constant_values=np.nan)
    last, outputs = jax.device_get(RUN(variables, x, carry, lengths, resets))
    padded = RUN(variables, longer, carry, lengths, np.pad(resets, [(0, 0), (0, more)]))
    assert_close(padded, (last, np.pad(outputs, [(0, 0), (0, more), (0, 0)])), 1e-6)


@quick
@given(resets=some_resets, seed=st.integers(0, 99))
def test_reading_backwards_is_reading_the_flipped_rows(resets, seed):
    variables, x, carry = setting("gru", seed=seed)
    mask = np.random.default_rng(seed).random((B, T)) < 0.7
    forward, backward = BOTH_WAYS
    last, outputs = jax.device_get(backward(variables, x, carry, mask, resets))
    begun = np.maximum.accumulate(mask[:, ::-1], axis=1)[:, :-1]  # a valid step has been read
    starts = np.pad(resets[:, :0:-1] & begun, [(0, 0), (1, 0)])
    flipped = forward(variables, x[:, ::-1], carry, mask[:, ::-1], starts)
    assert_close(flipped, (last, outputs[:, ::-1]), 1e-6)


def _masked(form):
    return quick_jit(
        lambda variables, x, carry, mask, resets: make_network("gru", form).apply(
            variables, x, mask=mask, resets=resets, initial_carry=carry
        )
    )


BOTH_WAYS = (_masked("forward"), _masked("reversed"))


@pytest.mark.parametrize("name", ["lstm", "lstm_full", "min_gru"])
def test_nan_in_the_padding_affects_no_gradient(name):
    variables, x, carry = setting(name, "deep")
    net = make_network(name, "deep")
    mask = np.array([[0, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]])

    def run(variables, x, carry):
        return scalar(jax.tree.leaves(net.apply(variables, x, mask=mask, initial_carry=carry)))

    slope = quick_jit(jax.grad(run, (0, 1, 2)))
    bad = np.where(mask[..., None] != 0, x, np.float32(np.nan))
    clean = slope(variables, x, carry)
    assert_close(slope(variables, bad, carry), clean, 0)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(clean))


def test_any_non_zero_mask_or_reset_counts():
    variables, x, carry = setting("gru")
    run, mask = BOTH_WAYS[0], np.random.default_rng(0).random((B, T)) < 0.6
    resets = np.random.default_rng(1).random((B, T)) < 0.4
    expected = run(variables, x, carry, mask, resets)
    for scale in (7, -0.5):
        assert_close(run(variables, x, carry, mask * scale, resets * scale), expected, 0)


def test_valid_steps_by_enumeration():
    for a in range(4):
        for b in range(4):
            lengths = np.array([a, b])
            mask = np.array([[1, 0, 2], [0, -1, 1]])
            expected = np.array(
                [
                    [t < n and row[t] != 0 for t in range(3)]
                    for n, row in zip((a, b), mask, strict=True)
                ]
            )
            assert (valid_steps((2, 3), lengths, mask) == expected).all()
    assert valid_steps((2, 3)) is None


def test_softmax_without_a_mask_is_the_plain_one():
    scores = jnp.array([[1.0, -2.0, 0.5], [80.0, 81.0, 79.0]])
    both = quick_jit(lambda scores: (masked_softmax(scores, None), jax.nn.softmax(scores)))
    assert_close(*both(scores), 1e-6)


def test_traced_lengths_are_clipped():
    variables, x, carry = LSTM
    none = np.zeros((B, T), bool)
    wild = RUN(variables, x, carry, np.array([-3, T + 9, 2]), none)
    assert_close(wild, RUN(variables, x, carry, np.array([0, T, 2]), none), 0)


def test_one_trace_for_each_shape():
    variables, x, _ = setting("lstm", "stacked")
    traces = []

    def run(variables, x, lengths, mask):
        traces.append(x.shape)
        results = make_network("lstm", "stacked").apply(variables, x, lengths, mask)
        return scalar(jax.tree.leaves(results))

    slope = quick_jit(jax.grad(run))
    mask = np.ones((B, T), bool)
    for lengths in ([1, 2, 3], [0, 0, 0], [T, T, T]):
        slope(variables, x, np.array(lengths), mask)
        mask = ~mask
    assert traces == [(B, T, D)]
    slope(variables, x[:, :2], np.array([0, 1, 2]), mask[:, :2])
    assert traces == [(B, T, D), (B, 2, D)]


X = np.zeros((B, T, D), np.float32)
NETS = {
    "rnn": lambda: RNN(LSTMCell(H)),
    "bidirectional": lambda: Bidirectional(RNN(LSTMCell(H)), RNN(LSTMCell(H))),
    "stacked": lambda: Stacked([RNN(LSTMCell(H))]),
}


def refused(net, *arguments, **options):
    """Return the text of the ValueError."""
    with pytest.raises(ValueError, match=r".") as caught:
        net.init(jax.random.key(0), *arguments, **options)
    return str(caught.value)


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"x": X[0, 0]}, ["x", f"({D},)"]),
        ({"x": X.astype(np.int32)}, ["x", "int32", str(X.shape)]),
        ({"x": X[..., :0]}, ["x", f"({B}, {T}, 0)"]),
        ({"lengths": np.zeros(B)}, ["lengths", f"({B},)", "float"]),
        ({"lengths": np.zeros(B, bool)}, ["lengths", "bool"]),
        ({"lengths": np.zeros(B + 1, int)}, ["lengths", f"({B},)", f"({B + 1},)"]),
        ({"lengths": np.zeros((B, 1), int)}, ["lengths", f"({B},)", f"({B}, 1)"]),
        ({"lengths": np.array([0, T + 1, 2])}, ["lengths", f"0 to {T}", str(T + 1)]),
        ({"lengths": np.array([0, -1, 2])}, ["lengths", f"0 to {T}", "-1"]),
        ({"mask": np.ones((T, B))}, ["mask", f"({B}, {T})", f"({T}, {B})"]),
        ({"mask": np.ones((B, T, 1))}, ["mask", f"({B}, {T})", f"({B}, {T}, 1)"]),
        ({"resets": np.ones((B, T + 1))}, ["resets", f"({B}, {T})", f"({B}, {T + 1})"]),
        ({"resets": np.ones(B)}, ["resets", f"({B}, {T})", f"({B},)"]),
    ],
)
def test_arguments_that_do_not_fit_are_refused_with_both_shapes(kind, arguments, words):
    message = refused(NETS[kind](), **{"x": X, **arguments})
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("carry", "words"),
    [
        (LSTMCarry(np.zeros((1, H)), np.zeros((1, H))), ["[3, 4]", "[1, 4]"]),
        (LSTMCarry(np.zeros((B, H)), np.zeros((B, H + 1))), ["[3, 4]", "[3, 5]"]),
        (LSTMCarry(np.zeros((B, H), int), np.zeros((B, H))), ["float32", "int"]),
        (LSTMCarry(jnp.zeros((B, H), jnp.bfloat16), np.zeros((B, H))), ["float32", "bfloat16"]),
        ((np.zeros((B, H)),) * 3, ["LSTMCarry", "[3, 4]"]),
        (np.zeros((B, H)), ["LSTMCarry", "[3, 4]"]),
    ],
)
def test_a_carry_that_does_not_fit_is_refused_with_both_structures(carry, words):
    message = refused(RNN(LSTMCell(H)), X, initial_carry=carry)
    assert all(word in message for word in ["initial_carry", *words]), message
    message = refused(NETS["stacked"](), X, initial_carry=(carry,))
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rule": "autograd"}, ["rule", "custom", "autodiff", "autograd"]),
        ({"backend": "cuda"}, ["backend", "scan", "cudnn", "cuda"]),
        ({"remat_chunk": 2, "truncate": 3}, ["truncate", "remat_chunk", "3", "2"]),
        ({"remat_chunk": -1}, ["remat_chunk", "-1"]),
        ({"truncate": -2}, ["truncate", "-2"]),
        ({"unroll": 0}, ["unroll", "at least 1", "0"]),
    ],
)
def test_invalid_options_are_refused(options, words):
    message = refused(RNN(ElmanCell(H), **options), X)
    assert all(word in message for word in words), message


def test_half_precision_of_the_input_is_allowed():
    variables, x, _ = setting("gru")
    _, outputs = quick_jit(RNN(GRUCell(H)).apply)(variables, jnp.asarray(x, jnp.bfloat16))
    assert outputs.dtype == jnp.float32


@pytest.mark.parametrize("form", ["bidirectional", "deep"])
def test_packed_sequences_are_read_as_if_alone(form):
    """Lengths 3, 1 and 2 in a row: no output or gradient of one depends on another."""
    net = make_network("lstm", form)
    variables, x, _ = setting("lstm", form)
    x = x[:, :6]
    starts = np.array([1, 0, 0, 1, 1, 0]) * np.ones((B, 1), int)
    ids = np.array([5, 5, 5, 2, 9, 9]) * np.ones((B, 1), int)

    def first(x):
        outputs = net.apply(variables, x, resets=starts)[1]
        return outputs[:, :3].sum(), outputs

    @quick_jit
    def run(x):
        slices = slice(3), slice(3, 4), slice(4, 6)
        parts = [net.apply(variables, x[:, part])[1] for part in slices]
        gradient, outputs = jax.grad(first, has_aux=True)(x)
        packed = outputs, net.apply(variables, x, segment_ids=ids)[1]
        return jnp.concatenate(parts, axis=1), packed, gradient

    expected, packed, gradient = run(x)
    for outputs in packed:
        assert_close(outputs, expected, 1e-6)
    gradient = np.abs(gradient).max(axis=(0, 2))
    assert (gradient[:3] > 0).all()
    assert (gradient[3:] == 0).all()


def test_a_start_in_the_padding_keeps_the_carry():
    variables, x, carry = LSTM
    lengths = np.array([3, 0, *[T] * (B - 2)])
    none = np.zeros((B, T), bool)
    late = none.copy()
    late[:2, 4] = True
    assert_close(
        RUN(variables, x, carry, lengths, late), RUN(variables, x, carry, lengths, none), 0
    )


def test_resets_and_segment_ids_together_are_refused():
    variables, x, _ = LSTM
    net, marks = make_network("lstm", "bidirectional"), np.zeros((B, T), int)
    with pytest.raises(ValueError, match="resets or segment_ids, not both"):
        net.apply(variables, x, resets=marks, segment_ids=marks)
    with pytest.raises(ValueError, match=r"segment_ids must have shape .*got \(1, 2\)"):
        net.apply(variables, x, segment_ids=marks[:1, :2])
