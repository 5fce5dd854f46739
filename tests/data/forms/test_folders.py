"""Folders are read without what systems and editors leave there; bombs and pipes are refused."""

import gzip
import os
import struct
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.catalogue import DataError
from data.forms.files import as_folder, read_text
from data.forms.folders import files_below, files_in
from data.images.arrays import read_idx
from data.lines.number_rows import read_numbers
from data.pairs.parallel import load_pairs
from data.sentences.sentiment import load_sentiment
from data.text.corpus import load_text, read_path
from data.text.words import load_words

LETTERS = "abcdefghijklmnopqrst"


def idx(axes, count):
    sizes = [count] + [2] * (axes - 1)
    head = bytes([0, 0, 8, axes]) + struct.pack(f">{axes}I", *sizes)
    size = int(np.prod(sizes))
    return head + bytes(i % 2 if axes == 1 else i for i in range(size))


def parquet(folder, name):
    texts = [f"{name} {letter}{i}" for letter in LETTERS for i in range(3)]
    pq.write_table(pa.table({"text": texts, "label": [0, 1, 1] * 20}), folder / f"{name}.parquet")


def fill(kind, folder):
    """Write the files of a kind of folder."""
    if kind == "parquet":
        parquet(folder, "train")
        parquet(folder, "test")
    for name, content in {
        "words": {f"ptb.{split}.txt": f"{split} a b\n" for split in ("train", "valid", "test")},
        "text": {"a.txt": LETTERS * 9, "b/c.txt": LETTERS},
        "pairs": {
            f"{split}.{language}": f"{split} {language}\n"
            for split in ("train", "val", "test")
            for language in ("en", "de")
        },
        "lines": {f"rt.{label}": f"{label} a\n" * 30 for label in ("neg", "pos")},
        "csv": {
            f"{split}.csv": "text,label\n" + "".join(f"{split} {x},{x}\n" for x in LETTERS)
            for split in ("train", "valid", "test")
        },
        "idx": {
            f"{split}-{what}-idx{axes}-ubyte": idx(axes, 40)
            for split in ("train", "t10k")
            for what, axes in (("images", 3), ("labels", 1))
        },
        "parquet": {},
    }[kind].items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


READERS = {
    "words": lambda folder: load_words(f"words:{folder}").sha256,
    "text": lambda folder: load_text(f"text:{folder}").sha256,
    "pairs": lambda folder: repr(load_pairs(f"pairs:{folder}", "en", "de")),
    "lines": lambda folder: repr(load_sentiment(f"lines:{folder}", fold=0)),
    "csv": lambda folder: load_text(f"csv:{folder}").sha256,
    "parquet": lambda folder: load_text(f"parquet:{folder}").sha256,
    "idx": lambda folder: {split: images.sha256 for split, images in read_idx(folder).items()},
}


@pytest.mark.parametrize("kind", READERS)
def test_what_systems_leave_in_a_folder_is_no_data(tmp_path, kind):
    fill(kind, tmp_path)
    files = files_below(tmp_path)
    before = READERS[kind](tmp_path)
    for path in files:
        for name in (f"._{path.name}", f"{path.name}~", f".{path.name}.swp"):
            path.with_name(name).write_bytes(b"\xff\x00")
        for name in (".ipynb_checkpoints", "__MACOSX", "@eaDir"):
            path.with_name(name).mkdir(exist_ok=True)
            (path.with_name(name) / path.name).write_bytes(b"\xff\x00")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "Icon\r"):
        (tmp_path / name).write_bytes(b"\xff\x00")
    os.mkfifo(tmp_path / f"pipe-{files[0].name}")
    assert files_below(tmp_path) == files
    assert files_in(tmp_path) == [path for path in files if path.parent == tmp_path]
    assert READERS[kind](tmp_path) == before


@pytest.mark.parametrize("read", [read_text, read_path, read_numbers])
def test_a_pipe_does_not_block(tmp_path, read):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(DataError, match=r"pipe is a named pipe, not a file"):
        read(path)
    reading, writing = os.pipe()  # of the shell
    os.write(writing, b"1,2\n")
    os.close(writing)
    read(f"/dev/fd/{reading}" if read is read_numbers else type(path)(f"/dev/fd/{reading}"))
    os.close(reading)


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("data.forms.content.SMALL", 10_000)
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"0" * 9_999))
    assert len(read_text(path)) == 9_999
    path.write_bytes(gzip.compress(b"0" * 1_000_000))
    with pytest.raises(DataError, match=r"a.txt.gz: \d+ bytes inflate to more than \d+"):
        read_text(path)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", b"0" * 9_999)
        archive.writestr("bomb.txt", b"0" * 1_000_000)
    folder = as_folder(tmp_path / "a.zip")
    assert len(read_text(folder / "a.txt")) == 9_999
    with pytest.raises(DataError, match=r"bomb.txt: \d+ bytes inflate to more than \d+"):
        read_text(folder / "bomb.txt")


def test_files_of_an_unknown_user_are_missing():
    with pytest.raises(DataError, match=r"~nobody-of-this-name/text\.txt"):
        load_text("text:~nobody-of-this-name/text.txt", "")
