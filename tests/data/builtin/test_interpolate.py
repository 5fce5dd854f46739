import numpy as np
import pytest

from data.builtin.interpolate import interpolate


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_values_are_those_of_single_operations_to_the_last_bit(axis):
    rng = np.random.default_rng(0)
    image = rng.random((5, 3, 2)).astype(np.float32)
    positions = rng.uniform(-1, image.shape[axis], 16)  # also beyond both ends
    lines = np.moveaxis(image, axis, 0)
    expected = np.empty((16, *lines.shape[1:]), np.float32)
    for i, position in enumerate(np.clip(positions, 0, len(lines) - 1)):
        first, share = int(position), np.float32(position % 1)
        following = lines[min(first + 1, len(lines) - 1)]
        for place in np.ndindex(expected.shape[1:]):
            near, far = lines[first][place], following[place]
            expected[i][place] = near * (np.float32(1) - share) + far * share
    found = interpolate(image, positions, axis)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(np.moveaxis(found, axis, 0), expected)
