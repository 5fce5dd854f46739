"""Two classes: points with a margin, small data sets, and files."""

import numpy as np
import pytest

from data.catalogue import DataError
from data.tabular.two_classes import FixedOrder, load_two_classes, points_with_margin, xor


def test_points_are_a_function_of_the_seed_and_keep_their_margin():
    data, again, other = (points_with_margin(101, 0.2, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(data.x, again.x)
    assert not np.array_equal(data.x, other.x)
    assert data.x.shape == (101, 2)
    assert np.abs(data.x).max() <= 1
    assert (data.t == 1).sum() == 51
    assert set(data.t) == {-1, 1}
    distances = np.linalg.norm(data.x[data.t > 0][:, None] - data.x[data.t < 0], axis=-1)
    assert distances.min() >= 0.4


def test_a_fixed_order_repeats_the_samples():
    data = xor()
    batches = FixedOrder(data, 3)
    np.testing.assert_array_equal(batches(1)["x"], data.x[[3, 0, 1]])
    np.testing.assert_array_equal(batches(1)["t"], data.t[[3, 0, 1]])
    with pytest.raises(DataError, match=r"config\.batch_size 5 is more than the 4"):
        FixedOrder(data, 5)


def test_digits_are_on_a_retina():
    data = load_two_classes("digits:3,8")
    assert data.x.shape == (357, 400)
    assert data.classes == ("3", "8")
    assert (data.t == 1).sum() == 174
    assert data.x.max() == 1
    image = data.x[0].reshape(20, 20)
    corners = image[np.ix_([0, 3, 5, 8], [0, 3, 5, 8])]  # pixels 0 to 3, each 2.5 points wide
    np.testing.assert_array_equal(image[:2, :2], image[0, 0])
    np.testing.assert_array_equal(corners, image[[0, 3, 5, 8]][:, [0, 3, 5, 8]])


def test_one_species_of_iris_is_against_the_rest():
    data = load_two_classes("iris:virginica")
    assert data.x.shape == (150, 4)
    np.testing.assert_array_equal(np.flatnonzero(data.t == 1), range(100, 150))


def test_rows_of_a_csv_file(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,label,b\n1,yes,2\n-3,no,.5\n0,yes,1e2\n")
    data = load_two_classes(f"csv:{path}")
    np.testing.assert_array_equal(data.x, np.array([[1, 2], [-3, 0.5], [0, 100]], np.float32))
    np.testing.assert_array_equal(data.t, [1, -1, 1])
    assert data.classes == ("no", "yes")


def test_a_folder_with_a_test_set_is_refused(tmp_path):
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_text("a,label\n1,x\n2,y\n")
    with pytest.raises(DataError, match="must be one set, which is split at random, not train, te"):
        load_two_classes(f"csv:{tmp_path}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,label\n1,x\n2,y\n3,z\n4,x\n5,y\n6,z\n", "has 3 classes; a perceptron separates two"),
        ("a,label\n1,x\nb,y\n", "column a in line 3 of .* is 'b', not a number"),
        ("a,label\n1,x\n1e99,y\n", "column a in line 3 of .* is '1e99', not a number"),
        ("a,label\n1,x\nnan,y\n", "column a in line 3 of .* is missing: 'nan'"),
    ],
)
def test_unusable_files_are_refused(text, message, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        load_two_classes(f"csv:{path}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("iris", "iris has three classes, and a perceptron separates two; name one of setosa"),
        ("iris:setos", r"\(did you mean setosa\?\)"),
        ("digits", "digits has ten classes, and a perceptron separates two"),
        ("digits:3,3", "got digits:3,3"),
        ("digits:3,10", "got digits:3,10"),
        ("nor", "available: points, xor, iris:CLASS, digits:A,B, csv:PATH"),
    ],
)
def test_other_data_sets_are_refused(name, message):
    with pytest.raises(DataError, match=message):
        load_two_classes(name)
