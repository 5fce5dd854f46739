"""Principal components, and linear classifiers."""

import numpy as np

from experiments.feedforward.linear import Components, linear_accuracy, principal_components

X = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32) * [3, 1, 2, 1, 1, 1] + 4


def test_the_error_of_components_is_the_variance_that_they_leave():
    scale = np.linalg.svd(X - X.mean(axis=0), compute_uv=False)
    for count in (1, 3, 6):
        found = principal_components(X, count)
        error = np.square(found.reconstruct(X) - X).sum()
        np.testing.assert_allclose(error, (scale[count:] ** 2).sum(), rtol=1e-4, atol=1e-6)
        assert found.code(X).shape == (50, count)


def test_components_are_the_same_after_a_round_trip():
    found = principal_components(X, 2)
    again = Components.from_bytes(found.to_bytes())
    for a, b in zip(found, again, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_linear_classifier_separates_what_is_linearly_separable():
    x = np.arange(40.0)[:, None]
    labels = (x[:, 0] > 19.5).astype(int)
    assert linear_accuracy(x[::2], labels[::2], x[1::2], labels[1::2]) > 0.9
    wrong = linear_accuracy(x[::2], labels[::2], x[1::2], 1 - labels[1::2])
    assert wrong < 0.1
