"""The widest margin, and the bound on a perceptron's updates."""

import numpy as np
import pytest
from sklearn.svm import SVC

from data.tabular.two_classes import points_with_margin
from experiments.feedforward.margin import updates_bound, widest_separator
from experiments.feedforward.perceptron_bound import updates_until_solved


def with_constant(x):
    return np.pad(x, [(0, 0), (0, 1)], constant_values=1)


def test_margin_of_two_points_is_known():
    # t phi are (3, 1) and (-1, -1); the point of their segment nearest to the origin is (1, -2) / 5
    found = widest_separator(with_constant(np.array([[3.0], [1.0]])), np.array([1.0, -1.0]))
    np.testing.assert_allclose(found.margin, 5**-0.5, rtol=1e-12)
    np.testing.assert_allclose(found.weights, np.array([1, -2]) * 5**-0.5, rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_margin_is_that_of_a_support_vector_machine(scale):
    data = points_with_margin(60, 0.05, 1)
    phi, t = scale * with_constant(data.x.astype(np.float64)), data.t
    # mirrored samples make the offset of the machine 0
    machine = SVC(kernel="linear", C=1e9 / scale**2, tol=1e-6)
    machine.fit(np.concatenate([phi, -phi]), np.concatenate([t, -t]))
    margin = 1 / np.linalg.norm(machine.coef_)
    assert widest_separator(phi, t).margin == pytest.approx(margin, rel=1e-3)


@pytest.mark.parametrize(
    ("x", "t"),
    [
        ([[-1, -1], [-1, 1], [1, -1], [1, 1]], [-1, 1, 1, -1]),
        ([[2, 3], [2, 3]], [1, -1]),
        ([[0], [1], [2]], [1, -1, 1]),
    ],
)
def test_data_without_a_margin_are_detected(x, t):
    assert widest_separator(with_constant(np.array(x, float)), np.array(t, float)) is None


def test_small_margins_are_found_up_to_the_limit():
    t = np.array([1.0, -1.0])
    for gap in (1e-2, 1e-4, 1e-6):
        phi = with_constant(np.array([[gap], [-gap]]))
        assert widest_separator(phi, t).margin == pytest.approx(gap, rel=1e-3)
    assert widest_separator(with_constant(np.array([[1e-9], [-1e-9]])), t) is None


def test_the_bound_holds_on_100_random_separable_sets():
    rng = np.random.default_rng(0)
    phi = rng.normal(size=(100, 12, 4)).astype(np.float32)
    t = np.sign(np.einsum("snm,sm->sn", phi, rng.normal(size=(100, 4)))).astype(np.float32)
    margins = [widest_separator(*pair).margin for pair in zip(phi, t, strict=True)]
    bounds = [updates_bound(*pair) for pair in zip(phi, margins, strict=True)]
    updates = updates_until_solved(phi, t, list(range(100)), 1.0)
    assert (updates >= 1).all()
    assert (updates <= bounds).all()
    assert (updates > 0.05 * np.array(bounds)).any()  # a bound of no use would be far above
