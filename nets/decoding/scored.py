"""Samples with their log probabilities and lengths."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from .sampling import sampler
from .step_model import StepModel


class SampleResult(NamedTuple):
    """tokens int32 [B, L] and log_probs float32 [B, L], 0 after the end; lengths int32 [B]."""

    tokens: Array
    log_probs: Array
    lengths: Array


def sample_scored(model: StepModel, key: Array, *, length: int, **options: Any) -> SampleResult:
    """Sample as `sample` does, and also return log probabilities and lengths.

    The log probabilities are those of the model, without temperature and filters.
    """
    state, draw = sampler(model, scored=True, **options)
    _, (drawn, log_probs) = draw(state, jax.random.split(key, length))
    tokens = jnp.swapaxes(drawn, 0, 1)
    lengths = jnp.full(len(tokens), length, jnp.int32)
    if model.eos_id is not None:
        ended = jnp.cumsum(tokens == model.eos_id, axis=1, dtype=jnp.int32) > 0
        lengths = jnp.minimum(1 + (~ended).sum(axis=1, dtype=jnp.int32), length)
    return SampleResult(tokens, jnp.swapaxes(log_probs, 0, 1), lengths)
