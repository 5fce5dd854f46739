"""Lanes of a text: nothing is left out, counted twice, or carried over where it must not be."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.catalogue import DataError
from data.text.streams import EvaluationWindows, TrainingLanes

quick = settings(deadline=None, derandomize=True, max_examples=25)
FIRST = 100  # the id of the first character; the others follow, so that an id tells its place


def numbered(count):
    return np.arange(FIRST, FIRST + count, dtype=np.int32)


@st.composite
def training_lanes(draw):
    batch_size, length = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    count = draw(st.integers(batch_size * length + 1, 4 * batch_size * length + 9))
    return TrainingLanes(numbered(count), batch_size, length, draw(st.integers(0, 99)))


def one_pass(lanes, number):
    return [lanes(step) for step in range(number * lanes.windows, (number + 1) * lanes.windows)]


@quick
@given(lanes=training_lanes(), step=st.integers(0, 50))
def test_targets_are_the_tokens_after_in_the_ring(lanes, step):
    batch = lanes(step)
    count = len(lanes.ids)
    for array in batch.values():
        assert array.shape == (lanes.batch_size, lanes.length)
        assert array.dtype == np.int32
    after = FIRST + (batch["tokens"] - FIRST + 1) % count
    np.testing.assert_array_equal(batch["targets"], after)
    np.testing.assert_array_equal(batch["tokens"][:, 1:], batch["targets"][:, :-1])


@quick
@given(lanes=training_lanes(), number=st.integers(0, 3))
def test_a_lane_goes_on_where_its_last_window_ended(lanes, number):
    shown = one_pass(lanes, number)
    for window, following in pairwise(shown):
        np.testing.assert_array_equal(following["tokens"][:, 0], window["targets"][:, -1])


@quick
@given(lanes=training_lanes(), number=st.integers(0, 3))
def test_resets_are_at_the_start_of_a_pass_and_of_the_text(lanes, number):
    for window, batch in enumerate(one_pass(lanes, number)):
        expected = batch["tokens"] == FIRST
        if window == 0:
            expected[:, 0] = True
        np.testing.assert_array_equal(batch["resets"], expected)


@quick
@given(lanes=training_lanes(), number=st.integers(0, 3))
def test_a_pass_shows_no_character_twice_and_leaves_out_less_than_a_window_of_each_lane(
    lanes, number
):
    tokens = np.concatenate([batch["tokens"] for batch in one_pass(lanes, number)], axis=1)
    assert len(np.unique(tokens)) == tokens.size
    count, B, T = len(lanes.ids), lanes.batch_size, lanes.length
    assert tokens.size <= count - 1 < tokens.size + B * T + B


def test_batches_are_a_function_of_seed_and_step():
    def lanes(seed):
        return TrainingLanes(numbered(97), 3, 4, seed)

    one = lanes(5)
    for step in (20, 0, 13):
        for key, array in one(step).items():
            np.testing.assert_array_equal(array, lanes(5)(step)[key])
    starts = {int(lanes(seed)(8 * number)["tokens"][0, 0]) for seed in (5, 6) for number in (0, 1)}
    assert one.windows == 8
    assert len(starts) == 4


def test_passes_begin_anywhere_in_the_text():
    lanes = TrainingLanes(numbered(5), 2, 2, 0)
    starts = {int(lanes(number)["tokens"][0, 0]) - FIRST for number in range(100)}
    assert starts == set(range(5))


@quick
@given(batch_size=st.integers(1, 5), length=st.integers(1, 6))
def test_a_text_shorter_than_a_window_for_each_lane_is_refused(batch_size, length):
    needed = batch_size * length + 1
    assert TrainingLanes(numbered(needed), batch_size, length, 0).windows == 1
    with pytest.raises(DataError, match=f"need {needed}$"):
        TrainingLanes(numbered(needed - 1), batch_size, length, 0)


@settings(quick, max_examples=100)
@given(count=st.integers(2, 60), rows=st.integers(1, 4), length=st.integers(1, 70))
def test_evaluation_is_one_pass_of_the_first_row(count, rows, length):
    tokens, targets = [], []
    for batch in EvaluationWindows(numbered(count), rows, length):
        assert set(batch) == {"tokens", "targets", "resets", "mask"}
        for key, array in batch.items():
            assert array.shape == (rows, length)
            assert array.dtype == (np.float32 if key == "mask" else np.int32)
        assert batch["tokens"].min() >= FIRST
        assert batch["targets"].max() < FIRST + count
        counted = batch["mask"] == 1
        assert (batch["mask"][~counted] == 0).all()
        assert not counted[1:].any()
        assert (batch["resets"] == (batch["tokens"] == FIRST))[counted].all()
        tokens += batch["tokens"][counted].tolist()
        targets += batch["targets"][counted].tolist()
    assert tokens == list(range(FIRST, FIRST + count - 1))
    assert targets == list(range(FIRST + 1, FIRST + count))


def test_evaluation_can_be_repeated():
    lanes = EvaluationWindows(numbered(23), 2, 4)
    first, second = (np.stack([batch["tokens"] for batch in lanes]) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("count", [0, 1])
def test_a_text_without_anything_to_predict_is_refused(count):
    with pytest.raises(DataError, match=f"has {count} symbols"):
        EvaluationWindows(numbered(count), 2, 3)
