"""A column of labels as classes."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..catalogue import DataError, nearest
from .files import listed
from .table import Table


def read_labels(
    splits: Mapping[str, Sequence[Table]], column: str
) -> tuple[tuple[str, ...], dict[str, list[int]]]:
    """Names of the classes, and the class of each row of each split, by a column of labels.

    The names are those that the file declares, else the different values of the training rows, in
    order (whole numbers by value). Raises DataError for a label that is missing, is not a class, or
    does not occur in training, for fewer than two classes, and when most labels differ.
    """
    for table in (table for tables in splits.values() for table in tables):
        table.require(column)
    first = splits["train"][0] if splits.get("train") else next(iter(splits.values()))[0]
    if column in first.classes:
        names = first.classes[column]
        index = {str(i): i for i in range(len(names))} | {name: i for i, name in enumerate(names)}
        hint = f"; the classes are 0 to {len(names) - 1}: {listed(names)}"
    else:
        values = [_class_name(table, column) for table in splits.get("train", [])]
        labels = [name for of_table in values for name in of_table]
        found = set(labels)
        whole = all(name.removeprefix("-").isdecimal() for name in found)
        names = tuple(sorted(found, key=int) if whole else sorted(found))
        if len(names) > max(2, len(labels) // 2):
            raise DataError(
                f"the labels in column {column} of {first.path} are not classes: "
                f"{len(names)} of {len(labels)} differ"
            )
        index = {name: i for i, name in enumerate(names)}
        hint = f"; the classes are {listed(names)}"
    if len(names) < 2:
        raise DataError(f"column {column} of {first.path} has {len(names)} class, needs two")
    indices: dict[str, list[int]] = {}
    for split, tables in splits.items():
        indices[split] = []
        for table in tables:
            for row, name in enumerate(_class_name(table, column)):
                if name not in index:
                    near = nearest(name, names)
                    raise DataError(f"label {name!r} in {table.place(row)} is no class{near}{hint}")
                indices[split].append(index[name])
    return names, indices


def _class_name(table: Table, column: str) -> list[str]:
    """Labels of a table as names of classes; DataError for one that cannot be a class."""
    names = []
    for row, value in enumerate(table.read(column)):
        whole: Any = int(value) if isinstance(value, float) and value.is_integer() else value
        if not isinstance(whole, str | int) or whole == "":
            found = "is missing" if whole in (None, "") else f"is {whole!r}, not a class"
            raise DataError(f"the label in {table.place(row)} {found}")
        names.append(str(whole).strip())
    return names
