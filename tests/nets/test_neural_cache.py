"""The neural cache against its sum, at the bounds of windows and of the cache."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.neural_cache import Cache, mixed

WORDS, H = 4, 3
THETAS, SHARES = (0.0, 0.7, 2.0), (0.1, 0.6)


@pytest.fixture(scope="module")
def text():
    """States and words of a text of 23 words."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(23, H)).astype(np.float32), rng.integers(0, WORDS, 23)


def p_cache(states, words, t, size, theta):
    """P of word t by the sum over the places before it, or None where there is none."""
    places = range(max(0, t - size), t)
    weights = [np.exp(theta * float(states[t] @ states[i])) for i in places]
    if not weights:
        return None
    return sum(w for w, i in zip(weights, places, strict=True) if words[i] == words[t]) / sum(
        weights
    )


@pytest.mark.parametrize(("size", "lengths"), [(5, (3, 8, 1, 11)), (9, (23,)), (40, (16, 7))])
def test_cache_is_the_sum_over_the_last_words_across_windows(text, size, lengths):
    states, words = text
    cache, start, found = Cache.empty(size, H), 0, []
    for length in lengths:
        part = slice(start, start + length)
        logs, cache = cache.read(
            jnp.asarray(states[part]), jnp.asarray(words[part]), jnp.array(THETAS)
        )
        found.append(np.exp(logs))
        start += length
    found = np.concatenate(found, axis=1)
    assert np.isnan(found[:, 0]).all()
    for k, theta in enumerate(THETAS):
        expected = [p_cache(states, words, t, size, theta) for t in range(1, 23)]
        np.testing.assert_allclose(found[k, 1:], expected, rtol=1e-5, atol=1e-7)
    held = [*[-1] * (size - 23), *words[-size:]]
    np.testing.assert_array_equal(cache.words, held)


def test_probabilities_of_all_words_sum_to_one(text):
    states, words = map(jnp.asarray, text)
    _, before = Cache.empty(6, H).read(states[:9], words[:9], jnp.array(THETAS))
    total = sum(
        np.exp(before.read(states[9:10], jnp.array([word]), jnp.array(THETAS))[0])
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
