"""Support vector machines and ridge regression of the published detector."""

import numpy as np

from experiments.image.published_detector import (
    Ridge,
    Windows,
    answers,
    fit_ridge,
    fit_svm,
    regression_of,
)
from nets.image.boxes import decode


def test_ridge_without_penalty_recovers_a_linear_map():
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(50, 6)), rng.normal(size=(6, 4))
    targets = x @ weights + [1, 2, 3, 4]
    np.testing.assert_allclose(fit_ridge(x, targets, 1e-9)(x), targets, atol=1e-5)
    # with a large penalty the answer is the mean
    np.testing.assert_allclose(fit_ridge(x, targets, 1e12)(x)[0], targets.mean(axis=0), atol=1e-5)


def test_ridge_minimises_its_objective():
    rng = np.random.default_rng(1)
    x, targets = rng.normal(size=(30, 3)), rng.normal(size=(30, 4)) @ rng.normal(size=(4, 4))
    fit = fit_ridge(x, targets, 5.0)
    whitened = (targets - fit.centre) @ np.linalg.inv(fit.colour)
    np.testing.assert_allclose(whitened.T @ whitened / 30, np.eye(4), atol=1e-6)

    def objective(weights):
        return ((whitened - (x - fit.mean) @ weights) ** 2).sum() + 5 * (weights**2).sum()

    for _ in range(10):
        change = 1e-2 * rng.normal(size=fit.weights.shape)
        assert objective(fit.weights) < objective(fit.weights + change)


def images(rng, count=6):
    """The first window of each image is its object; the others are far away."""
    made = []
    for _ in range(count):
        features = rng.normal(size=(20, 5)) + np.eye(20, 1) * 6 * np.eye(1, 5)
        overlap = np.eye(20, 1)
        objects = np.array([[10.0, 10, 30, 40]])
        made.append(Windows(features, np.repeat(objects, 20, 0), overlap, objects, np.array([1])))
    return made


def test_the_machine_separates_objects_from_other_windows():
    made = images(np.random.default_rng(0))
    machine = fit_svm(made, 1, 1.0, 0)
    scores = np.stack([machine.decision_function(image.features) for image in made])
    assert (scores[:, 0] > scores[:, 1:].max()).all()
    assert fit_svm(made, 0, 1.0, 0) is None  # no object of the class


def test_the_regression_moves_windows_onto_objects():
    rng = np.random.default_rng(0)
    objects = np.array([[10.0, 10, 30, 40]])
    windows = objects + rng.uniform(-2, 2, (40, 4))
    features = np.concatenate([windows, rng.normal(size=(40, 2))], axis=1)
    image = Windows(features, windows, np.full((40, 1), 0.8), objects, np.array([1]))
    ridge = regression_of([image], 1, 1e-3)
    moved = np.asarray(decode(windows, ridge(features)))
    assert np.abs(moved - objects).max() < 0.3 * np.abs(windows - objects).max()
    assert regression_of([image], 0, 1.0) is None


def test_boxes_without_regression_are_the_windows():
    image = images(np.random.default_rng(0), 1)[0]
    machines = {0: None, 1: fit_svm([image], 1, 1.0, 0)}
    shift = Ridge(np.zeros(5), np.zeros((5, 4)), np.eye(4), np.array([0.5, 0, 0, 0]))
    found = answers(image, machines, {0: None, 1: shift}, (100, 100), 0.3)
    assert (found["svm"].boxes == image.windows).all()
    assert (found["svm, ridge"].boxes[0] == image.windows).all()
    np.testing.assert_allclose(found["svm, ridge"].boxes[1][0], [20, 10, 40, 40], atol=1e-4)
