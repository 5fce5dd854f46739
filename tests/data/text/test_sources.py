"""Texts of tables, row by row, for language models of characters and of words."""

import hashlib

import pytest

from data.catalogue import DataError
from data.forms.splits import set_of
from data.text.corpus import load_text
from data.text.words import load_words

ROWS = [f"Row {i}, naïve" for i in range(60)]


def write(path, rows):
    path.write_text("text,n\n" + "".join(f'"{row}",1\n' for row in rows), encoding="utf-8")
    return path


def test_each_row_is_in_the_set_of_its_hash_and_ends_a_line(tmp_path):
    path = write(tmp_path / "naïve café, 1.csv", [*ROWS, "with its end\n"])
    corpus = load_text(f"csv:{path}")
    parts = {"train": corpus.train, "validation": corpus.validation, "test": corpus.test}
    for split, text in parts.items():
        own = [row for row in ROWS if set_of(row) == split]
        assert text.replace("with its end\n", "") == "".join(row + "\n" for row in own)
    assert corpus.sha256 == hashlib.sha256("".join(parts.values()).encode()).hexdigest()
    write(path, [*ROWS[:-1], "changed"])
    assert load_text(f"csv:{path}").sha256 != corpus.sha256


def test_files_give_the_sets_and_a_row_ends_a_sentence(tmp_path):
    for split in ("train", "valid", "test"):
        write(tmp_path / f"{split}.csv", [f"{split} One two. Three", "four\n\nfive"])
    corpus = load_words(f"csv:{tmp_path}")
    assert corpus.train == [["train", "one", "two"], ["three"], ["four"], ["five"]]
    assert corpus.validation[0][0] == "valid"


@pytest.mark.parametrize("load", [load_text, load_words])
def test_texts_that_are_missing_are_refused(tmp_path, load):
    path = write(tmp_path / "a.csv", [" "] * 3)
    with pytest.raises(DataError, match=r"set of .* is empty"):
        load(f"csv:{path}")
    for split in ("train", "valid", "test"):
        write(tmp_path / f"{split}.csv", ["a" if split == "train" else " "])
    with pytest.raises(DataError, match="there is no text in the validation set of"):
        load(f"csv:{tmp_path}")
    with pytest.raises(DataError, match=rf"did you mean text:{path.parent}/b.txt\?"):
        load(str(path.parent / "b.txt") if write(tmp_path / "b.txt", []) else "")
