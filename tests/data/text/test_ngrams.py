"""N-grams of a text: by hand, each once per epoch, in random order."""

from itertools import chain

import numpy as np
import pytest

from data.catalogue import DataError
from data.text.ngrams import EvaluationNgrams, TrainingNgrams, ngrams, sentence_ngrams

TEXT = np.array([4, 5, 9, 6, 7, 9], np.int32)  # 9 is the end of a line


def test_contexts_cross_lines_and_the_start_precedes_the_text():
    expected = [[9, 9, 4, 5], [9, 4, 5, 9], [4, 5, 9, 6], [5, 9, 6, 7], [9, 6, 7, 9]]
    grams = ngrams(TEXT, 4, 9)
    assert grams.dtype == np.int32
    assert grams.tolist() == expected
    assert ngrams(TEXT, 2, 9).tolist() == [row[2:] for row in expected]
    assert ngrams(TEXT, 1, 9).tolist() == [[5], [9], [6], [7], [9]]
    assert ngrams(TEXT[:2], 6, 9).tolist() == [[9, 9, 9, 9, 4, 5]]


def test_ngrams_of_sentences_do_not_cross_their_ends():
    expected = [[9, 9, 4], [9, 4, 5], [4, 5, 9], [9, 9, 6], [9, 6, 7], [6, 7, 9]]
    grams = sentence_ngrams(TEXT, 3, 9)
    assert grams.dtype == np.int32
    assert grams.tolist() == expected
    assert sentence_ngrams(TEXT, 1, 9).tolist() == [[i] for i in TEXT]
    assert sentence_ngrams(np.array([9, 9]), 2, 9).tolist() == [[9, 9], [9, 9]]
    with pytest.raises(DataError, match="at least 1, got 0"):
        sentence_ngrams(TEXT, 0, 9)
    with pytest.raises(DataError, match="a text has no symbols"):
        sentence_ngrams(TEXT[:0], 2, 9)


@pytest.mark.parametrize(
    ("text", "order", "words"), [(TEXT[:1], 3, "1 symbols"), (TEXT, 0, "at least 1, got 0")]
)
def test_short_texts_and_orders_below_one_are_refused(text, order, words):
    with pytest.raises(DataError, match=words):
        ngrams(text, order, 9)


def test_an_epoch_contains_each_ngram_once_in_another_order():
    grams = ngrams(np.arange(25), 3, 99)
    batches = TrainingNgrams(grams, 6, 1)
    batch_list = [batches(step) for step in range(8)]  # two epochs
    assert batch_list[0]["contexts"].shape == (6, 2)
    targets = [batch["targets"].tolist() for batch in batch_list]
    first, second = list(chain(*targets[:4])), list(chain(*targets[4:]))
    assert sorted(first) == sorted(second) == list(range(1, 25))
    assert first != second != sorted(second)
    for batch in batch_list[1:]:  # the contexts of the first two grams begin before the text
        inside = batch["targets"] > 2
        before = batch["targets"][inside, None] - [2, 1]
        np.testing.assert_array_equal(batch["contexts"][inside], before)
    assert TrainingNgrams(grams, 6, 2)(0)["targets"].tolist() != targets[0]
    with pytest.raises(DataError, match=r"config\.batch_size 30 is more than the 24"):
        TrainingNgrams(grams, 30, 1)


def test_a_held_out_text_is_read_once_in_order():
    grams = ngrams(np.arange(10), 3, 99)
    batches = list(EvaluationNgrams(grams, 4))
    assert [batch["mask"].tolist() for batch in batches] == [[1] * 4, [1] * 4, [1, 0, 0, 0]]
    real = [batch["targets"][batch["mask"] > 0] for batch in batches]
    assert np.concatenate(real).tolist() == list(range(1, 10))
    assert all(batch["contexts"].shape == (4, 2) for batch in batches)
