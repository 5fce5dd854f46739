"""Columns of a table as inputs: standardised numbers, and categories as one-hot vectors."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..catalogue import DataError

LARGEST = float(np.finfo(np.float32).max)
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def parse_number(text: str) -> float | None:
    """Return the number that a text is; None for other texts and beyond the range of float32."""
    value = float(text) if NUMBER.fullmatch(text) else None
    return value if value is not None and abs(value) <= LARGEST else None


@dataclass(frozen=True)
class NumberColumn:
    """(value - mean) / deviation, with the mean and standard deviation of the training rows.

    The deviation of a constant column is 1, so its training rows are 0.
    """

    name: str
    mean: float
    deviation: float

    @classmethod
    def fit(cls, name: str, values: np.ndarray) -> "NumberColumn":
        """Return the column with the constants of training values float64 [N]."""
        if np.ptp(values) == 0:  # rounding may otherwise leave a tiny deviation
            return cls(name, float(values[0]), 1.0)
        return cls(name, float(values.mean()), float(values.std()))

    def encode(self, texts: Sequence[str], places: Sequence[str]) -> np.ndarray:
        """Standardised values float32 [N, 1]; DataError for a text that is not a number."""
        values = [parse_number(text) for text in texts]
        for text, value, place in zip(texts, values, places, strict=True):
            if value is None:
                raise DataError(f"column {self.name} in {place} is {text!r}, not a number")
        standardised = (np.array(values, np.float64) - self.mean) / self.deviation
        return standardised[:, None].astype(np.float32)


@dataclass(frozen=True)
class CategoryColumn:
    """A one-hot vector over the categories of the training rows; any other category is zero."""

    name: str
    categories: tuple[str, ...]

    def encode(self, texts: Sequence[str], places: Sequence[str]) -> np.ndarray:
        """One-hot vectors float32 [N, categories]."""
        del places  # every text has a code
        return np.array([[text == c for c in self.categories] for text in texts], np.float32)


Column = NumberColumn | CategoryColumn


def fit_column(name: str, texts: Sequence[str], places: Sequence[str]) -> Column:
    """Return a column of numbers if all its training texts are numbers, else one of categories.

    places: where each text is, for messages. Raises DataError when most texts but not all are
    numbers, or when more than half of the texts of another column differ.
    """
    numbers = [parse_number(text) for text in texts]
    others = [i for i, number in enumerate(numbers) if number is None]
    if not others:
        return NumberColumn.fit(name, np.array(numbers, np.float64))
    if len(others) < len(texts) / 2:
        first = others[0]
        raise DataError(f"column {name} in {places[first]} is {texts[first]!r}, not a number")
    categories = tuple(sorted(set(texts)))
    if len(categories) > max(2, len(texts) // 2):
        raise DataError(
            f"column {name} has neither numbers nor categories: {len(categories)} of its "
            f"{len(texts)} training texts differ, such as {texts[0]!r} in {places[0]}"
        )
    return CategoryColumn(name, categories)


def fit_columns(
    names: Sequence[str], rows: Sequence[Sequence[str]], places: Sequence[str]
) -> tuple[Column, ...]:
    """Columns of training rows of texts in the order of `names`: see `fit_column`."""
    texts = zip(*rows, strict=True)
    return tuple(
        fit_column(name, column, places) for name, column in zip(names, texts, strict=True)
    )


def encode_rows(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], places: Sequence[str]
) -> np.ndarray:
    """Inputs float32 [N, D] of rows of texts in the order of the columns.

    places: where each row is, for messages. Raises DataError for a text that is not a number.
    """
    texts = zip(*rows, strict=True)
    parts = [column.encode(of, places) for column, of in zip(columns, texts, strict=True)]
    return np.concatenate(parts, axis=1)


def to_values(columns: Iterable[Column]) -> list[dict[str, Any]]:
    """Columns as values of JSON."""
    return [asdict(column) for column in columns]


def from_values(values: Iterable[Mapping[str, Any]]) -> tuple[Column, ...]:
    """Columns of `to_values`."""
    return tuple(
        CategoryColumn(value["name"], tuple(value["categories"]))
        if "categories" in value
        else NumberColumn(**value)
        for value in values
    )
