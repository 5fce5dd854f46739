"""Sequences with transcripts: ids from 1, padding, order, rows that only fill."""

import numpy as np
import pytest

from data.buckets import EvaluationBuckets, TrainingBuckets, restore_order
from data.catalogue import DataError
from data.lines.transcripts import Alphabet, Transcripts

EXAMPLES = Transcripts(
    [np.full((n, 2), n, np.float32) for n in (3, 1, 9, 2)], [[1, 2], [3], [], [2, 2, 1]]
)


def test_ids_begin_at_one_and_come_back():
    letters = Alphabet.from_texts(["ab c", "cab"])
    assert letters.symbols == (" ", "a", "b", "c")
    assert letters.encode("a cab") == [2, 1, 4, 2, 3]
    assert letters.decode([0, 2, 0, 1, 4, 2, 3, 0]) == "a cab"
    words = Alphabet(("one", "two"), " ")
    assert words.encode("two one") == [2, 1]
    assert words.encode("") == []
    assert words.decode(np.array([2, 1, 0])) == "two one"
    with pytest.raises(DataError, match="symbol 'three' of 'two three' is not in the alphabet"):
        words.encode("two three")


def test_a_batch_pads_frames_and_labels_and_fills_rows():
    batch = EXAMPLES.batch(np.array([3, 1]), (4, 3), 3)
    assert batch["x"].shape == (3, 4, 2)
    assert batch["x"][..., 0].tolist() == [[2, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert batch["lengths"].tolist() == [2, 1, 0]
    assert batch["labels"].tolist() == [[2, 2, 1], [3, 0, 0], [0, 0, 0]]
    assert batch["label_lengths"].tolist() == [3, 1, 0]
    assert batch["mask"].tolist() == [1, 1, 0]
    assert {batch[key].dtype for key in ("x", "mask")} == {np.dtype(np.float32)}
    ints = ("lengths", "labels", "label_lengths")
    assert {batch[key].dtype for key in ints} == {np.dtype(np.int32)}


def test_examples_go_through_buckets_and_come_back_in_order():
    train = TrainingBuckets(EXAMPLES, 2, 0, longest=5, buckets=2)
    assert train.too_long == 1
    lengths = [row for step in range(2) for row in train(step)["lengths"].tolist()]
    assert sorted(lengths) == [0, 1, 2, 3]
    batches = EvaluationBuckets(EXAMPLES, 3, train.shapes)
    assert restore_order(batches, 4, lambda batch: batch["lengths"].tolist()) == [3, 1, 9, 2]


def test_the_checksum_knows_frames_labels_and_where_they_end():
    other = Transcripts(EXAMPLES.frames, [[1], [2, 3], [], [2, 2, 1]])
    moved = Transcripts([x + (i == 2) for i, x in enumerate(EXAMPLES.frames)], EXAMPLES.labels)
    again = Transcripts(EXAMPLES.frames, [np.array(row) for row in EXAMPLES.labels])
    digests = {x.sha256 for x in (EXAMPLES, other, moved, EXAMPLES.subset([1, 0, 2, 3]))}
    assert len(digests) == 4
    assert again.sha256 == EXAMPLES.sha256
