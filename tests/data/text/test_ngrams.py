"""N-grams of a text: by hand, each once, in an order that is drawn."""

from itertools import chain

import numpy as np
import pytest

from data.catalogue import DataError
from data.text.ngrams import EvaluationNgrams, TrainingNgrams, ngrams

TEXT = np.array([4, 5, 9, 6, 7, 9], np.int32)  # 9 stands for the end of a line


def test_words_before_run_over_lines_and_before_the_text_stands_the_start():
    expected = [[9, 9, 4, 5], [9, 4, 5, 9], [4, 5, 9, 6], [5, 9, 6, 7], [9, 6, 7, 9]]
    found = ngrams(TEXT, 4, 9)
    assert found.dtype == np.int32
    assert found.tolist() == expected
    assert ngrams(TEXT, 2, 9).tolist() == [row[2:] for row in expected]
    assert ngrams(TEXT, 1, 9).tolist() == [[5], [9], [6], [7], [9]]
    assert ngrams(TEXT[:2], 6, 9).tolist() == [[9, 9, 9, 9, 4, 5]]


@pytest.mark.parametrize(
    ("text", "order", "words"), [(TEXT[:1], 3, "1 symbols"), (TEXT, 0, "at least 1, got 0")]
)
def test_there_are_no_ngrams(text, order, words):
    with pytest.raises(DataError, match=words):
        ngrams(text, order, 9)


def test_an_epoch_shows_each_ngram_once_in_another_order():
    grams = ngrams(np.arange(25), 3, 99)
    batches = TrainingNgrams(grams, 6, 1)
    shown = [batches(step) for step in range(8)]  # two epochs
    assert shown[0]["contexts"].shape == (6, 2)
    targets = [batch["targets"].tolist() for batch in shown]
    first, second = list(chain(*targets[:4])), list(chain(*targets[4:]))
    assert sorted(first) == sorted(second) == list(range(1, 25))
    assert first != second != sorted(second)
    for batch in shown[1:]:  # the first two grams reach before the text
        inside = batch["targets"] > 2
        before = batch["targets"][inside, None] - [2, 1]
        np.testing.assert_array_equal(batch["contexts"][inside], before)
    assert TrainingNgrams(grams, 6, 2)(0)["targets"].tolist() != targets[0]
    with pytest.raises(DataError, match=r"config\.batch_size 30 is more than the 24"):
        TrainingNgrams(grams, 30, 1)


def test_held_out_text_is_seen_once_in_order():
    grams = ngrams(np.arange(10), 3, 99)
    batches = list(EvaluationNgrams(grams, 4))
    assert [batch["mask"].tolist() for batch in batches] == [[1] * 4, [1] * 4, [1, 0, 0, 0]]
    real = [batch["targets"][batch["mask"] > 0] for batch in batches]
    assert np.concatenate(real).tolist() == list(range(1, 10))
    assert all(batch["contexts"].shape == (4, 2) for batch in batches)
