import numpy as np
import pytest

from data.catalogue import DataError
from data.tabular.batches import EvaluationArrays, TrainingArrays


def test_batches_of_arrays_cover_every_row_once_per_epoch():
    arrays = {"x": np.arange(10), "y": np.arange(20).reshape(10, 2)}
    batches = TrainingArrays(arrays, 4, 3)
    rows = np.concatenate([batches(step)["x"] for step in range(5)])
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10))
    for step in range(3):
        batch = batches(step)
        np.testing.assert_array_equal(batch["y"], arrays["y"][batch["x"]])
    with pytest.raises(DataError, match="batch_size 11 is more than the 10"):
        TrainingArrays(arrays, 11, 0)
    with pytest.raises(ValueError, match="'y': 9"):
        TrainingArrays({"x": np.arange(10), "y": np.arange(9)}, 2, 0)


def test_evaluation_batches_of_arrays_pad_and_mask_the_last_one():
    arrays = {"x": np.arange(1, 6), "y": np.ones((5, 2, 3), np.float32)}
    first, second = EvaluationArrays(arrays, 3)
    np.testing.assert_array_equal(first["x"], [1, 2, 3])
    np.testing.assert_array_equal(second["x"], [4, 5, 0])
    np.testing.assert_array_equal(second["mask"], [1, 1, 0])
    assert second["y"].shape == (3, 2, 3)
    assert not second["y"][2].any()
