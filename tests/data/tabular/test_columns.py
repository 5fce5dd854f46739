"""Columns as inputs: standardised numbers, one-hot categories, and their constants."""

import json

import numpy as np
import pytest

from data.catalogue import DataError
from data.tabular.columns import (
    CategoryColumn,
    NumberColumn,
    encode_rows,
    fit_column,
    fit_columns,
    from_values,
    parse_number,
    to_values,
)

PLACES = [f"line {i} of x.csv" for i in range(2, 8)]


def test_numbers_are_standardised_with_the_constants_of_the_training_rows():
    values = np.random.default_rng(0).normal(5, 3, 6)
    column = fit_column("a", [repr(x) for x in values.tolist()], PLACES)
    assert column == NumberColumn("a", values.mean(), values.std())
    trained = column.encode([repr(x) for x in values.tolist()], PLACES)
    assert trained.dtype == np.float32
    np.testing.assert_allclose([trained.mean(), trained.std()], [0, 1], atol=1e-6)
    held_out = column.encode(["1e1", "-2"], PLACES[:2])
    expected = (np.array([[10.0], [-2.0]]) - values.mean()) / values.std()
    np.testing.assert_allclose(held_out, expected, rtol=1e-6)


def test_a_constant_column_is_zero():
    column = fit_column("a", ["0.1"] * 6, PLACES)
    assert not column.encode(["0.1"] * 3, PLACES[:3]).any()
    np.testing.assert_allclose(column.encode(["1.1"], PLACES[:1]), [[1]])


def test_categories_are_one_hot_and_unseen_ones_zero():
    column = fit_column("colour", ["red", "blue", "red", "blue", "1", "red"], PLACES)
    assert column == CategoryColumn("colour", ("1", "blue", "red"))
    codes = column.encode(["red", "green", "1"], PLACES[:3])
    np.testing.assert_array_equal(codes, [[0, 0, 1], [0, 0, 0], [1, 0, 0]])


def test_columns_stand_side_by_side_and_survive_json():
    rows = [("1", "a"), ("3", "b"), ("1", "a"), ("3", "b")]
    columns = fit_columns(["x", "kind"], rows, PLACES[:4])
    expected = [[-1, 1, 0], [1, 0, 1], [-1, 1, 0], [1, 0, 1]]
    np.testing.assert_array_equal(encode_rows(columns, rows, PLACES[:4]), expected)
    assert from_values(json.loads(json.dumps(to_values(columns)))) == columns


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            ["1", "2", "1.2.3", "4", "5", "6"],
            "column a in line 4 of .* is '1.2.3', not a number",
        ),
        (list("pqrstu"), "6 of its 6 training texts differ, such as 'p' in line 2"),
    ],
)
def test_columns_of_neither_kind_are_refused(texts, message):
    with pytest.raises(DataError, match=message):
        fit_column("a", texts, PLACES)


def test_held_out_text_in_a_column_of_numbers_is_named():
    with pytest.raises(DataError, match=r"column a in line 3 of .* is 'two', not a number"):
        NumberColumn("a", 0.0, 1.0).encode(["1", "two"], PLACES[:2])


@pytest.mark.parametrize(
    ("text", "value"),
    [("-1.5e3", -1500.0), (".5", 0.5), ("1_000", None), ("inf", None), ("1e300", None)],
)
def test_numbers_are_those_of_files(text, value):
    assert parse_number(text) == value
