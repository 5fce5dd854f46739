"""Neural cache: words that followed states similar to the present one become more probable.

Source: Grave, Joulin and Usunier 2017, "Improving neural language models with a continuous cache".
"""

import jax
import jax.numpy as jnp
from flax import struct


class NeuralCache(struct.PyTreeNode):
    """The last N states of one text, float32 [N, H], and the word after each, int32 [N].

    The most recent one is last; words of entries that are still empty are -1.

    >>> cache = NeuralCache.empty(size=5, features=2)
    >>> states, words, thetas = jnp.ones((3, 2)), jnp.array([7, 8, 7]), jnp.array([0.0, 1.0])
    >>> log_p, cache = jax.jit(NeuralCache.read)(cache, states, words, thetas)
    >>> log_p.shape, cache.words.tolist()
    ((2, 3), [-1, -1, 7, 8, 7])
    """

    states: jax.Array
    words: jax.Array

    @classmethod
    def empty(cls, size: int, features: int) -> "NeuralCache":
        """Return an empty cache."""
        return cls(jnp.zeros((size, features), jnp.float32), jnp.full(size, -1, jnp.int32))

    def read(
        self, states: jax.Array, words: jax.Array, thetas: jax.Array
    ) -> tuple[jax.Array, "NeuralCache"]:
        """Return (log p_cache float32 [K, T] of words int32 [T], the cache after them).

        p_cache(w_t) is the sum of exp(theta h_t . h_i) 1[w_i = w_t] over the last N positions i
        before t, divided by that sum without 1[...]. states: float [T, H], h_t being the state
        before word t. thetas: float32 [K]. NaN where t has no predecessor. Reading a text in one
        call or in several gives the same values.
        """
        size, length = len(self.words), len(words)
        keys = jnp.concatenate([self.states, states])
        values = jnp.concatenate([self.words, words])
        age = size + jnp.arange(length)[:, None] - jnp.arange(size + length)[None]
        known = (age > 0) & (age <= size) & (values >= 0)[None]
        same = known & (values[None] == words[:, None])
        products = states @ keys.T

        def log_prob(theta: jax.Array) -> jax.Array:
            scores = jnp.where(known, theta * products, -jnp.inf)
            matching = jax.nn.logsumexp(jnp.where(same, scores, -jnp.inf), axis=1)
            return matching - jax.nn.logsumexp(scores, axis=1)

        return jax.vmap(log_prob)(thetas), NeuralCache(keys[-size:], values[-size:])


def interpolate_cache(log_p: jax.Array, log_cache: jax.Array, weights: jax.Array) -> jax.Array:
    """Return log((1 - weight) p + weight p_cache), float32 [L, K, T].

    log_p: float32 [T]. log_cache: float32 [K, T], NaN where the cache is empty; there the result is
    log p. weights: float32 [L], of the cache.
    """
    weights, log_p = weights[:, None, None], log_p[None, None]
    log_cache = log_cache[None]
    mixture = jnp.logaddexp(jnp.log1p(-weights) + log_p, jnp.log(weights) + log_cache)
    return jnp.where(jnp.isnan(log_cache), log_p, mixture)
