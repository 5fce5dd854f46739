"""Prepared datasets by name, read through `tfds.data_source`: no TensorFlow at any time.

The project's own datasets are prepared on first use; a catalogue dataset must have been prepared in
the array_record format, which needs TensorFlow once.
"""

import contextlib
import difflib
import fcntl
import os
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core import registered

from data.digits import Digits
from data.python_source import PythonSource

OWN = {"digits": Digits, "python_source": PythonSource}


class DataError(ValueError):
    """Data that cannot be used. `exit_code` asks the command line for one line and no more."""

    exit_code = 2


def data_folder(data_dir: str) -> str:
    """Folder of prepared datasets: `data_dir`, or TFDS_DATA_DIR, or TFDS's own default."""
    return str(Path(data_dir or tfds.core.constants.DATA_DIR).expanduser())


def load_splits(name: str, data_dir: str = "") -> dict[str, Any]:
    """Every split of a dataset as a random-access source: len(source), source[i], element dicts.

    name: one of the project's own ("digits", "python_source"), or a prepared TFDS name, with its
    config after a slash. Raises DataError when there is no such dataset, or it is not prepared.
    """
    folder = data_folder(data_dir)
    if name in OWN:
        return _own(name, folder)
    try:
        builder = tfds.builder(name, data_dir=folder, file_format="array_record")
    except registered.DatasetNotFoundError:
        raise DataError(unknown(name, folder)) from None
    if not builder.is_prepared():
        raise DataError(
            f"dataset {name} is not prepared in {folder}; once, with TensorFlow "
            f"(pip install '.[tf]'): tfds build {name} --data_dir={folder} "
            "--file_format=array_record; or give --config.data_dir"
        )
    return builder.as_data_source()


def _own(name: str, folder: str) -> dict[str, Any]:
    """Prepare one of the project's own datasets when it is not there yet, and open it."""
    try:
        os.makedirs(folder, exist_ok=True)
        # two runs of a sweep may come here at the same time
        with open(Path(folder) / f".{name}.lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            builder: Any = OWN[name](data_dir=folder, file_format="array_record")
            if not builder.is_prepared():
                with open(os.devnull, "w") as quiet, contextlib.redirect_stderr(quiet):
                    with contextlib.redirect_stdout(quiet):
                        builder.download_and_prepare()
    except OSError as error:
        raise DataError(f"cannot prepare {name} in {folder}: {error}") from error
    return builder.as_data_source()


def prepared(folder: str) -> list[str]:
    """Names of the datasets that lie prepared in a folder."""
    infos = Path(folder).glob("*/**/dataset_info.json")
    return sorted({"/".join(path.relative_to(folder).parts[:-2]) for path in infos})


def unknown(name: str, folder: str) -> str:
    """One line that says which datasets there are, with the nearest name."""
    there = sorted({*OWN, *prepared(folder)})
    near = difflib.get_close_matches(name, there, n=1, cutoff=0.5)
    meant = f" (did you mean {near[0]}?)" if near else ""
    return f"there is no dataset {name!r}{meant}; there are {', '.join(there)} (in {folder})"
