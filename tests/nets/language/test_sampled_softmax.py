"""Sampled softmax: the formula, the proposal distribution, and the full softmax in the limit."""

import jax
import jax.numpy as jnp
import numpy as np

from nets.language.sampled_softmax import (
    log_uniform_log_prob,
    log_uniform_samples,
    sampled_log_prob,
)

V = 9


def test_estimate_matches_the_formula():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 2, (2, 3, 6))
    target_scores, q = rng.normal(0, 2, (2, 3)), rng.uniform(0.01, 0.4, 6)
    samples = np.array([4, 0, 4, 7, 1, 2])  # 4 twice
    targets = np.array([[4, 5, 0], [8, 7, 4]])
    arrays = map(jnp.asarray, (target_scores, scores, targets, samples, np.log(q)))
    estimate = jax.jit(sampled_log_prob)(*arrays)
    for index in np.ndindex(2, 3):
        total = np.exp(target_scores[index])
        for j, word in enumerate(samples):
            if word != targets[index]:
                total += np.exp(scores[index][j]) / (6 * q[j])
        expected = target_scores[index] - np.log(total)
        np.testing.assert_allclose(estimate[index], expected, rtol=1e-5)


def test_each_word_sampled_once_gives_the_full_softmax_and_its_gradient():
    scores = jnp.asarray(np.random.default_rng(0).normal(0, 2, (5, V)), jnp.float32)
    targets, everyone = jnp.array([0, 3, 8, 3, 1]), jnp.array([3, 1, 8, 0, 2, 7, 6, 5, 4])

    def full(scores):
        return jax.nn.log_softmax(scores)[jnp.arange(5), targets].sum()

    def sampled(scores):
        own, others = scores[jnp.arange(5), targets], scores[:, everyone]
        log_q = jnp.full(V, -jnp.log(V))
        return sampled_log_prob(own, others, targets, everyone, log_q).sum()

    expected, actual = (jax.jit(jax.value_and_grad(run))(scores) for run in (full, sampled))
    np.testing.assert_allclose(actual[0], expected[0], rtol=1e-5)
    np.testing.assert_allclose(actual[1], expected[1], atol=1e-6)


def test_log_uniform_is_a_distribution_and_samples_follow_it():
    draw = jax.jit(log_uniform_samples, static_argnums=(1, 2))
    log_q = jax.jit(log_uniform_log_prob)(jnp.arange(V), V)
    expected = np.log((np.arange(V) + 2) / (np.arange(V) + 1)) / np.log(V + 1)
    np.testing.assert_allclose(np.exp(log_q), expected, rtol=1e-5)
    np.testing.assert_allclose(expected.sum(), 1)
    draws = 100_000
    counts = np.bincount(draw(jax.random.key(0), draws, V), minlength=V)
    assert len(counts) == V
    deviation = np.sqrt(draws * expected * (1 - expected))
    assert (np.abs(counts - draws * expected) < 4 * deviation).all()
    large = draw(jax.random.key(1), draws, 100_000)
    assert large.min() == 0
    assert 90_000 < large.max() < 100_000


def test_gradient_converges_to_that_of_the_full_softmax():
    scores = jnp.asarray(np.random.default_rng(0).normal(size=(4, V)), jnp.float32)
    targets = jnp.array([0, 3, 8, 1])
    full = jax.grad(lambda s: jax.nn.log_softmax(s)[jnp.arange(4), targets].sum())
    expected = jax.jit(full)(scores)

    def error(count):
        def loss(scores, key):
            samples = log_uniform_samples(key, count, V)
            own, log_q = scores[jnp.arange(4), targets], log_uniform_log_prob(samples, V)
            return sampled_log_prob(own, scores[:, samples], targets, samples, log_q).sum()

        keys = jax.random.split(jax.random.key(0), 1000)
        gradients = jax.jit(jax.vmap(jax.grad(loss), (None, 0)))(scores, keys)
        return np.abs(np.asarray(gradients).mean(axis=0) - expected).max()

    few, many = error(2), error(200)
    assert few > 0.05
    assert many < 0.01
