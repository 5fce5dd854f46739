"""Sentences are encoded and decoded; vocabularies are functions of the text."""

import random
import unicodedata
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data.catalogue import DataError
from data.text.subwords import Subwords, Words, make_vocabulary, normalize
from data.text.vocabulary import KINDS, Characters

quick = settings(deadline=None, derandomize=True, max_examples=60)
WORDS = ["the", "old", "man", "walks", "with", "his", "dog", "near", "water", "while", "children"]
TEXT = [
    " ".join(random.Random(i).choices(WORDS, k=8)).capitalize() + random.Random(i).choice(".!?")
    for i in range(60)
]
SIZE = {"bpe": 310, "unigram": 310, "words": 40, "characters": 60}
LESS = {"bpe": 309, "unigram": 309, "words": 12, "characters": 12}


@pytest.fixture(scope="module")
def vocabularies():
    return {kind: make_vocabulary(kind, TEXT, SIZE[kind]) for kind in KINDS}


def special(ids):
    return {i for i in ids if i < 4}


@pytest.mark.parametrize("kind", KINDS)
def test_the_training_text_comes_back_and_has_no_special_id(vocabularies, kind):
    vocabulary = vocabularies[kind]
    rows = vocabulary.encode(TEXT)
    for text, ids in zip(TEXT, rows, strict=True):
        assert vocabulary.decode(ids) == text
        assert not special(ids)
        assert max(ids) < len(vocabulary) <= SIZE[kind]
    assert rows == [vocabulary.encode([text])[0] for text in TEXT]
    assert vocabulary.encode([]) == []
    assert vocabulary.encode([""]) == [[]]
    assert vocabulary.decode([]) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_ends_at_the_end_and_skips_padding_and_begin(vocabularies, kind):
    vocabulary = vocabularies[kind]
    ids = vocabulary.encode(["the dog"])[0]
    assert vocabulary.decode([2, *ids, 3, *ids, 0, 0]) == "the dog"
    assert vocabulary.decode([0, 2, *ids, 0]) == "the dog"
    assert vocabulary.decode([3, *ids]) == ""
    assert "\ufffd" in vocabulary.decode([1])


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_every_text_in_normal_form_comes_back_from_subwords(vocabularies, kind):
    vocabulary = vocabularies[kind]

    @quick
    @given(st.text())
    @example("日本 <s></s> <pad> <unk> <0x41> ▁ \x00 😀 ﬁ e\u0301  a\u00a0b\u2028c\n")
    def check(text):
        ids = vocabulary.encode([text])[0]
        assert not special(ids)
        assert vocabulary.decode(ids) == normalize(text)

    check()


@quick
@given(st.text())
def test_the_normal_form_is_nfkc_with_single_spaces(text):
    result = normalize(text)
    assert normalize(result) == result == result.strip()
    assert unicodedata.normalize("NFKC", result) == result
    assert not any(c.isspace() and c != " " for c in result)
    assert "  " not in result


@quick
@given(st.text())
@example("(a, b)  c-d 'tis ￭x ￭")
def test_words_and_marks_come_back_with_their_spaces(text):
    vocabulary = Words.from_texts([text], 1000)
    ids = vocabulary.encode([text])[0]
    assert not special(ids)
    assert vocabulary.decode(ids) == normalize(text)


@quick
@given(st.text())
def test_characters_come_back_as_they_were(text):
    vocabulary = Characters.from_texts([text], 1000)
    ids = vocabulary.encode([text])[0]
    assert len(ids) == len(text)
    assert vocabulary.decode(ids) == text


def test_words_and_marks_are_separate_symbols():
    vocabulary = Words.from_texts(["a dog, a Dog."], 100)
    ids = vocabulary.encode(["a dog, a Dog. cat"])[0]
    assert ids[0] == ids[3] == 4  # the most frequent one is first
    assert ids[-1] == 1
    assert len(set(ids[:-1])) == len(ids) - 2 == 5
    assert vocabulary.decode(ids) == "a dog, a Dog. \ufffd"
    assert vocabulary.decode(ids[2:5]) == ", a Dog"


@quick
@given(text=st.text("abcdé ", min_size=1), size=st.integers(5, 9))
def test_a_small_vocabulary_keeps_the_most_frequent(text, size):
    vocabulary = Characters.from_texts([text, text], size)
    counts = Counter(text)
    ranked = sorted(counts, key=lambda c: (-counts[c], c))
    assert vocabulary.symbols == tuple(ranked[: size - 4])
    assert len(vocabulary) == 4 + len(vocabulary.symbols)
    expected = [4 + ranked.index(c) if c in ranked[: size - 4] else 1 for c in text]
    assert vocabulary.encode([text]) == [expected]


@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_is_a_function_of_text_and_size(kind):
    again = [make_vocabulary(kind, iter(TEXT), SIZE[kind]) for _ in range(2)]
    assert again[0] == again[1]
    assert again[0] != make_vocabulary(kind, TEXT, LESS[kind])


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_an_impossible_size_is_refused_with_the_nearest_possible(kind, capfd):
    with pytest.raises(
        DataError, match=r"^9999 subwords are more than the text yields; at most \d+ "
    ) as high:
        Subwords.from_texts(TEXT, 9999, kind)
    with pytest.raises(DataError, match=r"^50 subwords are too few .* \d+ are needed$") as low:
        Subwords.from_texts(TEXT, 50, kind)
    for caught, step in ((high, 1), (low, -1)):
        nearest = int(str(caught.value).split()[-3])
        assert len(Subwords.from_texts(TEXT, nearest, kind)) == nearest
        with pytest.raises(DataError, match="subwords are"):
            Subwords.from_texts(TEXT, nearest + step, kind)
    with pytest.raises(DataError, match=r"^there is no text to learn subwords from$"):
        Subwords.from_texts(["", " "], 300, kind)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("vocabulary", [Words, Characters])
def test_a_vocabulary_has_room_for_a_symbol(vocabulary):
    with pytest.raises(ValueError, match="must have more than 4 ids, got 4"):
        vocabulary.from_texts(TEXT, 4)


def test_an_unknown_kind_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"'word' is not one of bpe, .* \(did you mean words\?\)"):
        make_vocabulary("word", TEXT, 100)


def test_marks_and_joiners_are_parts_of_words():
    text = "हिन्दी नमस्ते, می\u200cخواهم!"
    assert len(Words.split(text)) == 5
    vocabulary = Words.from_texts([text], 20)
    assert vocabulary.decode(vocabulary.encode([text])[0]) == normalize(text)
