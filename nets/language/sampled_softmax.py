"""Sampled softmax: the sum over all words is estimated from a few sampled words.

Sources: Bengio and Senécal 2008; Jean, Cho, Memisevic and Bengio 2015, "On using very large target
vocabulary for neural machine translation".
"""

import jax
import jax.numpy as jnp
import numpy as np

from ..shapes import expand_to


def log_uniform_samples(key: jax.Array, count: int, vocabulary: int) -> jax.Array:
    """Draw int32 [count] ids below `vocabulary`, with replacement, from the log-uniform q.

    `log_uniform_log_prob` has its probabilities. They are close to the frequencies of words in a
    text when ids are frequency ranks (Zipf's law).
    """
    uniform = jax.random.uniform(key, (count,), jnp.float32)
    ids = jnp.exp(uniform * jnp.log(jnp.asarray(vocabulary, jnp.float32) + 1)).astype(jnp.int32) - 1
    return jnp.clip(ids, 0, vocabulary - 1)


def log_uniform_log_prob(ids: jax.Array, vocabulary: int) -> jax.Array:
    """Return log q(i) = log(log((i + 2) / (i + 1)) / log(V + 1)), float32, for int32 ids i >= 0."""
    total = jnp.log(jnp.asarray(vocabulary, jnp.float32) + 1)
    return jnp.log(jnp.log1p(1 / (ids.astype(jnp.float32) + 1)) / total)


def sampled_log_prob(
    target_scores: jax.Array,
    scores: jax.Array,
    targets: jax.Array,
    samples: jax.Array,
    log_q: jax.Array,
) -> jax.Array:
    """Estimate log P(target) [...] = s - log(exp(s) + sum_j exp(scores_j) / (S q_j)).

    target_scores: float32 [...], s. scores: float32 [..., S], of the words `samples` int32 [S],
    which are drawn with replacement from q; log_q: float32 [S]. targets: int32 [...]; a sample that
    is the target itself is left out. The sum over j is an unbiased estimate of the sum of
    exp(score) over all other words; the target is not sampled, so its score has no correction
    (Blanc and Rendle 2018). The gradient converges to that of the full softmax as S grows.
    """
    corrected = scores - expand_to(log_q, scores) - np.float32(np.log(len(samples)))
    hit = expand_to(samples, scores) == targets[..., None]
    others = jnp.where(hit, -jnp.inf, corrected)
    everything = jnp.concatenate([target_scores[..., None], others], axis=-1)
    return target_scores - jax.nn.logsumexp(everything, axis=-1)
