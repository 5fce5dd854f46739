"""Prepared datasets by name, read through `tfds.data_source`: no TensorFlow at any time.

The project's own datasets are prepared on first use; a catalogue dataset must have been prepared in
the array_record format, which needs TensorFlow once.
"""

import contextlib
import difflib
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core import registered

from .builtin.digits import Digits
from .builtin.python_source import PythonDocs, PythonSource

OWN: dict[str, Any] = {"digits": Digits, "python_source": PythonSource, "python_docs": PythonDocs}


class DataError(ValueError):
    """Data that cannot be used. `exit_code` asks the command line for one line and no more."""

    exit_code = 2


def data_folder(data_dir: str) -> str:
    """Folder of prepared datasets: `data_dir`, or TFDS_DATA_DIR, or TFDS's own default."""
    return str(Path(data_dir or tfds.core.constants.DATA_DIR).expanduser())


def load_splits(name: str, data_dir: str = "") -> dict[str, Any]:
    """Every split of a dataset as a random-access source: len(source), source[i], element dicts.

    name: one of the project's own (OWN), or a prepared TFDS name, with its
    config after a slash. Raises DataError when there is no such dataset, when it is not prepared,
    or when it is prepared in a format that only TensorFlow reads.
    """
    folder = data_folder(data_dir)
    try:
        return _own(name, folder) if name in OWN else _prepared(name, folder)
    except registered.DatasetNotFoundError:
        raise DataError(unknown(name, folder)) from None
    except (ValueError, AssertionError, ImportError, OSError) as error:
        if isinstance(error, DataError):
            raise
        first = str(error).strip().split("\n")[0]
        raise DataError(f"cannot open dataset {name!r} in {folder}: {first}") from error


def _prepared(name: str, folder: str) -> dict[str, Any]:
    """Open a catalogue dataset."""
    build = f"tfds build {name} --data_dir={folder} --file_format=array_record"
    once = f"once, with TensorFlow (pip install '.[tf]'): {build}"
    try:
        builder = tfds.builder(name, data_dir=folder, file_format="array_record")
    except ValueError as error:
        if "file format" not in str(error).lower():
            raise
        raise DataError(
            f"dataset {name} in {folder} is prepared in a format that only TensorFlow reads; "
            f"delete it there and prepare it {once}"
        ) from error
    if not builder.is_prepared():
        raise DataError(
            f"dataset {name} is not prepared in {folder}; {once}; or give --config.data_dir"
        )
    return builder.as_data_source()


def _own(name: str, folder: str) -> dict[str, Any]:
    """Open one of the project's own datasets, after preparing it when it is not there yet."""
    builder = OWN[name](data_dir=folder, file_format="array_record")
    if not builder.is_prepared():
        os.makedirs(folder, exist_ok=True)
        # two runs of a sweep may come here at the same time
        with open(Path(folder) / f".{name}.lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            builder = OWN[name](data_dir=folder, file_format="array_record")
            if not builder.is_prepared():
                print(f"preparing {name} in {folder}, once", flush=True)
                with open(os.devnull, "w") as quiet, contextlib.redirect_stderr(quiet):
                    with contextlib.redirect_stdout(quiet):
                        builder.download_and_prepare()
    return builder.as_data_source()


def prepared(folder: str) -> list[str]:
    """Names of the datasets that lie prepared in a folder."""
    infos = Path(folder).glob("*/**/dataset_info.json")
    return sorted({"/".join(path.relative_to(folder).parts[:-2]) for path in infos})


def unknown(name: str, folder: str) -> str:
    """One line that says which datasets there are, with the nearest name."""
    there = sorted({*OWN, *prepared(folder)})
    there_are = f"there are {', '.join(there)} (in {folder})"
    return f"there is no dataset {name!r}{nearest(name, there)}; {there_are}"


def nearest(name: str, there: Iterable[str]) -> str:
    """Text that names the nearest of those that there are, or nothing when none is near."""
    near = difflib.get_close_matches(name, list(there), n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""
