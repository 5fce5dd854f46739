"""Sampled softmax: the sum over all words is estimated from a few that are drawn.

Sources: Bengio and Senécal 2008; Jean, Cho, Memisevic and Bengio 2015, "On using very large target
vocabulary for neural machine translation".
"""

import jax
import jax.numpy as jnp


def log_uniform_samples(key, count: int, vocabulary: int):
    """Draw int32 [count] ids below `vocabulary`, with replacement, as `log_uniform_log_prob` says.

    Close to how often the words of a text occur when ids are ranks by frequency (Zipf's law).
    """
    uniform = jax.random.uniform(key, (count,))
    ids = jnp.exp(uniform * jnp.log(vocabulary + 1.0)).astype(jnp.int32) - 1
    return jnp.clip(ids, 0, vocabulary - 1)


def log_uniform_log_prob(ids, vocabulary: int):
    """Log q(i) = log(log((i + 2) / (i + 1)) / log(V + 1)), float32, for int32 ids i from 0."""
    return jnp.log(jnp.log1p(1 / (ids + 1.0)) / jnp.log(vocabulary + 1.0))


def sampled_log_prob(own, scores, targets, samples, log_q):
    """Estimate of log P(target) = own - log(exp(own) + sum_j exp(scores_j) / (S q_j)), [...].

    own: float32 [...], score of the target. targets: int32 [...]. scores: float32 [..., S], of
    `samples` int32 [S] drawn with replacement with probability q, log_q float32 [S]. A sample that
    is the target itself does not count. The sum over j estimates without bias the sum of exp(score)
    over all other words; the target is none of those drawn, and so has no correction (Blanc and
    Rendle 2018). The gradient tends to that of the whole softmax as S grows.
    """
    corrected = scores - log_q - jnp.log(len(samples))
    hit = samples == targets[..., None]
    others = jnp.where(hit, -jnp.inf, corrected)
    everything = jnp.concatenate([own[..., None], others], axis=-1)
    return own - jax.nn.logsumexp(everything, axis=-1)
