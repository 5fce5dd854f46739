"""Time series are delayed, augmented and batched correctly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.catalogue import DataError
from data.series.labelled import EvaluationSeries, TimeSeries, TrainingSeries, pad

STEPS = 6
quick = settings(deadline=None, derandomize=True, max_examples=20)


def numbered(count):
    """Series of length i % 5 + 1 whose steps hold 10 i + t + 1 and 1."""
    rows = [
        np.stack([10 * i + np.arange(i % 5 + 1) + 1, np.ones(i % 5 + 1)], axis=1)
        for i in range(count)
    ]
    labels = np.arange(count, dtype=np.int32)
    rest, decibel = np.array([-7, -8], np.float32), np.array([0, 2], np.float32)
    return TimeSeries(*pad(rows, STEPS), labels, tuple(map(str, labels)), rest, decibel)


def test_padding_is_zero_and_long_series_are_cut():
    x, lengths = pad([np.ones((2, 3)), 2 * np.ones((5, 3))], 4)
    assert x.dtype == np.float32
    assert lengths.tolist() == [2, 4]
    assert x[:, :, 0].tolist() == [[1, 1, 0, 0], [2, 2, 2, 2]]


@quick
@given(offsets=st.lists(st.integers(0, 8), min_size=5, max_size=5))
def test_a_delayed_series_is_rest_and_then_itself(offsets):
    source = numbered(5)
    delayed = source.delayed(np.array(offsets))
    for i, offset in enumerate(offsets):
        own = source.x[i, : source.lengths[i]]
        expected = np.concatenate([np.tile(source.rest, (offset, 1)), own])[:STEPS]
        assert delayed.lengths[i] == len(expected)
        np.testing.assert_array_equal(delayed.x[i, : len(expected)], expected)
        assert not delayed.x[i, len(expected) :].any()
    np.testing.assert_array_equal(delayed.labels, source.labels)


def test_augmentation_delays_changes_loudness_and_adds_noise():
    source = numbered(200)
    changed = source.augmented(3, 5.0, 0.0, (1, 2))
    before = changed.lengths - source.lengths
    # no series is cut, and every possible delay occurs
    assert {(n, b) for n, b in zip(source.lengths, before, strict=True)} == {
        (n, b) for n in range(1, 6) for b in range(min(3, STEPS - n) + 1)
    }
    valid = np.arange(STEPS) < changed.lengths[:, None]
    assert not changed.x[~valid].any()
    louder = (changed.x - source.delayed(before).x) * valid[..., None]
    assert not louder[..., 0].any()
    assert 9 < louder[..., 1].max() <= 10
    assert -10 <= louder[..., 1].min() < -9
    # the change is constant over a series
    np.testing.assert_allclose(louder[..., 1], louder[:, :1, 1] * valid, atol=1e-5)
    source = numbered(2000)
    noisy = source.augmented(0, 0.0, 0.5, (1, 2))
    noise = (noisy.x - source.x)[np.arange(STEPS) < source.lengths[:, None]]
    assert noise.std() == pytest.approx(0.5, rel=0.05)
    assert abs(noise.mean()) < 0.05
    plain = source.augmented(0, 0.0, 0.0, (1, 2))
    np.testing.assert_array_equal(plain.x, source.x)


def test_training_contains_every_series_once_per_epoch_as_a_function_of_seed_and_step():
    batches = TrainingSeries(numbered(7), 3, seed=4, shift=2, gain=1.0, noise=0.1)
    labels = np.concatenate([batches(step)["label"] for step in range(7)])
    for epoch in labels.reshape(3, 7):
        assert sorted(epoch) == list(range(7))
    assert batches(0)["x"].shape == (3, STEPS, 2)
    again = TrainingSeries(numbered(7), 3, seed=4, shift=2, gain=1.0, noise=0.1)
    for step in (5, 0):
        for key, array in batches(step).items():
            np.testing.assert_array_equal(array, again(step)[key])
    other = TrainingSeries(numbered(7), 3, seed=5, shift=2, gain=1.0, noise=0.1)
    assert not np.array_equal(batches(0)["x"], other(0)["x"])
    with pytest.raises(DataError, match=r"batch_size 8 is more than the 7 training"):
        TrainingSeries(numbered(7), 8, seed=0)


def test_evaluation_contains_every_series_once_in_order():
    source = numbered(7)
    batches = list(EvaluationSeries(source, 3))
    joined = {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}
    assert joined["mask"].tolist() == [1] * 7 + [0] * 2
    np.testing.assert_array_equal(joined["x"][:7], source.x)
    np.testing.assert_array_equal(joined["lengths"], [*source.lengths, 0, 0])
    np.testing.assert_array_equal(joined["label"][:7], source.labels)


def test_checksum_is_of_series_lengths_and_labels():
    source = numbered(4)
    assert source.sha256 == numbered(4).sha256
    swapped = source.subset(np.array([1, 0, 2, 3]))
    assert swapped.sha256 != source.sha256
