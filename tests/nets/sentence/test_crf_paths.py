"""The k best paths and samples of a random field, by enumeration of all paths."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from nets.sentence.crf_paths import k_best, sample_tags
from tests.nets.sentence.test_linear_crf import LENGTHS, B, K, T, random_chain, scores_of, with_nan


def test_the_k_best_paths_are_those_of_the_enumeration():
    chain = random_chain(0)
    tags, scores = jax.device_get(jax.jit(k_best, static_argnums=2)(with_nan(chain), LENGTHS, 5))
    assert tags.shape == (B, 5, T)
    for row, length in enumerate(LENGTHS):
        every = sorted(scores_of(chain, row, length).items(), key=lambda item: -item[1])[:5]
        for rank, (path, score) in enumerate(every):
            assert tags[row, rank].tolist() == [*path, *[0] * (T - length)]
            np.testing.assert_allclose(scores[row, rank], score, rtol=1e-5, atol=1e-5)
        assert (scores[row, len(every) :] == -np.inf).all()
        assert not tags[row, len(every) :].any()
    alone = chain._replace(transitions=None)
    zero = chain._replace(transitions=np.zeros((K, K), np.float32))
    for a, b in zip(k_best(alone, LENGTHS, 2), k_best(zero, LENGTHS, 2), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        k_best(chain, LENGTHS, 0)


@pytest.mark.parametrize("independent", [False, True])
def test_samples_have_the_probabilities_of_the_enumeration(independent):
    chain = random_chain(1, 0.7)
    if independent:
        chain = chain._replace(transitions=np.zeros((K, K), np.float32))
    given = with_nan(chain)._replace(transitions=None if independent else chain.transitions)
    keys = jax.random.split(jax.random.key(0), 4000)
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: sample_tags(given, LENGTHS, key)))(keys))
    for row, length in enumerate(LENGTHS):
        assert not drawn[:, row, length:].any()
        scores = scores_of(chain, row, length)
        p = np.exp(list(scores.values()))
        place = K ** np.arange(length)[::-1]
        counts = np.bincount(drawn[:, row, :length] @ place.astype(int), minlength=len(p))
        if length:
            assert stats.chisquare(counts, 4000 * p / p.sum()).pvalue > 1e-3
    assert jnp.shape(drawn) == (4000, B, T)
