"""Corpora of words: files, prose, vocabularies; similarities, analogies and vectors in files."""

import os

import numpy as np
import pytest

from data.catalogue import DataError
from data.text.vectors import read_vectors
from data.text.word_tests import load_analogies, load_similarities
from data.text.words import Tokens, WordVocabulary, load_words, split_sentences
from tests.data.text.vectors import write_vectors

SENTENCES = [["b", "a", "b"], ["<unk>", "c"], ["b", "a"]]
VOCABULARY = WordVocabulary(("king", "queen", "man", "woman", "tea"), np.arange(5, 0, -1))


@pytest.fixture
def folder(tmp_path):
    for split in ("train", "valid", "test"):
        (tmp_path / f"ptb.{split}.txt").write_text(f" the <unk> \n\n {split} \u2028 N \n")
    return tmp_path


def test_prepared_files_are_a_sentence_a_line(folder):
    corpus = load_words(f"words:{folder}")
    assert corpus.train == [["the", "<unk>"], ["train", "N"]]
    assert list(corpus.held_out) == ["validation", "test"]
    assert corpus.held_out["validation"][1] == ["valid", "N"]
    before = corpus.sha256
    (folder / "ptb.test.txt").write_text("the end\n")
    assert load_words(f"words:{folder}").sha256 != before


def test_a_byte_order_mark_is_no_part_of_the_first_word(folder):
    (folder / "ptb.train.txt").write_text("\ufeffthe end\n", encoding="utf-8")
    assert load_words(f"words:{folder}").train == [["the", "end"]]


def test_prose_is_split_at_stops_and_empty_lines_into_words_in_lower_case():
    text = "It's 3.14, or so! (See PEP-8.)\nA line\ngoes on\n\nover"
    assert split_sentences(text) == [
        ["it's", "3", "14", "or", "so"],
        ["see", "pep", "8", "a", "line", "goes", "on"],  # a stop before a bracket is none
        ["over"],
    ]


def test_text_of_a_file_is_prose(tmp_path):
    (tmp_path / "a.txt").write_text("One Two. " * 100)
    corpus = load_words(f"text:{tmp_path / 'a.txt'}")
    assert corpus.train[0] == ["one", "two"]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda f: (f / "ptb.valid.txt").unlink(), "with dev or val or valid or validation in"),
        (lambda f: (f / "train.txt").write_text("x"), "found ptb.train.txt, train.txt"),
        (lambda f: (f / "ptb.test.txt").write_text("\n"), "there is no text in .*ptb.test.txt"),
    ],
)
def test_a_folder_that_is_no_corpus_is_refused(folder, change, part):
    change(folder)
    with pytest.raises(DataError, match=part):
        load_words(f"words:{folder}")


def test_no_folder_and_prose_without_words_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"needs a folder, but '.*none' is not one"):
        load_words(f"words:{tmp_path / 'none'}")
    (tmp_path / "a.txt").write_text("word " * 30 + ". " * 30)
    with pytest.raises(DataError, match=r"the validation split of text:.* has no words"):
        load_words(f"text:{tmp_path / 'a.txt'}")


def test_rare_words_are_dropped_or_counted_as_one():
    dropped = WordVocabulary.from_sentences(SENTENCES, 2, "drop")
    assert dropped.words == ("b", "a")
    assert dropped.counts.tolist() == [3, 2]
    expected = Tokens([0, 1, 0, 0, 1], [0, 0, 0, 2, 2])
    for found, ids in zip(dropped.encode(SENTENCES, "drop"), expected, strict=True):
        np.testing.assert_array_equal(found, ids)
        assert found.dtype == np.int32
    counted = WordVocabulary.from_sentences(SENTENCES, 2, "<unk>")
    assert counted.words == ("b", "<unk>", "a")  # as frequent as a, and before it
    assert counted.counts.tolist() == [3, 2, 2]
    assert counted.encode([["z", "a", "<unk>"]], "<unk>").ids.tolist() == [1, 2, 1]
    assert WordVocabulary.from_sentences([["x", "y"]], 1, "<unk>").words == ("x", "y")


def test_a_vocabulary_of_one_word_is_refused():
    with pytest.raises(DataError, match="1 of 4 words occur at least 3 times"):
        WordVocabulary.from_sentences(SENTENCES, 3, "drop")


def test_similarities_of_the_published_forms(tmp_path):
    path = tmp_path / "pairs"
    path.write_text("Word 1,Word 2,Human (mean)\nKing,queen,8.5\nman,woman,8.3\ntea,man,0\nx,y,9\n")
    found = load_similarities(path, VOCABULARY)
    assert found.pairs.tolist() == [[0, 1], [2, 3], [4, 2]]
    assert found.human.tolist() == [8.5, 8.3, 0]
    path.write_text("king\tqueen\t8.5\n\nman woman 8.3\ntea man 0\n")
    assert load_similarities(path, VOCABULARY).pairs.tolist() == [[0, 1], [2, 3], [4, 2]]
    # comments before the pairs, words with spaces, and U+2028 and no-break spaces inside a word
    lines = ["\ufeff# Similarities", "# Word 1\tWord 2\tMean", "king\tqueen\t8.5", "# more"]
    lines += ["New York\tking\t1", "man\u2028woman\ttea\t1", "man\twoman\t8.3", "tea\tman\t0"]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert load_similarities(path, VOCABULARY).pairs.tolist() == [[0, 1], [2, 3], [4, 2]]
    path.write_text("Word 1,Word 2,Mean\nNew York,king,1\nking, queen, 8\nman,tea,1\ntea,king,2\n")
    assert load_similarities(path, VOCABULARY).pairs.tolist() == [[0, 1], [2, 4], [4, 0]]


def test_analogies_of_the_published_form(tmp_path):
    path = tmp_path / "questions"
    path.write_text(": family\nMan king woman queen\n\nman king woman princess\n")
    assert load_analogies(path, VOCABULARY).tolist() == [[2, 0, 3, 1]]


@pytest.mark.parametrize(
    ("load", "text", "part"),
    [
        (load_similarities, "a,b,1\nking,queen\n", "line 2 of .* is not two words and a number"),
        (load_similarities, "a,b,1\nking,queen,high\n", "line 2 of .*'king,queen,high'"),
        (load_similarities, "king,queen,1\n", "has both words of only 1 pairs"),
        (load_analogies, ": a\nking queen man\n", "line 2 of .* is not four words"),
        (load_analogies, "a b c d\n", "no question of .* has only words of the vocabulary"),
    ],
)
def test_another_file_is_refused(tmp_path, load, text, part):
    (tmp_path / "file").write_text(text)
    with pytest.raises(DataError, match=part):
        load(tmp_path / "file", VOCABULARY)


def test_vector_files_by_hand(tmp_path):
    rows = np.array([[0.5, -2.0], [0.1, 3e-9]], np.float32)
    write_vectors(tmp_path / "v.txt", ["é", "b"], rows)
    assert (tmp_path / "v.txt").read_text("utf-8") == "2 2\né 0.5 -2.0\nb 0.1 3e-09\n"
    write_vectors(tmp_path / "v.bin", ["é", "b"], rows)
    half, two = b"\x00\x00\x00\x3f", b"\x00\x00\x00\xc0"  # 0.5 and -2.0, least byte first
    assert (tmp_path / "v.bin").read_bytes().startswith(b"2 2\n\xc3\xa9 " + half + two + b"\nb ")
    for name in ("v.txt", "v.bin"):
        words, found = read_vectors(tmp_path / name)
        assert words == ["é", "b"]
        np.testing.assert_array_equal(found, rows)
    (tmp_path / "v.bin").write_bytes(b"1 1\nx " + half)  # without a line's end
    assert read_vectors(tmp_path / "v.bin")[1].tolist() == [[0.5]]
    (tmp_path / "v.txt").write_text("1 1\nx 0.5 \n")  # with a space at the end
    assert read_vectors(tmp_path / "v.txt")[1].tolist() == [[0.5]]


def test_words_with_spaces_are_counted_from_the_end(tmp_path):
    words, rows = ["New York", "b", ". . .", "c"], np.arange(8, dtype=np.float32).reshape(4, 2)
    write_vectors(tmp_path / "v.txt", words, rows)
    text = (tmp_path / "v.txt").read_text()
    for content in (text, text.partition("\n")[2], text.replace("\n", " \r\n")):
        (tmp_path / "v.txt").write_text(content)
        found, values = read_vectors(tmp_path / "v.txt")
        assert found == words
        np.testing.assert_array_equal(values, rows)
    for name, word in (("v.bin", "New York"), ("v.bin", ""), ("v.txt", "a\nb"), ("v.txt", " ")):
        with pytest.raises(DataError, match=r"the word .* cannot be stored in .*v\."):
            write_vectors(tmp_path / name, [word], rows[:1])


@pytest.mark.parametrize("name", ["a.txt", "a.bin"])
def test_bad_utf_8_is_replaced_on_request(tmp_path, name):
    value = b"\x00\x00\x00\x3f" if name == "a.bin" else b"0.5"
    (tmp_path / name).write_bytes(b"2 1\na " + value + b"\n\xffb " + value + b"\n")
    with pytest.raises(DataError, match=r"the word in (row 2|line 3) is not UTF-8: b'\\xffb'"):
        read_vectors(tmp_path / name)
    assert read_vectors(tmp_path / name, errors="replace")[0] == ["a", "\ufffdb"]


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("a.txt", b"no head", "invalid literal"),
        ("a.txt", b"2 1\nx 1\n", "announces 2 words, the file has 1"),
        ("a.txt", b"1 2\nx 1 b\n", "line 2: could not convert"),
        ("a.txt", b"x 1 2\ny 1\nz 1 2", "line 2 has 1 numbers, not 2"),
        ("a.txt", b"2 2\nx 1 2\ny\n", "line 3 has 0 numbers, not 2"),
        ("a.txt", b"1 2\nx 1 2 3\n", "all lines have more numbers than 2"),
        ("a.txt", b"a\t1\t2\nb\t3\t4\n", "line 1 has 0 numbers"),
        ("a.txt", b"2 1\nx 1\ny nan\n", "line 3 has a number that is not finite"),
        ("a.txt", b"1000000000 300\nx 1\n", "announces 1000000000 words, the file has 1"),
        ("a.txt", b"1 0\nx\n", "announces 1 words of 0 numbers"),
        ("a.bin", b"2 1\nx 1234\n", "too many for the 7 bytes"),
        ("a.bin", b"1 1\nx 12", "too many for the 4 bytes"),
        ("a.bin", b"1000000000 300\nx 1234", "too many for the 6 bytes"),
        ("a.bin", b"2 2\nlongword 12345678\ny 1234", "row 2 of 2 is truncated"),
        ("a.bin", b"2 1\nlongword 1234\ny1234567", "row 2 of 2 is truncated"),
        ("a.bin", b"1 1\nx 1234\ny 1234\n", "announces 1 words, but more follow"),
        ("a.bin", b"1 1\nx \x00\x00\x80\x7f", "row 1 has a number that is not finite"),
        ("a.txt", b"1 1\n\xff 1\n", "line 2 is not UTF-8"),
    ],
)
def test_a_file_that_holds_no_vectors_is_refused(tmp_path, name, content, part):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"is not a file of word vectors: .*{part}"):
        read_vectors(tmp_path / name)


def test_files_that_cannot_be_opened_are_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot read vectors .*none.bin: No such file"):
        read_vectors(tmp_path / "none.bin")
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(DataError, match=r"pipe.txt is a named pipe, not a file"):
        read_vectors(tmp_path / "pipe.txt")


def test_marks_and_joiners_are_parts_of_words():
    """Combining accents, Devanagari vowels, vowelled Arabic, a Persian zero-width non-joiner."""
    words = ["cafe\u0301", "i\u0307stanbul", "हिन्दी", "نَصٌّ", "می\u200cخواهم", "สวัสดี"]
    text = "Cafe\u0301. İstanbul. हिन्दी نَصٌّ می\u200cخواهم สวัสดี"
    assert [word for sentence in split_sentences(text) for word in sentence] == words
