"""The most probable path of connectionist temporal classification, with its score.

Shapes and conventions are those of `nets.ctc.loss`.
"""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from .checks import checked_logits
from .loss import frame_log_probs


def ctc_best_path(
    logits: ArrayLike, lengths: ArrayLike | None, blank_id: int = 0
) -> tuple[Array, Array]:
    """Return the most probable path, int32 [B, T], blanks at padding, and its log p float32 [B].

    `ctc_greedy` returns the labels that the path spells; they are at least as probable as the path.
    """
    logits, lengths = checked_logits(logits, lengths, blank_id)
    log_probs = frame_log_probs(logits, lengths, blank_id)
    path = jnp.argmax(log_probs, axis=2).astype(jnp.int32)
    return path, log_probs.max(axis=2).sum(axis=1)
