"""Datasets are opened by name, prepared once, or refused with instructions."""

import contextlib
import io
import platform
import pwd
import shutil
import sys
import sysconfig
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from sklearn.datasets import load_digits

from data.builtin.digits import Digits
from data.builtin.python_source import PythonSource, documentation, file_split, standard_library
from data.catalogue import DataError, data_folder, load_splits
from data.forms.cache import cache_folder
from data.forms.names import prepared_datasets
from tests.data.conftest import Squares

SPLITS = ("train", "validation", "test")


def elements(source):
    return [source[i] for i in range(len(source))]


def test_a_built_in_dataset_is_prepared_once(tmp_path, monkeypatch, capfd):
    folder = tmp_path / "new" / "folder"
    first = load_splits("digits", str(folder))
    assert capfd.readouterr().out == f"preparing digits in {folder}, once\n"
    assert "digits" in prepared_datasets(str(folder))

    def never(self, **_):
        raise AssertionError("prepared again")

    monkeypatch.setattr(Digits, "download_and_prepare", never)
    second = load_splits("digits", str(folder))
    for split in ("train", "test"):
        assert len(first[split]) == len(second[split])
        np.testing.assert_array_equal(first[split][7]["image"], second[split][7]["image"])


def test_runs_that_start_together_do_not_break_each_other(tmp_path, monkeypatch):
    together = threading.Barrier(3)
    prepared = []
    prepare = Digits.download_and_prepare

    def counting(self, **options):
        prepared.append(threading.get_ident())
        return prepare(self, **options)

    def start(_):
        together.wait(timeout=30)
        return load_splits("digits", str(tmp_path))

    monkeypatch.setattr(Digits, "download_and_prepare", counting)
    streams = sys.stdout, sys.stderr
    with ThreadPoolExecutor(3) as pool:
        opened = list(pool.map(start, range(3)))
    assert (sys.stdout, sys.stderr) == streams
    assert len(prepared) == 1
    for splits in opened:
        assert {name: len(source) for name, source in splits.items()} == {
            "train": 1437,
            "test": 360,
        }


def test_a_prepared_dataset_is_read_without_its_code(prepared):
    splits = load_splits("squares", prepared)
    assert {name: len(splits[name]) for name in splits} == {"train": 6, "validation": 3, "test": 2}
    element = splits["test"][1]
    assert element["image"].shape == (6, 6, 1)
    assert element["label"] in (0, 1)


def test_an_unknown_name_lists_the_available_and_the_nearest(prepared):
    with pytest.raises(DataError) as caught:
        load_splits("digitz", prepared)
    message = str(caught.value)
    assert "no dataset 'digitz'" in message
    assert "did you mean digits?" in message
    own = f"digits, python_docs, python_source, python_source/{platform.python_version()}"
    assert f"available: {own}, squares (in {prepared})" in message
    assert "\n" not in message
    assert caught.value.exit_code == 2


def test_an_unrelated_name_has_no_nearest(tmp_path):
    with pytest.raises(DataError, match="there is no dataset 'qqqq'; available: digits, python_do"):
        load_splits("qqqq", str(tmp_path))


def test_a_dataset_that_is_not_prepared_says_how_to(tmp_path):
    with pytest.raises(DataError) as caught:
        load_splits("mnist", str(tmp_path))
    command = f"tfds build mnist --data_dir={tmp_path} --file_format=array_record"
    assert command in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot open dataset 'digits' in"):
        load_splits("digits", str(tmp_path / "file"))


def test_the_folder_is_the_given_one_or_the_default(monkeypatch):
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", "/default")
    monkeypatch.setenv("HOME", "/home/me")
    assert data_folder("") == "/default"
    assert data_folder("/given") == "/given"
    assert data_folder("~/given") == "/home/me/given"


def test_without_a_home_the_folder_is_a_cache(monkeypatch):
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)  # KeyError: no such user
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", "~/tensorflow_datasets")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert data_folder("") == "/cache/unfold/tfds"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    with pytest.raises(DataError, match="there is no home folder for the data: set"):
        data_folder("")
    assert data_folder("/given") == "/given"
    with pytest.raises(OSError, match="Not a directory"):
        cache_folder().mkdir(parents=True)


def test_digits_are_bytes_up_to_16_and_in_one_split_each(prepared):
    splits = load_splits("digits", prepared)
    images = {name: {e["image"].tobytes() for e in elements(splits[name])} for name in splits}
    assert not images["train"] & images["test"]
    for element in elements(splits["test"]):
        assert element["image"].shape == (8, 8, 1)
        assert element["image"].dtype == np.uint8
        assert element["image"].max() <= 16
    # scikit-learn keeps the digits of a writer together; a random split takes some of each writer
    pixels = load_digits().data.astype(np.uint8)
    in_test = [image.tobytes() in images["test"] for image in pixels]
    assert np.diff([0, *np.flatnonzero(in_test), 1797]).max() < 60


def test_python_source_is_the_standard_library_by_file(prepared):
    splits = load_splits("python_source", prepared)
    assert set(splits) == set(SPLITS)
    root = Path(sysconfig.get_path("stdlib"))
    library = standard_library()
    paths = {split: [Path(e["path"].decode()) for e in elements(splits[split])] for split in SPLITS}
    together = [path for split in SPLITS for path in paths[split]]
    assert len(together) == len(set(together)) > 300
    assert {root / path for path in together} <= set(library)
    assert Path("argparse.py") in together
    folders = {part for path in together for part in path.parts[:-1]}
    assert not folders & {"test", "tests", "idle_test", "site-packages", "dist-packages"}
    for split in SPLITS:
        assert paths[split] == sorted(paths[split], key=Path.as_posix)
        of_split = [path for i, path in enumerate(library) if file_split(i) == split]
        assert {root / path for path in paths[split]} <= set(of_split)
        element = splits[split][0]
        assert element["text"] == (root / paths[split][0]).read_bytes()


def test_files_are_divided_90_5_5():
    splits = [file_split(index) for index in range(200)]
    assert [splits.count(split) for split in SPLITS] == [180, 10, 10]
    assert [splits[:40].count(split) for split in SPLITS] == [36, 2, 2]


def test_python_source_leaves_out_tests_and_files_that_are_not_utf8(tmp_path, monkeypatch):
    library = tmp_path / "lib"
    modules = [f"m{i:02}.py" for i in range(40)]
    others = ["test/a.py", "m/tests/b.py", "site-packages/c.py", "encodings/d.py", "notes.txt"]
    for name in [*modules, *others]:
        path = library / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")
    (library / "m18.py").write_bytes(b"# \xff\n")
    (library / "m03.py").write_bytes(b"# \xff\n")
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(library))
    splits = load_splits("python_source", str(tmp_path / "prepared"))
    texts = {split: [e["text"].decode() for e in elements(splits[split])] for split in SPLITS}
    # the split of a file does not depend on whether the files before it are readable
    assert texts["validation"] == ["# m38.py\n"]
    assert texts["test"] == ["# m19.py\n", "# m39.py\n"]
    out = {"m03.py", "m18.py", "m38.py", "m19.py", "m39.py"}
    assert texts["train"] == [f"# {name}\n" for name in modules if name not in out]


def test_documentation_is_comments_and_statements_that_are_strings():
    source = """#!/usr/bin/python
# one
#: two

import os  # three
X = "no prose"
def f(a="neither"):
    r'''First \\d.

    Second.'''
    return (
        "nor this"
    )
class A:
    "A class."
    'Said twice.'
"""
    paragraphs = ["/usr/bin/python\none\ntwo", "three", "First \\d.\n\n    Second."]
    paragraphs += ["A class.", "Said twice."]
    assert documentation(source) == "".join(text + "\n\n" for text in paragraphs)
    assert documentation("# fine\nx = (") == documentation("b'bytes \\xf'\n") == ""


def test_python_docs_is_the_documentation_of_the_same_files(tmp_path, monkeypatch):
    library = tmp_path / "lib"
    library.mkdir()
    for i in range(20):
        (library / f"m{i:02}.py").write_text(f"x = {i}  # number {i}\n")
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(library))
    splits = load_splits("python_docs", str(tmp_path / "prepared"))
    assert [e["text"] for e in elements(splits["test"])] == [b"number 19\n\n"]
    assert len(splits["train"]) == 18


def test_python_source_is_kept_by_python_version(prepared):
    assert [config.name for config in PythonSource.BUILDER_CONFIGS] == [platform.python_version()]
    assert Path(prepared, "python_source", platform.python_version()).is_dir()


@pytest.mark.parametrize("name", ["mnist/foo", "python_source/9.9", "foo bar", "", "mnist:9.9.9"])
def test_name_that_cannot_be_opened_is_one_line(tmp_path, name):
    with pytest.raises(DataError) as caught:
        load_splits(name, str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_set_prepared_for_tensorflow_is_refused_with_the_command_to_prepare_it(tmp_path):
    load_splits("digits", str(tmp_path))
    info = tmp_path / "digits" / "1.0.0" / "dataset_info.json"
    text = info.read_text().replace('"array_record"', '"tfrecord"')
    (tmp_path / "mnist" / "3.0.1").mkdir(parents=True)
    (tmp_path / "mnist" / "3.0.1" / "dataset_info.json").write_text(
        text.replace('"digits"', '"mnist"').replace('"1.0.0"', '"3.0.1"')
    )
    (tmp_path / "mnist" / "3.0.1" / "features.json").write_bytes(
        (tmp_path / "digits" / "1.0.0" / "features.json").read_bytes()
    )
    with pytest.raises(DataError, match=r"only TensorFlow reads.*tfds build mnist"):
        load_splits("mnist", str(tmp_path))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A folder with digits and with squares, which TFDS knows from its files alone."""
    folder = tmp_path_factory.mktemp("shelf")
    load_splits("digits", str(folder))
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        Squares(data_dir=folder, file_format="array_record").download_and_prepare()
    return folder


def change(path, edit):
    path.write_bytes(edit(path.read_bytes()))


def shard(folder):
    return next(folder.glob("*-train.array_record*"))


def flipped(content):
    """Invert a byte of the first example."""
    at = content.index(b"train" if b"train" in content else b"image")
    return content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]


DAMAGES = {
    "cut": lambda f: change(shard(f), lambda c: c[: len(c) // 50]),
    "emptied": lambda f: change(shard(f), lambda c: b""),
    "flipped": lambda f: change(shard(f), flipped),
    "missing": lambda f: shard(f).unlink(),
    "info cut": lambda f: change(f / "dataset_info.json", lambda c: c[: len(c) // 2]),
    "info of another form": lambda f: change(f / "dataset_info.json", lambda c: b"[]"),
    "no info": lambda f: (f / "dataset_info.json").unlink(),
    "features cut": lambda f: change(f / "features.json", lambda c: c[: len(c) // 2]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_prepared_again_or_named_in_one_line(shelf, tmp_path, capfd, damage):
    shutil.copytree(shelf, tmp_path / "d")
    before = shard(tmp_path / "d" / "digits" / "1.0.0").read_bytes()
    DAMAGES[damage](tmp_path / "d" / "digits" / "1.0.0")
    assert len(load_splits("digits", str(tmp_path / "d"))["train"]) == 1437
    assert shard(tmp_path / "d" / "digits" / "1.0.0").read_bytes() == before
    out = capfd.readouterr().out
    assert out.startswith(f"preparing digits in {tmp_path / 'd'}, again: ")
    assert out.count("\n") == 1
    load_splits("digits", str(tmp_path / "d"))
    assert not capfd.readouterr().out

    folder = tmp_path / "d" / "squares" / "2.0.0"
    DAMAGES[damage](folder)
    with pytest.raises(DataError) as caught:
        list(load_splits("squares", str(tmp_path / "d"))["train"])
    message = str(caught.value)
    file = {"info": "dataset_info.json", "no": "dataset_info.json", "features": "features.json"}
    name = file.get(damage.split(" ")[0], "squares-train.array_record")
    assert message.startswith("dataset squares is damaged: ")
    assert str(folder / name) in message
    assert "tfds build squares" in message
    assert "\n" not in message


def test_a_prepared_built_in_set_needs_no_lock(tmp_path, monkeypatch):
    load_splits("digits", str(tmp_path))
    monkeypatch.setattr("fcntl.flock", None)
    assert len(load_splits("digits", str(tmp_path))["test"]) == 360
