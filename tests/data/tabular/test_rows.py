"""Labelled rows: the sets of the iris flowers, and what is refused in a table."""

import numpy as np
import pytest

from data.catalogue import DataError
from data.tabular.rows import labels_of, load_rows

# the first test rows of TensorFlow's tutorial in the order of its file, with their classes
TUTORIAL = [("5.9", "3.0", "4.2", "1.5", 1), ("6.9", "3.1", "5.4", "2.1", 2)]


def write(path, header, rows):
    path.write_text("\n".join([header, *rows]) + "\n")
    return f"csv:{path}"


def flowers(rows):
    return {row.place for row in rows}


def test_the_iris_flowers_are_split_120_to_30():
    data = load_rows("iris")
    assert (data.names[0], data.classes[2]) == ("sepal length (cm)", "virginica")
    train, test = data.sets["train"], data.sets["test"]
    assert (len(flowers(train)), len(flowers(test))) == (120, 30)
    assert flowers(train).isdisjoint(flowers(test))
    assert np.bincount(labels_of(test)).tolist() == [8, 14, 8]
    assert {(*row.cells, row.label) for row in test} >= set(TUTORIAL)


def test_every_flower_is_in_one_fold_with_ten_of_each_species():
    folds = [load_rows("iris", fold=fold).sets for fold in range(5)]
    for sets in folds:
        assert np.bincount(labels_of(sets["test"])).tolist() == [10, 10, 10]
        assert len(flowers(sets["train"]) | flowers(sets["test"])) == 150
    assert len(set.union(*(flowers(sets["test"]) for sets in folds))) == 150
    assert folds[0] == load_rows("iris", fold=0).sets


def test_tables_are_read_with_the_last_or_a_named_column_as_label(tmp_path):
    rows = [f"{i}, {'red' if i % 3 else 'blue'} ,{'yes' if i % 2 else 'no'}" for i in range(60)]
    name = write(tmp_path / "x.csv", "number,colour,good", rows)
    data = load_rows(name)
    assert (data.names, data.classes) == (("number", "colour"), ("no", "yes"))
    assert sorted(data.sets) == ["test", "train", "validation"]
    found = {row for of_set in data.sets.values() for row in of_set}
    assert len(found) == 60
    for row in found:
        number = int(row.cells[0])
        assert row.cells[1] == ("red" if number % 3 else "blue")
        assert row.label == number % 2
        assert row.place == f"line {number + 2} of {tmp_path / 'x.csv'}"
    other = load_rows(name, "colour")
    assert (other.names, other.classes) == (("number", "good"), ("blue", "red"))


def test_files_named_train_and_test_are_the_sets(tmp_path):
    for split, count in {"train": 30, "test": 4}.items():
        rows = [f"{i}\t{'ab'[i % 2]}" for i in range(count)]
        (tmp_path / f"{split}.tsv").write_text("\n".join(["x\tclass", *rows]))
    sets = load_rows(f"tsv:{tmp_path}").sets
    assert len(sets["test"]) == 4
    assert len(sets["train"]) + len(sets["validation"]) == 30


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("x,y", ["1,a", "?,b"], "column x in line 3 of .* is missing: '\\?'"),
        ("x,y", ["1,a", "2,NA"], "column y in line 3 of .* is missing: 'NA'"),
        ("x,z,y", ["1,,a", "2,3,b"], "column z in line 2 of .* is missing: ''"),
        ("x,y", ["1,a", "nan,b"], "column x in line 3 of .* is missing: 'nan'"),
        ("x,y", ["1,a", "2,a"], "column y of .* has 1 class, needs two"),
        ("y", ["a", "b"], "has no columns besides the label y"),
        (",y", ["0,a", "1,b"], "has a column without a name"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(tmp_path, header, rows, message):
    with pytest.raises(DataError, match=message) as caught:
        load_rows(write(tmp_path / "x.csv", header, rows))
    assert "\n" not in str(caught.value)


def test_unknown_names_are_refused(tmp_path):
    name = write(tmp_path / "x.csv", "x,good", ["1,a", "2,b"])
    with pytest.raises(DataError, match=r"did you mean good\?"):
        load_rows(name, "god")
    with pytest.raises(DataError, match=r"did you mean iris\?"):
        load_rows("irs")
