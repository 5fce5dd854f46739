"""What skip-gram minimises: -log P(word t | word i) over pairs in which i is in the window of t.

Each returns the sum over pairs, a scalar. pairs: float32 [B, I, C], 1 where word i of a block is in
the window of its word t. scores: float32 [B, I, ...], products of the vector of i with others.
"""

import jax
import jax.numpy as jnp

from nets.language.skipgram import path_log_probabilities


def softmax_nats(scores, pairs, targets):
    """P = exp(s_t) / sum_v exp(s_v), for scores [B, I, V] and targets int32 [B, C]."""
    logs = jax.nn.log_softmax(scores)
    return -(pairs * jnp.take_along_axis(logs, targets[:, None], axis=2)).sum()


def hierarchical_nats(scores, pairs, turns):
    """P is that of the path to t: scores [B, I, C * L] of its nodes, turns [B, C, L]."""
    paths = path_log_probabilities(scores.reshape(*pairs.shape, -1), turns[:, None])
    return -(pairs * paths).sum()


def noise_nats(scores, pairs, targets, noise, negatives: int):
    """-log sigmoid(s_t) - (k / N) sum_n [n is not t] log sigmoid(-s_n), for scores [B, I, C + N].

    The N noise words int32 [B, N] of a block stand for the k that each pair would draw by itself.
    """
    near, far = jnp.split(scores, [targets.shape[1]], axis=2)
    same = (targets[:, :, None] == noise[:, None]).astype(jnp.float32)
    counts = pairs.sum(axis=2, keepdims=True) - pairs @ same
    share = negatives / noise.shape[1]
    return (pairs * jax.nn.softplus(-near)).sum() + share * (counts * jax.nn.softplus(far)).sum()
