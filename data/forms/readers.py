"""Readers of tables, by the form in the name of a dataset.

`csv:PATH`, `tsv:PATH` and `jsonl:PATH` are text, plain or gzipped; `arrow` reads the others. PATH
is a file, or a folder whose files have train, validation (or valid, val, dev) and test in their
names; several files of a split follow one another in the order of their names.
"""

import csv
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..catalogue import DataError
from .files import by_split, listed, nearest_file, read_text
from .folders import files_below, files_in
from .table import Table

DIALECTS: dict[str, dict[str, Any]] = {
    "csv": {"delimiter": ",", "strict": True},
    "tsv": {"delimiter": "\t", "quoting": csv.QUOTE_NONE},
}


def load_tables(form: str, rest: str) -> dict[str, list[Table]]:
    """Tables of each split, {"train": [table]} for a single file; DataError when it is unusable.

    form: one of `READERS`; rest: the path. No table is empty.
    """
    path = Path(os.path.expanduser(rest))
    if form == "arrow":
        from .arrow import dataset_files

        files = dataset_files(path)
    else:
        files = {}
    if not files and path.is_dir():
        endings = f".{form}", f".{form}.gz"
        own = files_below(path, endings)
        files = {split: paths for split, paths in by_split(own).items() if paths}
        of_sets = [p for paths in files.values() for p in paths]
        if repeated := [p for p in of_sets if of_sets.count(p) > 1]:
            raise DataError(f"{repeated[0]} has the names of several sets in its name")
        if not files:
            names = [p.name for p in own or files_in(path)]
            raise DataError(
                f"{path} needs {form} files with train, validation and test in their names, "
                f"found {listed(names)}"
            )
    elif not files:
        if not path.exists():
            raise DataError(f"there is no file {path}{nearest_file(path)}")
        files = {"train": [path]}
    tables = {split: [READERS[form](p) for p in paths] for split, paths in files.items()}
    for table in (table for of_split in tables.values() for table in of_split):
        if not len(table):
            raise DataError(f"{table.path} has no rows")
    return tables


def read_csv(path: Path) -> Table:
    """Table of a CSV file: a header, and fields separated by commas, quoted where needed."""
    return delimited(path, read_text(path), "csv")


def read_tsv(path: Path) -> Table:
    """Table of a TSV file: a header, and fields separated by tabs; quotes are characters."""
    return delimited(path, read_text(path), "tsv")


def delimited(path: Path, text: str, form: str) -> Table:
    """Table of the text of a CSV or TSV file; path: its name in messages."""
    # with newline="" the reader sees line ends inside quotes as they are
    reader = csv.reader(io.StringIO(text, newline=""), **DIALECTS[form])
    limit = csv.field_size_limit(sys.maxsize)  # a text may be long
    rows, numbers = [], []
    before = 0
    try:
        for row in reader:
            if row:  # not an empty line
                rows.append(row)
                numbers.append(before + 1)
            before = reader.line_num
    except csv.Error as error:
        raise DataError(f"line {before + 1} of {path} is not CSV: {error}") from None
    finally:
        csv.field_size_limit(limit)
    if not rows:
        raise DataError(f"{path} is empty; needs a header with the names of the columns")
    names = tuple(rows[0])
    if repeated := [name for name in names if names.count(name) > 1]:
        raise DataError(f"the header of {path} has the column {repeated[0]!r} twice")
    for row, number in zip(rows, numbers, strict=True):
        if len(row) != len(names):
            raise DataError(
                f"line {number} of {path} has {len(row)} fields, "
                f"but the header has {len(names)}: {', '.join(names)}"
            )
    columns = dict(zip(names, zip(*rows[1:], strict=True), strict=True)) if rows[1:] else {}
    return Table(path, names, "line", numbers[1:], lambda name: list(columns[name]))


def read_jsonl(path: Path) -> Table:
    """Table of a file with a JSON object in each line; a row may lack columns."""
    rows, numbers = [], []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"line {number} of {path} is not JSON: {error.msg}") from None
        if not isinstance(row, dict):
            raise DataError(f"line {number} of {path} is not a JSON object but {line.strip()[:40]}")
        rows.append(row)
        numbers.append(number)
    if not rows:
        raise DataError(f"{path} is empty; needs a JSON object in each line")
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    return Table(path, names, "line", numbers, lambda name: [row.get(name) for row in rows])


def read_parquet(path: Path) -> Table:
    """Table of a Parquet file."""
    from .arrow import parquet_table

    return parquet_table(path)


def read_arrow(path: Path) -> Table:
    """Table of an Arrow file or stream."""
    from .arrow import arrow_table

    return arrow_table(path)


READERS: dict[str, Callable[[Path], Table]] = {
    "csv": read_csv,
    "tsv": read_tsv,
    "jsonl": read_jsonl,
    "parquet": read_parquet,
    "arrow": read_arrow,
}
