"""Mean: totals and weights against numpy, whatever the division into parts."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.task import Mean, merge

SIZE = 30


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    st.lists(st.tuples(st.floats(-100, 100, width=32), st.booleans()), min_size=1, max_size=SIZE),
    st.integers(0, SIZE),
)
def test_mean_is_that_of_numpy_for_any_division(pairs, cut):
    values, mask = np.full(SIZE, np.nan, np.float32), np.zeros(SIZE, np.float32)  # of one shape
    for i, (value, real) in enumerate(pairs):
        values[i], mask[i] = (value, 1) if real else (np.nan, 0)
    first = mask * (np.arange(SIZE) < cut)
    parts = [Mean.from_values(values, first), Mean.from_values(values, mask - first)]
    merged = merge({"a": parts[0]}, {"a": parts[1]})["a"]
    expected = values[mask > 0].mean() if mask.any() else 0.0
    np.testing.assert_allclose(float(merged.value), expected, rtol=1e-5, atol=1e-4)
    assert float(merged.weight) == mask.sum()


def test_mean_without_a_mask_counts_everything():
    mean = Mean.from_values(np.arange(6).reshape(2, 3))
    assert (float(mean.total), float(mean.weight)) == (15.0, 6.0)


def test_mean_of_means_would_be_another_number():
    whole = Mean.from_values(np.array([1.0, 1.0, 1.0, 5.0]))
    parts = Mean.from_values(np.array([1.0, 1.0, 1.0])), Mean.from_values(np.array([5.0]))
    assert float((parts[0] + parts[1]).value) == float(whole.value) == 2.0
    assert (float(parts[0].value) + float(parts[1].value)) / 2 == 3.0


def test_gradient_at_masked_values_is_zero_even_for_nan():
    values = np.array([1.0, np.nan, 3.0], np.float32)
    gradient = jax.grad(lambda v: Mean.from_values(v * v, np.array([1, 0, 1])).value)(values)
    assert np.isfinite(np.asarray(gradient)[[0, 2]]).all()
    empty = jax.grad(lambda v: Mean.from_values(v, np.zeros(3)).value)(np.ones(3, np.float32))
    np.testing.assert_array_equal(empty, 0.0)


def test_mask_of_another_shape_is_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"\(2,\).*\(2, 3\)"):
        Mean.from_values(np.ones((2, 3)), np.ones(2))
