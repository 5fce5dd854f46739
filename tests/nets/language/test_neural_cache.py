"""The neural cache against its sum, at the bounds of windows and of the cache."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.language.neural_cache import Cache, mixed

WORDS, H = 4, 3
THETAS, SHARES = (0.0, 0.7, 2.0), (0.1, 0.6)


read = jax.jit(partial(Cache.read, thetas=np.array(THETAS, np.float32)))


@pytest.fixture(scope="module")
def text():
    """States and words of a text of 24 words."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(24, H)).astype(np.float32), rng.integers(0, WORDS, 24)


def p_cache(states, words, t, size, theta):
    """P of word t by the sum over the places before it, or None where there is none."""
    places = range(max(0, t - size), t)
    weights = [np.exp(theta * float(states[t] @ states[i])) for i in places]
    if not weights:
        return None
    return sum(w for w, i in zip(weights, places, strict=True) if words[i] == words[t]) / sum(
        weights
    )


@pytest.mark.parametrize(("size", "length"), [(5, 3), (5, 8), (40, 12)])
def test_cache_is_the_sum_over_the_last_words_across_windows(text, size, length):
    states, words = text
    cache, found = Cache.empty(size, H), []
    for start in range(0, 24, length):
        part = slice(start, start + length)
        logs, cache = read(cache, states[part], words[part])
        found.append(np.exp(logs))
    found = np.concatenate(found, axis=1)
    assert np.isnan(found[:, 0]).all()
    for k, theta in enumerate(THETAS):
        expected = [p_cache(states, words, t, size, theta) for t in range(1, 24)]
        np.testing.assert_allclose(found[k, 1:], expected, rtol=1e-5, atol=1e-7)
    held = [*[-1] * (size - 24), *words[-size:]]
    np.testing.assert_array_equal(cache.words, held)


def test_probabilities_of_all_words_sum_to_one(text):
    states, words = text
    _, before = read(Cache.empty(5, H), states[:8], words[:8])
    total = sum(
        np.exp(read(before, states[8:16], np.array([word, *words[9:16]]))[0][:, 0])
        for word in range(WORDS)
    )
    np.testing.assert_allclose(total, 1, rtol=1e-5)


def test_mixture_is_that_of_the_paper():
    log_p = jnp.log(jnp.array([0.2, 0.3, 0.4]))
    log_cache = jnp.array([[jnp.nan, -jnp.inf, jnp.log(0.9)], [jnp.nan, jnp.log(0.5), 0.0]])
    found = np.exp(jax.jit(mixed)(log_p, log_cache, jnp.array(SHARES)))
    for row, share in enumerate(SHARES):
        for k, cached in enumerate(([0.0, 0.9], [0.5, 1.0])):
            expected = (1 - share) * np.array([0.3, 0.4]) + share * np.array(cached)
            np.testing.assert_allclose(found[row, k], [0.2, *expected], rtol=1e-5)
