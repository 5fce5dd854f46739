"""Labelled rows of text: the iris flowers, and the user's own tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..catalogue import DataError, unknown_dataset
from ..forms.labels import read_labels
from ..forms.readers import load_tables
from ..forms.splits import complete
from ..forms.table import Table

FORMS = ("csv:PATH", "tsv:PATH")
MISSING = ("", "na", "n/a", "nan", "null", "?")  # in lower case
FOLDS = 5  # of the iris flowers
# test set of TensorFlow's tutorial for iris, by the order of the flowers in scikit-learn
TUTORIAL = (
    {0, 13, 20, 23, 24, 32, 33, 39}
    | {53, 61, 62, 66, 72, 74, 79, 82, 85, 86, 88, 89, 91, 97}
    | {102, 103, 108, 113, 121, 133, 139, 144}
)


class Row(NamedTuple):
    """Texts of the columns, where the row is, for messages, and the index of the class."""

    cells: tuple[str, ...]
    place: str
    label: int


@dataclass(frozen=True)
class RowSets:
    """Rows by set: train, test, and possibly validation; names of the columns and the classes."""

    names: tuple[str, ...]
    classes: tuple[str, ...]
    sets: Mapping[str, Sequence[Row]]


def labels_of(rows: Sequence[Row]) -> np.ndarray:
    """Class of each row, int32 [N]."""
    return np.array([row.label for row in rows], np.int32)


def load_rows(name: str, label: str = "", fold: int = -1) -> RowSets:
    """Rows of a dataset: `iris`, `csv:PATH` or `tsv:PATH`.

    label: column of the classes of a table, by default the last one. fold: that of `load_iris`.
    Raises DataError when there is no such dataset, when a value is missing, or when the rows do not
    have several classes.
    """
    form, _, rest = name.partition(":")
    if name == "iris":
        return load_iris(fold)
    if rest and f"{form}:PATH" in FORMS:
        return read_rows(form, rest, label)
    raise unknown_dataset(name, FORMS, ("iris",))


def load_iris(fold: int = -1) -> RowSets:
    """The 150 iris flowers of Fisher 1936, in scikit-learn's copy: four lengths, three species.

    The test set has 30 flowers, the training set the other 120. With fold -1 it is that of
    TensorFlow's tutorial. Otherwise a random order of each species, the same in every run, is cut
    into five parts, and the test set is part `fold` of each.
    """
    from sklearn import datasets  # loads slowly

    data = datasets.load_iris()
    test = TUTORIAL
    if fold >= 0:
        rng = np.random.default_rng(0)
        orders = [rng.permutation(np.flatnonzero(data.target == c)) for c in range(3)]
        test = {i for order in orders for i in np.array_split(order, FOLDS)[fold].tolist()}
    texts = [tuple(map(str, lengths)) for lengths in data.data.tolist()]
    rows = [
        Row(cells, f"flower {i + 1}", label)
        for i, (cells, label) in enumerate(zip(texts, data.target.tolist(), strict=True))
    ]
    sets = {
        "train": [row for i, row in enumerate(rows) if i not in test],
        "test": [row for i, row in enumerate(rows) if i in test],
    }
    return RowSets(tuple(data.feature_names), tuple(data.target_names.tolist()), sets)


def read_rows(form: str, path: str, label: str = "") -> RowSets:
    """Rows of tables with a header; form: csv or tsv; label: the column of the classes.

    Sets that are missing are made by a hash of the row: see `complete`. Raises DataError.
    """
    tables = load_tables(form, path)
    header = next(iter(tables.values()))[0].names
    label = label or header[-1]
    names = tuple(name for name in header if name != label)
    if not names:
        raise DataError(f"{path} has no columns besides the label {label}")
    cells = {
        split: [row for table in of_split for row in cells_of(table, names, label)]
        for split, of_split in tables.items()
    }
    classes, labels = read_labels(tables, label)
    rows = {
        split: [Row(*row, index) for row, index in zip(cells[split], labels[split], strict=True)]
        for split in tables
    }
    sets = complete(rows, lambda row: "\t".join((*row.cells, classes[row.label])), path)
    return RowSets(names, classes, sets)


def cells_of(table: Table, names: Sequence[str], *others: str) -> list[tuple[tuple[str, ...], str]]:
    """Texts of the columns `names` of each row, without blanks around them, and where the row is.

    Raises DataError when one of these columns or of the `others` is not there, or has a missing
    value, and when a column has no name.
    """
    if "" in table.names:
        raise DataError(f"the header of {table.path} has a column without a name")
    table.require(*names, *others)
    cells = {name: [text.strip() for text in table.texts(name)] for name in (*names, *others)}
    for name, texts in cells.items():
        for i, text in enumerate(texts):
            if text.lower() in MISSING:
                raise DataError(f"column {name} in {table.place(i)} is missing: {text!r}")
    rows = zip(*(cells[name] for name in names), strict=True)
    return [(row, table.place(i)) for i, row in enumerate(rows)]
