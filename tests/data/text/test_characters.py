"""A corpus of characters is the same ids whether it is held in memory or kept in a file."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.catalogue import DataError
from data.forms.cache import cache_folder
from data.forms.files import join_texts
from data.text import characters, corpus
from data.text.characters import counts_of, first, load_characters
from data.text.corpus import Vocabulary, load_text, pieces_of

KNOWN = "Añ 😀 b\r\n" * 40  # every character is in each split
TEXT = KNOWN + "zwölf \ufeff boxers\n\n" * 9 + "rare: ß"


@pytest.fixture
def large(monkeypatch, tmp_path):
    """Every text is large and read a few bytes at a time; return its cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(characters, "LARGE", 1)
    monkeypatch.setattr(corpus, "PIECE", 7)
    monkeypatch.setattr(characters, "PIECE", 7)
    return cache_folder()


def write(folder, texts):
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode())
    return folder


def same(one, other):
    assert one.vocabulary == other.vocabulary
    assert (one.bounds, one.sha256) == (other.bounds, other.sha256)
    np.testing.assert_array_equal(one.ids, other.ids)


@pytest.mark.parametrize("size", [4, 10, 500])
def test_a_corpus_is_its_three_texts_encoded(tmp_path, size):
    folder = write(tmp_path / "text", {"a": TEXT})
    texts = load_text(f"text:{folder}")
    vocabulary = Vocabulary.from_text(texts.train, size)
    loaded = load_characters(f"text:{folder}", "", size)
    assert loaded.vocabulary == vocabulary
    assert loaded.sha256 == texts.sha256 == hashlib.sha256(TEXT.encode()).hexdigest()
    assert loaded.ids.dtype == loaded.train.dtype == np.int32
    np.testing.assert_array_equal(loaded.train, vocabulary.encode(texts.train))
    for limit in (0, 1, 7, 10_000):
        validation, test = (t[: limit or None] for t in (texts.validation, texts.test))
        expected = {"validation": validation, "test": test, "heldout": validation + test}
        held_out = loaded.held_out(limit)
        assert held_out.keys() == expected.keys()
        for name, text in expected.items():
            np.testing.assert_array_equal(held_out[name], vocabulary.encode(text))


@pytest.mark.parametrize("size", [4, 10, 500])
def test_a_large_text_has_the_same_ids_in_a_file(tmp_path, monkeypatch, large, size):
    texts = {"a": "\ufeff" + TEXT, "b": "", "c": "ends\n", "d": "\ufeff\ufeffé"}
    name = f"text:{write(tmp_path / 'text', texts)}"
    first_time, again = (load_characters(name, "", size) for _ in range(2))
    same(first_time, again)
    assert first_time.ids.dtype == np.uint8
    assert not first_time.ids.flags.writeable  # the map of a file
    assert len(list(large.iterdir())) == 2
    monkeypatch.setattr(characters, "LARGE", 2**24)
    same(first_time, load_characters(name, "", size))


def test_a_large_table_has_the_same_ids_in_a_file(tmp_path, monkeypatch, large):
    path = tmp_path / "texts.csv"
    path.write_text("text\n" + "".join(f"row {i} {i * i}\n" for i in range(200)))
    in_file = load_characters(f"csv:{path}", "", 20)
    assert in_file.ids.dtype == np.uint8
    monkeypatch.setattr(characters, "LARGE", 2**24)
    same(in_file, load_characters(f"csv:{path}", "", 20))


def test_a_changed_text_has_other_ids(tmp_path, large):
    name = f"text:{write(tmp_path / 'text', {'a': KNOWN})}"
    before = load_characters(name, "", 50)
    write(tmp_path / "text", {"a": KNOWN.replace("b", "c")})
    after = load_characters(name, "", 50)
    assert before.sha256 != after.sha256
    assert after.vocabulary.decode(after.ids) == KNOWN.replace("b", "c")
    assert before.vocabulary.decode(before.ids) == KNOWN


@pytest.mark.parametrize("damage", ["cut", "other", "no folder"])
def test_without_a_usable_file_the_ids_are_the_same(tmp_path, large, damage):
    name = f"text:{write(tmp_path / 'text', {'a': KNOWN})}"
    if damage == "no folder":
        (tmp_path / "cache").write_text("a file")
    expected = load_characters(name, "", 50)
    assert expected.vocabulary.decode(expected.ids) == KNOWN
    for path in large.glob("*.npy"):
        content = path.read_bytes()
        path.unlink()  # the map of the damaged file would change with it
        path.write_bytes(content[:-3] if damage == "cut" else b"other")
    same(expected, load_characters(name, "", 50))


@pytest.mark.parametrize(
    ("content", "position"),
    [(b"abcdefghi\xff", 9), (b"\xef\xbb\xbf\xff", 3), (b"abcdef\xf0\x9f", 6)],
)
def test_an_invalid_byte_is_named_by_its_position_in_the_file(tmp_path, large, content, position):
    with pytest.raises(UnicodeDecodeError) as caught:
        content.decode()
    assert caught.value.start == position
    (tmp_path / "text").write_bytes(content)
    for load in (load_text, lambda name: load_characters(name, "", 9)):
        with pytest.raises(DataError, match=f"byte {position} is invalid"):
            load(f"text:{tmp_path / 'text'}")


def test_a_large_text_of_white_space_or_one_that_changes_is_refused(tmp_path, monkeypatch, large):
    path = tmp_path / "text"
    path.write_text(" \n" * 20)
    with pytest.raises(DataError, match="there is no text in"):
        load_characters(f"text:{path}", "", 9)
    path.write_text("abcd " * 20)
    monkeypatch.setattr(characters, "measure", lambda _: ("digest", 99))
    with pytest.raises(DataError, match="changed from 99 to 100 characters"):
        load_characters(f"text:{path}", "", 9)
    assert [path.suffix for path in large.iterdir()] == [".npz"]  # no incomplete file is left


@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    texts=st.lists(st.text("a\n\ufeffé😀", max_size=9), max_size=4),
    piece=st.integers(1, 5),
    end=st.sampled_from(["\n", "\n\n"]),
)
def test_pieces_are_the_joined_files(tmp_path_factory, texts, piece, end):
    folder = tmp_path_factory.mktemp("files")
    write(folder, {str(i): text for i, text in enumerate(texts)})
    files = [folder / str(i) for i in range(len(texts))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "PIECE", piece)
        joined = "".join(pieces_of(files, end))
    assert joined == join_texts([text.removeprefix("\ufeff") for text in texts], end)


@given(text=st.text("abé😀"), length=st.integers(0, 9), piece=st.integers(1, 4))
@settings(deadline=None, derandomize=True, max_examples=15)
def test_characters_of_the_beginning_are_counted(text, length, piece):
    pieces = [text[i : i + piece] for i in range(0, len(text), piece)]
    begin = text[:length]
    assert "".join(first(pieces, length)) == begin
    counts = counts_of(first(pieces, length))
    assert dict(zip(map(chr, counts["codes"]), counts["counts"], strict=True)) == {
        character: begin.count(character) for character in set(begin)
    }
