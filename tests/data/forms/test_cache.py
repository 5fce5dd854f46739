"""Cached arrays are made once, and again when the file is damaged; the cache is optional."""

import numpy as np
import pytest

from data.forms.cache import cache_folder, cached, fingerprint

ARRAYS = {"images": np.arange(6, dtype=np.uint8).reshape(2, 3), "labels": np.array([4, 5])}


@pytest.fixture
def made(monkeypatch, tmp_path):
    """Call `cached` and return how often it made the arrays."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def call(key):
        calls = []

        def make():
            calls.append(key)
            return ARRAYS

        arrays = cached(key, make)
        assert arrays.keys() == ARRAYS.keys()
        for name, array in ARRAYS.items():
            assert arrays[name].dtype == array.dtype
            np.testing.assert_array_equal(arrays[name], array)
        return len(calls)

    return call


def test_arrays_are_made_once_for_a_key(made):
    assert [made("a"), made("a"), made("b"), made("a")] == [1, 0, 1, 0]
    assert len(list(cache_folder().iterdir())) == 2


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut off", b"something else"])
def test_a_damaged_file_is_made_again(made, damage):
    made("a")
    (path,) = cache_folder().iterdir()
    path.write_bytes(damage)
    assert [made("a"), made("a")] == [1, 0]


def test_a_cut_file_is_made_again(made):
    made("a")
    (path,) = cache_folder().iterdir()
    path.write_bytes(path.read_bytes()[:-30])
    assert [made("a"), made("a")] == [1, 0]


def test_without_a_folder_that_can_be_written_arrays_are_made_each_time(made, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert [made("a"), made("a")] == [1, 1]


def test_fingerprint_changes_with_the_files(tmp_path):
    (tmp_path / "one").write_text("1")
    before = fingerprint(tmp_path)
    assert fingerprint(tmp_path) == before
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "two").write_text("2")
    assert fingerprint(tmp_path) != before
    more = fingerprint(tmp_path)
    (tmp_path / "one").write_text("12")
    assert fingerprint(tmp_path) not in (before, more)
