"""A table: rows with named columns, from a file that can name each of its rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..catalogue import DataError, nearest


@dataclass(frozen=True)
class Table:
    """Rows with the columns `names`; read(name) gives the values of a column.

    numbers: the place of each row in its file, in units of `unit`, "line" or "row", from 1.
    classes: names of the classes of the columns that the file describes as labels.
    """

    path: Path
    names: tuple[str, ...]
    unit: str
    numbers: Sequence[int]
    read: Callable[[str], list[Any]]
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.numbers)

    def place(self, index: int) -> str:
        """Where a row is, for messages."""
        return f"{self.unit} {self.numbers[index]} of {self.path}"

    def first_of(self, *names: str) -> str:
        """The first of some columns that is there; "" when none is."""
        return next((name for name in names if name in self.names), "")

    def require(self, *names: str) -> None:
        """Raise DataError unless the table has these columns."""
        missing = [name for name in names if name not in self.names]
        if missing:
            hint = nearest(missing[0], self.names)
            raise DataError(
                f"the columns of {self.path} are {', '.join(self.names)}; "
                f"needs {' and '.join(names)}{hint}"
            )

    def texts(self, name: str) -> list[str]:
        """Values of a column of text; DataError when one is missing or is no text."""
        self.require(name)
        values = self.read(name)
        for index, value in enumerate(values):
            if not isinstance(value, str):
                found = "is missing" if value is None else f"is {value!r}, not text"
                raise DataError(f"column {name} in {self.place(index)} {found}")
        return values
