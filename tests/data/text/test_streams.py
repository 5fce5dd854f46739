"""Streams of a text: no symbol is lost or repeated, and states are reset where needed."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.catalogue import DataError
from data.text.streams import EvaluationWindows, TrainingStreams

quick = settings(deadline=None, derandomize=True, max_examples=25)
FIRST = 100  # id of the first character; ids count up, so an id gives its position


def numbered(count):
    return np.arange(FIRST, FIRST + count, dtype=np.int32)


@st.composite
def training_streams(draw):
    batch_size, length = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    count = draw(st.integers(batch_size * length + 1, 4 * batch_size * length + 9))
    return TrainingStreams(numbered(count), batch_size, length, draw(st.integers(0, 99)))


def one_pass(streams, number):
    return [
        streams(step) for step in range(number * streams.windows, (number + 1) * streams.windows)
    ]


@quick
@given(streams=training_streams(), step=st.integers(0, 50))
def test_targets_are_the_tokens_after_in_the_ring(streams, step):
    batch = streams(step)
    count = len(streams.ids)
    for array in batch.values():
        assert array.shape == (streams.batch_size, streams.length)
        assert array.dtype == np.int32
    after = FIRST + (batch["tokens"] - FIRST + 1) % count
    np.testing.assert_array_equal(batch["targets"], after)
    np.testing.assert_array_equal(batch["tokens"][:, 1:], batch["targets"][:, :-1])


@quick
@given(streams=training_streams(), number=st.integers(0, 3))
def test_a_stream_continues_where_its_last_window_ended(streams, number):
    batches = one_pass(streams, number)
    for window, following in pairwise(batches):
        np.testing.assert_array_equal(following["tokens"][:, 0], window["targets"][:, -1])


@quick
@given(streams=training_streams(), number=st.integers(0, 3))
def test_resets_are_at_the_start_of_a_pass_and_of_the_text(streams, number):
    for window, batch in enumerate(one_pass(streams, number)):
        expected = batch["tokens"] == FIRST
        if window == 0:
            expected[:, 0] = True
        np.testing.assert_array_equal(batch["resets"], expected)


@quick
@given(streams=training_streams(), number=st.integers(0, 3))
def test_a_pass_repeats_no_character_and_omits_less_than_a_window_of_each_stream(streams, number):
    tokens = np.concatenate([batch["tokens"] for batch in one_pass(streams, number)], axis=1)
    assert len(np.unique(tokens)) == tokens.size
    count, B, T = len(streams.ids), streams.batch_size, streams.length
    assert tokens.size <= count - 1 < tokens.size + B * T + B


def test_batches_are_a_function_of_seed_and_step():
    def streams(seed):
        return TrainingStreams(numbered(97), 3, 4, seed)

    one = streams(5)
    for step in (20, 0, 13):
        for key, array in one(step).items():
            np.testing.assert_array_equal(array, streams(5)(step)[key])
    starts = {
        int(streams(seed)(8 * number)["tokens"][0, 0]) for seed in (5, 6) for number in (0, 1)
    }
    assert one.windows == 8
    assert len(starts) == 4


def test_ids_of_any_integer_type_make_the_same_batches():
    ids = numbered(97)
    narrow = ids.astype(np.uint8)
    training = [TrainingStreams(i, 3, 4, 0)(5) for i in (ids, narrow)]
    windows = [next(iter(EvaluationWindows(i, 2, 4))) for i in (ids, narrow)]
    for one, other in (training, windows):
        for key, array in one.items():
            assert other[key].dtype == array.dtype
            np.testing.assert_array_equal(other[key], array)


def test_passes_begin_anywhere_in_the_text():
    streams = TrainingStreams(numbered(5), 2, 2, 0)
    starts = {int(streams(number)["tokens"][0, 0]) - FIRST for number in range(100)}
    assert starts == set(range(5))


@quick
@given(batch_size=st.integers(1, 5), length=st.integers(1, 6))
def test_a_text_shorter_than_a_window_for_each_stream_is_refused(batch_size, length):
    needed = batch_size * length + 1
    assert TrainingStreams(numbered(needed), batch_size, length, 0).windows == 1
    with pytest.raises(DataError, match=f"need {needed}$"):
        TrainingStreams(numbered(needed - 1), batch_size, length, 0)


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
    windows = EvaluationWindows(numbered(23), 2, 4)
    first, second = (np.stack([batch["tokens"] for batch in windows]) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("count", [0, 1])
def test_a_text_without_anything_to_predict_is_refused(count):
    with pytest.raises(DataError, match=f"has {count} symbols"):
        EvaluationWindows(numbered(count), 2, 3)
