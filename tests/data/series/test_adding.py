"""The adding problem: positions of marks, correct sums, independent random streams."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.series.adding import EvaluationSequences, TrainingSequences, adding_problem

quick = settings(deadline=None, derandomize=True, max_examples=40)


@quick
@given(count=st.integers(1, 9), length=st.integers(4, 60), seed=st.integers(0, 99))
def test_target_is_the_sum_of_two_marked_values_of_the_first_half(count, length, seed):
    batch = adding_problem(count, length, np.random.default_rng(seed))
    assert batch["x"].shape == (count, length, 2)
    assert batch["target"].shape == (count,)
    assert batch["x"].dtype == batch["target"].dtype == np.float32
    assert 0 <= batch["x"].min() <= batch["x"].max() <= 1
    for sequence, target in zip(batch["x"], batch["target"], strict=True):
        marked = [i for i in range(length) if sequence[i, 1] != 0]
        assert len(marked) == 2
        assert sequence[marked, 1].tolist() == [1, 1]
        assert marked[0] < 10
        assert marked[1] < length // 2
        assert target == sequence[marked[0], 0] + sequence[marked[1], 0]


def test_marks_occur_at_every_allowed_position():
    batch = adding_problem(4000, 40, np.random.default_rng(0))
    positions = np.argwhere(batch["x"][..., 1] == 1)[:, 1].reshape(-1, 2)
    assert set(positions[:, 0]) == set(range(10))
    assert set(positions[:, 1]) == set(range(1, 20))


def test_the_constant_answer_one_has_a_mean_squared_error_of_a_sixth():
    target = adding_problem(20000, 8, np.random.default_rng(0))["target"]
    np.testing.assert_allclose(np.mean((target - 1) ** 2), 1 / 6, atol=0.004)


@pytest.mark.parametrize("length", [0, 3])
def test_a_sequence_without_room_for_two_marks_is_refused(length):
    with pytest.raises(ValueError, match=f"at least 4, got {length}"):
        adding_problem(2, length, np.random.default_rng(0))


def test_no_two_batches_have_a_sequence_in_common():
    lists = [[TrainingSequences(3, 6, seed)(step) for step in range(4)] for seed in range(3)]
    lists += [list(EvaluationSequences(12, 3, 6, number)) for number in range(3)]
    values = np.concatenate([batch["x"][..., 0] for batches in lists for batch in batches])
    assert len(np.unique(values, axis=0)) == len(values) == 3 * 12 + 3 * 12


@quick
@given(count=st.integers(1, 20), batch_size=st.integers(1, 25))
def test_held_out_sequences_are_the_same_for_every_batch_size(count, batch_size):
    expected = next(iter(EvaluationSequences(count, count, 6, 0)))
    for _ in range(2):  # and again
        batches = list(EvaluationSequences(count, batch_size, 6, 0))
        assert all(len(array) == batch_size for batch in batches for array in batch.values())
        joined = {key: np.concatenate([batch[key] for batch in batches]) for key in expected}
        assert joined["mask"].dtype == np.float32
        np.testing.assert_array_equal(joined["mask"][:count], 1)
        np.testing.assert_array_equal(joined["mask"][count:], 0)
        for key in ("x", "target"):
            np.testing.assert_array_equal(joined[key][:count], expected[key])
