"""The plane of the largest variance."""

import numpy as np

from experiments.common.plane import principal_components


def test_vectors_of_one_feature_have_a_second_coordinate_of_zero():
    points, fractions = principal_components(np.array([[1.0], [3.0], [8.0]]))
    np.testing.assert_allclose(points, [[-3, 0], [-1, 0], [4, 0]])
    np.testing.assert_allclose(fractions, [1, 0])
