"""Prepared datasets by name, read through `tfds.data_source` without TensorFlow.

The built-in datasets are prepared on first use. A dataset of the TFDS catalogue must have been
prepared in the array_record format, which needs TensorFlow once.
"""

import difflib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

# TFDS loads slowly, and files do not need it: the functions below import it
BUILTIN = ("digits", "python_source", "python_docs")
# forms of tables: a file, or a folder with files named train, validation and test
TABLES = ("csv:PATH", "tsv:PATH", "jsonl:PATH", "parquet:PATH", "arrow:PATH")


class DataError(ValueError):
    """Unusable data. With `exit_code` the command line reports it as a user error, in one line."""

    exit_code = 2


def is_table(name: str) -> bool:
    """Whether a dataset is a table: one of the forms of TABLES, with a path."""
    form, _, rest = name.partition(":")
    return bool(rest) and f"{form}:PATH" in TABLES


def data_folder(data_dir: str) -> str:
    """Folder of prepared datasets: `data_dir`, else TFDS_DATA_DIR, else the default of TFDS.

    The default is in the user's home folder; without a home folder, it is in XDG_CACHE_HOME. Raises
    DataError when there is neither.
    """
    import tensorflow_datasets as tfds

    try:
        return str(Path(data_dir or tfds.core.constants.DATA_DIR).expanduser())
    except RuntimeError:  # no HOME, and no entry in the list of users
        cache = os.environ.get("XDG_CACHE_HOME", "")
        if data_dir or not os.path.isabs(cache):
            raise DataError(
                f"there is no home folder for the data{data_dir and ' ' + data_dir}: set "
                "$TFDS_DATA_DIR or --config.data_dir"
            ) from None
        return os.path.join(cache, "unfold", "tfds")


def load_splits(name: str, data_dir: str = "", forms: Sequence[str] = ()) -> dict[str, Any]:
    """All splits of a dataset by name: random-access sources with len(source) and source[i].

    name: a built-in dataset (BUILTIN), or a prepared TFDS dataset, as NAME or NAME/CONFIG. An
    element is a dict of arrays. forms: other names that the caller accepts, such as text:PATH, for
    the message. Raises DataError when the dataset is unknown, is not prepared, or is prepared in a
    format that only TensorFlow reads; reading an element raises it when its file is damaged.
    """
    from .builtin.prepare import open_builtin
    from .forms.prepared import CheckedSource, Unknown, Unusable, open_faults, open_prepared

    folder = data_folder(data_dir)
    try:
        opened = open_builtin(name, folder) if name in BUILTIN else open_prepared(name, folder)
    except Unknown:
        raise unknown_dataset(name, forms, BUILTIN, folder) from None
    except Unusable as error:
        raise DataError(str(error)) from error
    except open_faults() as error:
        first_line = str(error).strip().split("\n")[0]
        raise DataError(f"cannot open dataset {name!r} in {folder}: {first_line}") from error
    return {
        split: CheckedSource(source, name, split, folder, DataError)
        for split, source in opened.items()
    }


def unknown_dataset(
    name: str, forms: Sequence[str], names: Iterable[str] = (), folder: str = ""
) -> DataError:
    """Error of one line: the unknown name, what was probably meant, and all that is available.

    forms: how users' own data are named, as in text:PATH; names: datasets, besides the prepared
    ones of `folder`, if given.
    """
    from .forms.names import unknown

    return DataError(unknown(name, forms, names, folder))


def nearest(name: str, names: Iterable[str]) -> str:
    """Suffix " (did you mean X?)" with the nearest of `names`, or "" when none is near."""
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""
