"""Prepared datasets by name, read through `tfds.data_source` without TensorFlow.

The built-in datasets are prepared on first use. A dataset of the TFDS catalogue must have been
prepared in the array_record format, which needs TensorFlow once.
"""

import contextlib
import difflib
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# TFDS loads slowly, and files do not need it: the functions below import it
BUILTIN = ("digits", "python_source", "python_docs")


class DataError(ValueError):
    """Unusable data. With `exit_code` the command line reports it as a user error, in one line."""

    exit_code = 2


def data_folder(data_dir: str) -> str:
    """Folder of prepared datasets: `data_dir`, else TFDS_DATA_DIR, else the default of TFDS."""
    import tensorflow_datasets as tfds

    return str(Path(data_dir or tfds.core.constants.DATA_DIR).expanduser())


def load_splits(name: str, data_dir: str = "") -> dict[str, Any]:
    """All splits of a dataset by name: random-access sources with len(source) and source[i].

    name: a built-in dataset (BUILTIN), or a prepared TFDS dataset, as NAME or NAME/CONFIG. An
    element is a dict of arrays. Raises DataError when the dataset is unknown, is not prepared, or
    is prepared in a format that only TensorFlow reads.
    """
    from tensorflow_datasets.core import registered

    folder = data_folder(data_dir)
    try:
        return _open_builtin(name, folder) if name in BUILTIN else _open_prepared(name, folder)
    except registered.DatasetNotFoundError:
        raise DataError(unknown_dataset(name, folder)) from None
    except (ValueError, AssertionError, ImportError, OSError) as error:
        if isinstance(error, DataError):
            raise
        first_line = str(error).strip().split("\n")[0]
        raise DataError(f"cannot open dataset {name!r} in {folder}: {first_line}") from error


def _open_prepared(name: str, folder: str) -> dict[str, Any]:
    """Open a dataset of the TFDS catalogue."""
    import tensorflow_datasets as tfds

    build = f"tfds build {name} --data_dir={folder} --file_format=array_record"
    once = f"once with TensorFlow (pip install '.[tf]'): {build}"
    try:
        builder = tfds.builder(name, data_dir=folder, file_format="array_record")
    except ValueError as error:
        if "file format" not in str(error).lower():
            raise
        raise DataError(
            f"dataset {name} in {folder} is in a format that only TensorFlow reads; "
            f"delete it and prepare it again {once}"
        ) from error
    if not builder.is_prepared():
        raise DataError(
            f"dataset {name} is not prepared in {folder}; "
            f"set --config.data_dir, or prepare it {once}"
        )
    return builder.as_data_source()


def _open_builtin(name: str, folder: str) -> dict[str, Any]:
    """Open a built-in dataset; prepare it on first use."""
    builder = _builtin_class(name)(data_dir=folder, file_format="array_record")
    if not builder.is_prepared():
        os.makedirs(folder, exist_ok=True)
        # two runs of a sweep may prepare it at the same time
        with open(Path(folder) / f".{name}.lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            builder = _builtin_class(name)(data_dir=folder, file_format="array_record")
            if not builder.is_prepared():
                print(f"preparing {name} in {folder}, once", flush=True)
                with open(os.devnull, "w") as quiet, contextlib.redirect_stderr(quiet):
                    with contextlib.redirect_stdout(quiet):
                        builder.download_and_prepare()
    return builder.as_data_source()


def _builtin_class(name: str) -> Any:
    """Builder class of a built-in dataset."""
    from .builtin.digits import Digits
    from .builtin.python_source import PythonDocs, PythonSource

    return {"digits": Digits, "python_source": PythonSource, "python_docs": PythonDocs}[name]


def prepared_datasets(folder: str) -> list[str]:
    """Names of the prepared datasets in a folder."""
    infos = Path(folder).glob("*/**/dataset_info.json")
    return sorted({"/".join(path.relative_to(folder).parts[:-2]) for path in infos})


def unknown_dataset(name: str, folder: str) -> str:
    """Error message of one line: the unknown name, the nearest one, and all available ones."""
    names = sorted({*BUILTIN, *prepared_datasets(folder)})
    available = f"available: {', '.join(names)} (in {folder})"
    return f"there is no dataset {name!r}{nearest(name, names)}; {available}"


def nearest(name: str, names: Iterable[str]) -> str:
    """Suffix " (did you mean X?)" with the nearest of `names`, or "" when none is near."""
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""
