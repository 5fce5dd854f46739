"""The perceptron: mistakes on the boundary, its gradient, its wiring, and its count of updates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.feedforward.perceptron import Perceptron, is_mistake, perceptron_criterion, present


def test_a_sample_on_the_boundary_is_a_mistake_with_the_gradient_of_one():
    f, t = jnp.array([0.0, 0.0, 2.0, -2.0]), jnp.array([1.0, -1.0, 1.0, 1.0])
    np.testing.assert_array_equal(is_mistake(f, t), [True, True, False, True])
    np.testing.assert_array_equal(perceptron_criterion(f, t), [0, 0, 0, 2])
    slope = jax.grad(lambda f: perceptron_criterion(f, t).sum())(f)
    np.testing.assert_array_equal(slope, [-1, 1, 0, -1])


def test_associative_units_are_thresholds_of_a_few_signed_points():
    model = Perceptron(units=50, fan_in=6)
    x = np.random.default_rng(0).random((9, 400)).astype(np.float32)
    variables = model.init(jax.random.key(0), x)
    kernel, thresholds = (
        np.asarray(variables["wiring"]["associative"][name])
        for name in ("connections", "thresholds")
    )
    np.testing.assert_array_equal(np.abs(kernel).sum(axis=0), 6)
    assert set(np.unique(kernel)) == {-1, 0, 1}
    assert thresholds.min() > 0
    assert thresholds.max() <= 6**0.5 / 2
    phi = np.asarray(model.apply(variables, x, method="features"))
    np.testing.assert_array_equal(phi[:, :-1], x @ kernel >= thresholds)
    np.testing.assert_array_equal(phi[:, -1], 1)
    assert 0.05 < phi[:, :-1].mean() < 0.6
    assert jax.tree.map(jnp.shape, variables["params"]) == {"output": {"kernel": (51, 1)}}
    other = model.init(jax.random.key(1), x)["wiring"]["associative"]["connections"]
    assert not np.array_equal(other, kernel)


def test_units_that_read_more_points_than_there_are_are_refused():
    with pytest.raises(ValueError, match=r"fan_in is 6, but x \(1, 5\) has only 5 points"):
        Perceptron(units=2, fan_in=6).init(jax.random.key(0), jnp.zeros((1, 5)))


def test_only_training_counts_updates():
    model = Perceptron()
    x, t = jnp.ones((3, 2)), jnp.array([1.0, -1.0, 1.0])
    variables = model.init(jax.random.key(0), x)
    _, changed = model.apply(variables, x, t, train=True, mutable=["counts"])
    assert changed["counts"]["updates"] == 3
    _, changed = model.apply(variables, x, t, mutable=["counts"])
    assert changed["counts"]["updates"] == 0


def test_presenting_samples_equals_a_loop_in_numpy():
    rng = np.random.default_rng(0)
    phi = rng.integers(-4, 5, (60, 3)).astype(np.float32)
    t = rng.choice([-1.0, 1.0], 60).astype(np.float32)
    w, expected, mistakes = np.zeros(3, np.float32), [], []
    for sample, target in zip(phi, t, strict=True):
        mistakes.append(target * (sample @ w) <= 0)
        w = w + 0.5 * target * sample if mistakes[-1] else w
        expected.append(w)
    found = present(jnp.zeros(3), phi, t, 0.5)
    np.testing.assert_array_equal(found.weights, expected)
    np.testing.assert_array_equal(found.mistakes, mistakes)
