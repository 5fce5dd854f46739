"""Restricted Boltzmann machine: sums over the hidden units, and a loop over the statistics."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.feedforward.rbm import RBM, contrastive_divergence

VISIBLE, HIDDEN, BATCH = 4, 2, 5
GRID = np.linspace(-12, 12, 81)  # values of a hidden unit with Gaussian noise


def machine(linear):
    rng = np.random.default_rng(0)
    shapes = [(VISIBLE, HIDDEN), (HIDDEN,), (VISIBLE,)]
    return RBM(*(jnp.array(rng.normal(size=shape), jnp.float32) for shape in shapes), linear)


def energy(rbm, v, h):
    """E(v, h) as in the docstring of RBM."""
    w, c, b = (np.asarray(array, np.float64) for array in rbm[:3])
    hidden = ((h - c) ** 2).sum() / 2 if rbm.linear else -c @ h
    return -b @ v + hidden - v @ w @ h


@pytest.mark.parametrize("linear", [False, True])
def test_the_free_energy_sums_over_the_hidden_units(linear):
    rbm = machine(linear)
    values = GRID if linear else (0.0, 1.0)
    # the constant normalises the Gaussian of each linear unit
    measure = ((GRID[1] - GRID[0]) / np.sqrt(2 * np.pi)) ** HIDDEN if linear else 1.0
    free_energy = jax.jit(partial(RBM.free_energy, rbm))
    for v in [(0, 0, 0, 0), (1, 0, 1, 1), (0.2, 0.9, 0.0, 0.5)]:
        states = itertools.product(values, repeat=HIDDEN)
        total = sum(np.exp(-energy(rbm, np.array(v), np.array(h))) for h in states)
        found = free_energy(jnp.array([v], jnp.float32))
        np.testing.assert_allclose(found, -np.log(total * measure), atol=1e-4)


@pytest.mark.parametrize("linear", [False, True])
def test_the_gradient_is_the_difference_of_the_statistics(linear):
    rbm, key = machine(linear), jax.random.key(1)
    data = jax.random.uniform(jax.random.key(2), (BATCH, VISIBLE))

    @jax.jit
    @partial(jax.grad, has_aux=True)
    def gradient(arrays):
        loss, error = contrastive_divergence(RBM(*arrays, linear), data, key)
        return loss.sum(), error

    (kernel, hidden_bias, visible_bias), found_error = gradient(rbm[:3])
    w, c, b, v0 = (np.asarray(array, np.float64) for array in (*rbm[:3], data))
    if linear:
        drawn = c + v0 @ w + np.asarray(jax.random.normal(key, (BATCH, HIDDEN)))
    else:
        means = 1 / (1 + np.exp(-(c + v0 @ w)))
        drawn = np.asarray(jax.random.uniform(key, (BATCH, HIDDEN))) < means
        assert 0 < drawn.sum() < drawn.size  # both kinds occur
    statistics = [np.zeros_like(w), np.zeros_like(c), np.zeros_like(b)]
    error = np.zeros(BATCH)
    for n in range(BATCH):
        v1 = np.array([1 / (1 + np.exp(-(b[i] + w[i] @ drawn[n]))) for i in range(VISIBLE)])
        error[n] = ((v0[n] - v1) ** 2).sum()
        for v, sign in ((v0[n], 1), (v1, -1)):
            for j in range(HIDDEN):
                h = c[j] + v @ w[:, j]
                h = h if linear else 1 / (1 + np.exp(-h))
                statistics[0][:, j] += sign * v * h
                statistics[1][j] += sign * h
            statistics[2] += sign * v
    found = -np.asarray(kernel), -np.asarray(hidden_bias), -np.asarray(visible_bias)
    for a, expected in zip(found, statistics, strict=True):
        np.testing.assert_allclose(a, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found_error, error, rtol=1e-4)


def test_training_makes_the_data_more_probable():
    """The exact likelihood, by enumeration, of two patterns that are alternately present."""
    patterns = np.array([[1, 1, 0, 0], [0, 0, 1, 1]], np.float32)
    every = np.array(list(itertools.product((0, 1), repeat=VISIBLE)), np.float32)

    @jax.jit
    def log_likelihood(arrays):
        rbm = RBM(*arrays)
        log_partition = jax.nn.logsumexp(-rbm.free_energy(every))
        return (-rbm.free_energy(patterns) - log_partition).mean()

    @jax.jit
    def step(arrays, key):
        data = jnp.tile(patterns, (20, 1))
        gradient = jax.grad(lambda a: contrastive_divergence(RBM(*a), data, key)[0].mean())(arrays)
        return jax.tree.map(lambda a, g: a - 0.3 * g, arrays, gradient)

    arrays = tuple(0.1 * array for array in machine(linear=False)[:3])
    before = log_likelihood(arrays)
    for key in jax.random.split(jax.random.key(3), 300):
        arrays = step(arrays, key)
    after = log_likelihood(arrays)
    assert before < -2.5  # -log 16 = -2.77: every pattern alike
    assert after > -1.0  # at best -log 2 = -0.69
