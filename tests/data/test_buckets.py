"""Buckets: every pair once per epoch, few shapes, correct masks and padding."""

from itertools import chain, combinations, pairwise

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.buckets import EvaluationBuckets, TrainingBuckets, make_shapes
from data.catalogue import DataError
from data.lines.transcripts import Transcripts
from data.pairs.batches import IdPairs, make_batch, source_buckets, widths

quick = settings(deadline=None, derandomize=True, max_examples=30)
SHAPES = ((4, 4), (8, 4), (8, 12))
KEYS = {"source", "source_lengths", "inputs", "targets", "mask"}


def numbered(lengths):
    """Pairs of given lengths whose ids identify the pair: source 100 + i, target 500 + i."""
    return [([100 + i] * s, [500 + i] * t) for i, (s, t) in enumerate(lengths)]


def lengths(longest):
    side = st.integers(0, longest)
    return st.lists(st.tuples(side, side), min_size=1, max_size=40)


def rows(batch):
    """Pairs of a batch, read from its arrays alone."""
    pairs = []
    for i, length in enumerate(batch["source_lengths"]):
        count = int(batch["mask"][i].sum())
        source, inputs, targets = (batch[key][i] for key in ("source", "inputs", "targets"))
        np.testing.assert_array_equal(batch["mask"][i], np.arange(len(targets)) < count)
        assert not source[length:].any()
        assert not inputs[count:].any()
        assert not targets[count:].any()
        assert (length == 0) == (count == 0)
        if length:
            assert source[length - 1] == targets[count - 1] == 3
            assert inputs[0] == 2
            np.testing.assert_array_equal(inputs[1:count], targets[: count - 1])
            pairs.append((source[: length - 1].tolist(), targets[: count - 1].tolist()))
    return pairs


def test_a_batch_by_hand():
    batch = make_batch([([7, 8], [9]), ([], [5, 6])], (4, 3), 3)
    expected = {
        "source": [[7, 8, 3, 0], [3, 0, 0, 0], [0, 0, 0, 0]],
        "source_lengths": [3, 1, 0],
        "inputs": [[2, 9, 0], [2, 5, 6], [0, 0, 0]],
        "targets": [[9, 3, 0], [5, 6, 3], [0, 0, 0]],
        "mask": [[1, 1, 0], [1, 1, 1], [0, 0, 0]],
    }
    assert set(batch) == KEYS
    for key, array in expected.items():
        np.testing.assert_array_equal(batch[key], array, err_msg=key)
        assert batch[key].dtype == (np.float32 if key == "mask" else np.int32)


@quick
@given(
    lengths=lengths(30),
    batch_size=st.integers(1, 7),
    buckets=st.integers(1, 5),
    longest=st.integers(1, 31),
    seed=st.integers(0, 9),
)
def test_an_epoch_contains_every_short_enough_pair_once(
    lengths, batch_size, buckets, longest, seed
):
    pairs = numbered(lengths)
    short = [pair for pair in pairs if max(len(pair[0]), len(pair[1])) < longest]
    if not short:
        with pytest.raises(DataError, match=f"none of the {len(pairs)} training examples fits"):
            TrainingBuckets(IdPairs(pairs), batch_size, seed, longest, buckets)
        return
    train = TrainingBuckets(IdPairs(pairs), batch_size, seed, longest, buckets)
    assert train.too_long == len(pairs) - len(short)
    steps = train.steps_per_epoch
    assert steps == -(-len(short) // batch_size)
    assert len(train.shapes) <= buckets
    for epoch in (0, 1):
        batches = [train(step) for step in range(epoch * steps, (epoch + 1) * steps)]
        assert sorted(chain.from_iterable(map(rows, batches))) == sorted(short)
        assert sorted(len(rows(batch)) for batch in batches)[1:] == [batch_size] * (steps - 1)
        for batch in batches:
            assert (batch["source"].shape[1], batch["targets"].shape[1]) in train.shapes
            for key, array in batch.items():
                assert len(array) == batch_size, key
                assert array.dtype == (np.float32 if key == "mask" else np.int32)


def test_batches_are_a_function_of_seed_and_step():
    pairs = numbered([(i % 9, i % 7) for i in range(50)])

    def train(seed):
        return TrainingBuckets(IdPairs(pairs), 4, seed)

    one, steps = train(5), range(train(5).steps_per_epoch)
    for step in (30, 0, 17, 30):
        for key, array in train(5)(step).items():
            np.testing.assert_array_equal(array, one(step)[key])

    def order(seed, epoch):
        return [rows(train(seed)(epoch * len(steps) + step)) for step in steps]

    orders = [order(5, 0), order(5, 1), order(6, 0)]
    for a, b in combinations(orders, 2):
        assert a != b
        assert sorted(map(sorted, a)) != sorted(map(sorted, b))  # and in different batches


def test_batches_of_one_length_are_not_consecutive():
    train = TrainingBuckets(IdPairs(numbered([(i // 50, i // 50) for i in range(400)])), 10, 0)
    widths = [train(step)["source"].shape[1] for step in range(40)]
    assert widths not in (sorted(widths), sorted(widths)[::-1])
    assert len(set(widths)) == len(train.shapes) > 1


@quick
@given(lengths=lengths(40), count=st.integers(1, 3))
def test_shapes_grow_and_leave_the_least_padding(lengths, count):
    needed = widths(numbered(lengths))
    shapes = make_shapes(needed, count)
    assert len(shapes) <= count
    for small, large in pairwise(shapes):
        assert small != large
        assert small[0] <= large[0]
        assert small[1] <= large[1]
    assert all(width % 4 == 0 for shape in shapes for width in shape)

    def cells(bounds):
        total, lower = 0, 0
        for bound in bounds:
            below = [pair for pair in needed.tolist() if max(pair) <= bound]
            group = [pair for pair in below if max(pair) > lower]
            area = sum(-(-max(side) // 4) * 4 for side in zip(*below, strict=True))
            total, lower = total + len(group) * area, bound
        return total

    ends = sorted({-(-max(pair) // 4) * 4 for pair in needed.tolist()})
    choices = [[*inner, ends[-1]] for k in range(count) for inner in combinations(ends[:-1], k)]
    used = 0
    for pair in needed.tolist():
        used += sum(next(s for s in shapes if pair[0] <= s[0] and pair[1] <= s[1]))
    assert used == min(map(cells, choices))


@quick
@given(lengths=lengths(16), batch_size=st.integers(1, 9))
def test_evaluation_contains_every_pair_once_with_its_index(lengths, batch_size):
    pairs = numbered(lengths)
    batches = list(EvaluationBuckets(IdPairs(pairs), batch_size, SHAPES))
    assert len(batches) == -(-len(pairs) // batch_size)
    index = np.concatenate([batch["index"] for batch in batches])
    assert index.dtype == np.int32
    assert sorted(index[index >= 0]) == list(range(len(pairs)))
    assert (index[: len(pairs)] >= 0).all()
    read = list(chain.from_iterable(map(rows, batches)))
    assert read == [pairs[i] for i in index[: len(pairs)]]
    for batch in batches:
        assert set(batch) == {*KEYS, "index"}
        assert all(len(array) == batch_size for array in batch.values())
        np.testing.assert_array_equal(batch["index"] >= 0, batch["source_lengths"] > 0)
    areas = [batch["source"].size + batch["targets"].size for batch in batches]
    assert areas == sorted(areas)


def test_examples_too_long_for_training_share_one_more_shape():
    lengths = [(3, 3), (7, 3), (8, 2), (20, 1), (2, 30), (0, 0), (3, 4)]
    batches = list(EvaluationBuckets(IdPairs(numbered(lengths)), 1, SHAPES))
    shapes = [(batch["source"].shape[1], batch["targets"].shape[1]) for batch in batches]
    assert shapes == [(4, 4), (4, 4), (8, 4), (8, 12), (24, 32), (24, 32), (24, 32)]
    assert [batch["index"][0] for batch in batches] == [0, 5, 1, 6, 2, 3, 4]


def step_by_step(train, evaluation):
    """Number of compilations for all batches of an epoch of training and of an evaluation."""
    traced = []

    @jax.jit
    def step(arrays):
        traced.append(step)
        return sum(array.sum() for array in arrays)

    for batch in chain(map(train, range(train.steps_per_epoch)), evaluation):
        step([array for name, array in batch.items() if name != "index"])
    return len(traced)


def test_an_epoch_of_many_short_sentences_compiles_a_step_for_few_shapes():
    lengths = np.random.default_rng(0).integers(1, 40, (10_000, 2)).tolist()
    ids = list(range(40))
    pairs = IdPairs([(ids[:source], ids[:target]) for source, target in lengths])
    train = TrainingBuckets(pairs, 64, 0)
    longer = IdPairs([*pairs.pairs[:500], (ids * 2, ids), (ids, ids * 3)])
    assert step_by_step(train, EvaluationBuckets(longer, 64, train.shapes)) <= train.buckets + 1


def test_long_utterances_compile_a_step_for_few_shapes():
    lengths = np.random.default_rng(0).integers(1, 20_001, 60)
    labels = [[1] * int(length % 90) for length in lengths]
    utterances = Transcripts([np.ones((n, 1), np.float32) for n in lengths], labels)
    train = TrainingBuckets(utterances, 2, 0, longest=20_000)
    assert train.too_long == 0
    assert train.shapes[-1][0] > 19_000
    assert step_by_step(train, EvaluationBuckets(utterances, 2, train.shapes)) <= train.buckets


def test_an_empty_set_has_no_batches():
    assert list(EvaluationBuckets(IdPairs([]), 3, SHAPES)) == []


@quick
@given(lengths=st.lists(st.integers(0, 16), min_size=1, max_size=20), size=st.integers(1, 6))
def test_sentences_without_translation_make_batches(lengths, size):
    sources = [[100 + i] * length for i, length in enumerate(lengths)]
    read = {}
    for batch in source_buckets(sources, size, SHAPES):
        inside = rows(batch)
        assert all(target == [] for _, target in inside)
        read |= {i: source for i, (source, _) in zip(batch["index"], inside, strict=False)}
    assert [read[i] for i in range(len(sources))] == sources
