"""The neural cache against its defining sum, at the limits of windows and of the cache."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.language.neural_cache import NeuralCache, interpolate_cache

WORDS, H = 4, 3
THETAS, WEIGHTS = (0.0, 0.7, 2.0), (0.1, 0.6)


read = jax.jit(partial(NeuralCache.read, thetas=np.array(THETAS, np.float32)))


@pytest.fixture(scope="module")
def text():
    """States and words of a text of 24 words."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(24, H)).astype(np.float32), rng.integers(0, WORDS, 24)


def p_cache(states, words, t, size, theta):
    """P of word t by the sum over the positions before it, or None if there are none."""
    positions = range(max(0, t - size), t)
    weights = [np.exp(theta * float(states[t] @ states[i])) for i in positions]
    if not weights:
        return None
    matching = sum(w for w, i in zip(weights, positions, strict=True) if words[i] == words[t])
    return matching / sum(weights)


@pytest.mark.parametrize(("size", "length"), [(5, 3), (5, 8), (40, 12)])
def test_cache_is_the_sum_over_the_last_words_across_windows(text, size, length):
    states, words = text
    cache, outputs = NeuralCache.empty(size, H), []
    for start in range(0, 24, length):
        window = slice(start, start + length)
        logs, cache = read(cache, states[window], words[window])
        outputs.append(np.exp(logs))
    actual = np.concatenate(outputs, axis=1)
    assert np.isnan(actual[:, 0]).all()
    for k, theta in enumerate(THETAS):
        expected = [p_cache(states, words, t, size, theta) for t in range(1, 24)]
        np.testing.assert_allclose(actual[k, 1:], expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(cache.words, [*[-1] * (size - 24), *words[-size:]])


def test_probabilities_of_all_words_sum_to_one(text):
    states, words = text
    _, cache = read(NeuralCache.empty(5, H), states[:8], words[:8])
    total = sum(
        np.exp(read(cache, states[8:16], np.array([word, *words[9:16]]))[0][:, 0])
        for word in range(WORDS)
    )
    np.testing.assert_allclose(total, 1, rtol=1e-5)


def test_mixture_matches_the_paper():
    log_p = jnp.log(jnp.array([0.2, 0.3, 0.4]))
    log_cache = jnp.array([[jnp.nan, -jnp.inf, jnp.log(0.9)], [jnp.nan, jnp.log(0.5), 0.0]])
    mixture = np.exp(jax.jit(interpolate_cache)(log_p, log_cache, jnp.array(WEIGHTS)))
    for row, weight in enumerate(WEIGHTS):
        for k, cached in enumerate(([0.0, 0.9], [0.5, 1.0])):
            expected = (1 - weight) * np.array([0.3, 0.4]) + weight * np.array(cached)
            np.testing.assert_allclose(mixture[row, k], [0.2, *expected], rtol=1e-5)
