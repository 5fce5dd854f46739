"""Neural cache: words that followed states like the present one are more probable.

Source: Grave, Joulin and Usunier 2017, "Improving neural language models with a continuous cache".
"""

import jax
import jax.numpy as jnp
from flax import struct


class Cache(struct.PyTreeNode):
    """The last N states of one text, float32 [N, H], and the word after each, int32 [N].

    The latest is last; -1 stands for a word where there was none yet.
    """

    states: jax.Array
    words: jax.Array

    @classmethod
    def empty(cls, size: int, features: int) -> "Cache":
        """Cache that holds nothing."""
        return cls(jnp.zeros((size, features)), jnp.full(size, -1, jnp.int32))

    def read(self, states, words, thetas) -> tuple[jax.Array, "Cache"]:
        """Return (log p_cache float32 [K, T] of T words int32 [T], the cache after them).

        p_cache(w_t) is the sum over the N places i before t of exp(theta h_t . h_i) 1[w_i = w_t]
        over that sum without 1[...]: states [T, H] stand before their words. thetas: float32 [K].
        NaN where nothing is before t. One call on a text and two on its parts give the same.
        """
        size, length = len(self.words), len(words)
        keys = jnp.concatenate([self.states, states])
        values = jnp.concatenate([self.words, words])
        age = size + jnp.arange(length)[:, None] - jnp.arange(size + length)
        known = (age > 0) & (age <= size) & (values >= 0)
        same = known & (values == words[:, None])
        products = states @ keys.T

        def log_prob(theta):
            scores = jnp.where(known, theta * products, -jnp.inf)
            found = jax.nn.logsumexp(jnp.where(same, scores, -jnp.inf), axis=1)
            return found - jax.nn.logsumexp(scores, axis=1)

        return jax.vmap(log_prob)(thetas), Cache(keys[-size:], values[-size:])


def mixed(log_p, log_cache, shares):
    """Log((1 - share) p + share p_cache), float32 [L, K, T].

    log_p: float32 [T]. log_cache: [K, T], NaN where there is no cache: log p alone. shares: [L].
    """
    shares = shares[:, None, None]
    both = jnp.logaddexp(jnp.log1p(-shares) + log_p, jnp.log(shares) + log_cache)
    return jnp.where(jnp.isnan(log_cache), log_p, both)
