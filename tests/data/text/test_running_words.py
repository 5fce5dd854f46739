"""A text as one sequence of words: ends of lines, rare and unknown words."""

import pytest

from data.catalogue import DataError
from data.text.words import END, UNKNOWN, RunningWords, as_text

SENTENCES = [["the", "cat", "sat"], ["the", "dog"], ["the", "cat"]]


def test_rare_words_become_unk_and_every_line_has_an_end():
    words = RunningWords.from_sentences(SENTENCES, minimum=2)
    # the 3, <eos> 3, then cat 2, <unk> for sat and dog 2
    assert words.vocabulary.words == (END, "the", UNKNOWN, "cat")
    assert words.vocabulary.counts.tolist() == [3, 3, 2, 2]
    assert words.encode(as_text(SENTENCES)).tolist() == [1, 3, 2, 0, 1, 2, 0, 1, 3, 0]
    assert len(words) == 4


def test_text_comes_back():
    words = RunningWords.from_sentences(SENTENCES, minimum=1)
    for text in ("the cat sat\nthe dog\n", "\n", "dog", "\n\nthe", ""):
        assert words.decode(words.encode(text)) == text
    assert words.encode("").dtype == words.encode("the").dtype == "int32"


def test_unknown_words_are_named_or_refused():
    words = RunningWords.from_sentences(SENTENCES, minimum=2)
    assert words.unknown("the zebra ate\na cat") == "a ate zebra"
    assert words.encode("zebra").tolist() == [2]
    with pytest.raises(
        DataError, match=r"'zebra' is unknown and the vocabulary has no <unk>: a higher config"
    ):
        RunningWords.from_sentences(SENTENCES, minimum=1).encode("the zebra")
