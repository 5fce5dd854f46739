"""Characters are encoded and decoded; corpora are read whole or refused in one line."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.catalogue import DataError, load_splits
from data.text.corpus import PADDING, UNKNOWN, Corpus, Vocabulary, load_text, read_path
from data.text.words import split_sentences

quick = settings(deadline=None, derandomize=True, max_examples=25)
some_text = st.text(min_size=1)
few_letters = st.text("abcdeé\n😀", min_size=1, max_size=40)


@quick
@given(some_text)
def test_known_characters_come_back(text):
    vocabulary = Vocabulary.from_text(text, 10_000)
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int32
    assert ids.shape == (len(text),)
    assert ids.min() > UNKNOWN
    assert ids.max() < len(vocabulary) == len(set(text)) + 2
    assert vocabulary.decode(ids) == text
    assert vocabulary.decode(ids.tolist()) == text


@quick
@given(known=some_text, other=some_text)
def test_other_characters_are_unknown_and_only_they(known, other):
    vocabulary = Vocabulary.from_text(known, 10_000)
    ids = vocabulary.encode(other)
    expected = [2 + sorted(set(known)).index(c) if c in known else UNKNOWN for c in other]
    assert ids.tolist() == expected
    assert vocabulary.decode(ids) == "".join(c if c in known else "\ufffd" for c in other)


@quick
@given(text=few_letters, size=st.integers(3, 9))
def test_a_small_vocabulary_keeps_the_most_frequent(text, size):
    vocabulary = Vocabulary.from_text(text, size)
    assert len(vocabulary) <= size
    known = vocabulary.characters
    assert list(known) == sorted(set(known))
    unknown = set(text) - set(known)
    assert len(known) == min(size - 2, len(set(text)))

    def rank(character):
        # ties go to the character that sorts first
        return -text.count(character), character

    assert all(rank(k) < rank(c) for k in known for c in unknown)
    assert (vocabulary.encode(text) == UNKNOWN).sum() == sum(text.count(c) for c in unknown)


def test_ids_begin_after_padding_and_unknown():
    vocabulary = Vocabulary("abz")
    assert (PADDING, UNKNOWN) == (0, 1)
    assert len(vocabulary) == 5
    assert vocabulary.encode("zab?").tolist() == [4, 2, 3, 1]
    assert vocabulary.encode("").tolist() == []
    assert vocabulary.decode([2, 0, 4, 1]) == "a\ufffdz\ufffd"


@pytest.mark.parametrize("count", [20, 39, 40, 41, 1000])
def test_a_file_is_split_by_characters(tmp_path, count):
    text = "".join(chr(0xE0 + i % 300) for i in range(count))
    path = tmp_path / "naïve café.txt"
    path.write_text(text, encoding="utf-8")
    corpus = load_text(f"text:{path}")
    assert corpus.train + corpus.validation + corpus.test == text
    sizes = [len(part) for part in (corpus.train, corpus.validation, corpus.test)]
    for size, share in zip(sizes, (0.9, 0.05, 0.05), strict=True):
        assert abs(size - share * count) < 1
        assert size > 0
    assert corpus.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_digest_is_that_of_the_three_splits_in_utf8():
    digest = hashlib.sha256("añ😀c".encode()).hexdigest()
    assert Corpus("añ", "😀", "c").sha256 == Corpus("a", "ñ😀c", "").sha256 == digest
    assert Corpus("añ", "c", "😀").sha256 != digest


def test_line_ends_are_kept(tmp_path):
    text = "one\r\ntwo\rthree\n" * 5
    (tmp_path / "text").write_bytes(text.encode())
    corpus = load_text(f"text:{tmp_path / 'text'}")
    assert corpus.train + corpus.validation + corpus.test == text


def test_a_folder_is_its_visible_files_in_the_order_of_their_names(tmp_path):
    # a hidden folder above the requested one does not hide its files
    folder = tmp_path / ".corpora" / "mine"
    files = {"b.txt": "2", "a/z.txt": "1", "c/a/x": "3", "c/b": "4", "d.txt": "", "é.txt": "5"}
    hidden = {".a": "no", "c/.git/x": "no", ".cache/y": "no"}
    for name, text in {**hidden, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text * 10, encoding="utf-8")
    corpus = load_text(f"text:{folder}")
    whole = "\n".join(digit * 10 for digit in "12345")  # no file ends with a line feed
    assert corpus.train + corpus.validation + corpus.test == whole


def test_files_of_a_folder_are_joined_at_line_ends_and_have_no_byte_order_marks(tmp_path):
    files = {"a": "\ufeffat the end", "b": "\ufeffstart. \n", "c": "more"}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    corpus = load_text(f"text:{tmp_path}")
    assert corpus.train + corpus.validation + corpus.test == "at the end\nstart. \nmore"
    assert read_path(tmp_path, "\n\n") == "at the end\n\nstart. \n\n\nmore"
    words = split_sentences(read_path(tmp_path, "\n\n"))
    assert [sentence for sentence in words if sentence] == [
        ["at", "the", "end"],
        ["start"],
        ["more"],
    ]


@pytest.mark.parametrize("content", ["", " \n\t\n"])
def test_a_file_without_text_is_refused(tmp_path, content):
    path = tmp_path / "empty"
    path.write_text(content)
    for name in (path, tmp_path):
        with pytest.raises(DataError, match="there is no text in") as caught:
            load_text(f"text:{name}")
        assert str(name) in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    path = tmp_path / "nowhere.txt"
    with pytest.raises(DataError, match="No such file") as caught:
        load_text(f"text:{path}")
    assert str(path) in str(caught.value)


def test_a_file_in_another_encoding_is_refused_with_its_name_and_byte(tmp_path):
    (tmp_path / "a.txt").write_text("fine")
    wrong = tmp_path / "b.txt"
    wrong.write_bytes("zwölf".encode() + "ß".encode("latin-1"))
    for name in (tmp_path, wrong):
        with pytest.raises(DataError, match="not UTF-8") as caught:
            load_text(f"text:{name}")
        assert str(wrong) in str(caught.value)
        assert "byte 6 " in str(caught.value)


def test_python_source_is_text_in_every_split(prepared):
    corpus = load_text("python_source", prepared)
    sources = load_splits("python_source", prepared)
    for split in ("train", "validation", "test"):
        part = getattr(corpus, split)
        assert len(part) > 10_000
        assert "def " in part
        assert part == "".join(
            sources[split][i]["text"].decode() for i in range(len(sources[split]))
        )


def test_a_dataset_without_text_is_refused(prepared):
    with pytest.raises(DataError, match="dataset squares has no text"):
        load_text("squares", prepared)


def test_a_dataset_without_validation_split_is_refused(prepared):
    with pytest.raises(DataError, match="digits has splits") as caught:
        load_text("digits", prepared)
    assert "validation" in str(caught.value)


def test_path_must_follow_the_colon():
    with pytest.raises(DataError, match="needs the path"):
        load_text("text:")


def test_empty_vocabulary_knows_nothing():
    np.testing.assert_array_equal(Vocabulary("").encode("ab"), [UNKNOWN, UNKNOWN])
