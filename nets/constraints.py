"""Which tokens may follow a hypothesis.

The probabilities stay the model's: what may not follow is left out, and nothing is renormalised.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


class Constraints(NamedTuple):
    """Limits row by row, None where there is no such limit.

    banned: bool [B, V], true where a token may never follow. prefix: int32 [B, L], the token of a
    position, -1 where it is free. min_lengths: int32 [B], shorter hypotheses may not end.
    """

    banned: jax.Array | None
    prefix: jax.Array | None
    min_lengths: jax.Array | None


def make_constraints(
    rows: int,
    vocabulary: int,
    max_length: int,
    *,
    banned,
    prefix,
    min_length: int,
    no_repeat_ngram: int,
) -> Constraints:
    """Constraints of `rows` rows.

    banned: token ids, or bool [V] or [B, V]. prefix: int [B, P] or None, P <= L, -1 where a
    position is free. ValueError: shapes, ids or lengths that do not fit.
    """
    if not 0 <= min_length <= max_length:
        raise ValueError(f"min_length is {min_length}; it must be 0 to max_length, {max_length}")
    if no_repeat_ngram < 0:
        raise ValueError(f"no_repeat_ngram is {no_repeat_ngram}; it must be at least 0")
    return Constraints(
        banned=banned_tokens(rows, vocabulary, banned),
        prefix=None if prefix is None else padded_prefix(rows, vocabulary, max_length, prefix),
        min_lengths=jnp.full(rows, min_length, jnp.int32) if min_length else None,
    )


def banned_tokens(rows: int, vocabulary: int, banned):
    """Bool [B, V] of token ids, bool [V] or bool [B, V]; None when nothing is banned."""
    banned = banned if isinstance(banned, jax.core.Tracer) else np.asarray(banned)
    if banned.dtype == bool:
        if banned.shape not in ((vocabulary,), (rows, vocabulary)):
            shapes = f"{(vocabulary,)} or {(rows, vocabulary)}"
            raise ValueError(f"banned has shape {banned.shape}; it must be {shapes}")
        return jnp.broadcast_to(banned, (rows, vocabulary))
    if not banned.size:
        return None
    check_tokens("banned", banned, vocabulary)
    mask = np.zeros(vocabulary, bool)
    mask[banned] = True
    return jnp.broadcast_to(mask, (rows, vocabulary))


def padded_prefix(rows: int, vocabulary: int, max_length: int, prefix):
    """Int32 [B, L]: the prefix [B, P], and -1 after it."""
    traced = isinstance(prefix, jax.core.Tracer)
    prefix = prefix if traced else np.asarray(prefix)
    if prefix.ndim != 2 or prefix.shape[0] != rows or prefix.shape[1] > max_length:
        allowed = f"{(rows, max_length)} or fewer columns"
        raise ValueError(f"prefix has shape {prefix.shape}; it must be {allowed}")
    if not traced:
        check_tokens("prefix", prefix[prefix != -1], vocabulary)
    room = ((0, 0), (0, max_length - prefix.shape[1]))
    return jnp.pad(jnp.asarray(prefix, jnp.int32), room, constant_values=-1)


def check_tokens(name: str, tokens: np.ndarray, vocabulary: int) -> None:
    """ValueError when a token is none of the vocabulary."""
    outside = tokens[(tokens < 0) | (tokens >= vocabulary)]
    if outside.size:
        raise ValueError(f"{name} token {outside[0]} is outside of the {vocabulary} tokens")


def restrict(logits, constraints: Constraints, written, *, step, eos_id, no_repeat_ngram: int):
    """Logits [B, K, V] with -inf at the tokens that may not come at position `step`.

    A token that the prefix forces is allowed whatever the other limits say. written: int32
    [B, K, L], the tokens so far, None when no_repeat_ngram is 0: see block_ngrams.
    """
    free = logits
    if constraints.banned is not None:
        free = jnp.where(constraints.banned[:, None], -jnp.inf, free)
    if no_repeat_ngram:
        free = block_ngrams(free, written, step, no_repeat_ngram)
    if constraints.min_lengths is not None:
        early = (step + 1 < constraints.min_lengths)[:, None]
        free = free.at[..., eos_id].set(jnp.where(early, -jnp.inf, free[..., eos_id]))
    if constraints.prefix is not None:
        token = lax.dynamic_index_in_dim(constraints.prefix, step, axis=1)[..., None]
        forced = jnp.where(jnp.arange(logits.shape[-1]) == token, logits, -jnp.inf)
        free = jnp.where(token < 0, free, forced)
    return free


def block_ngrams(logits, written, step, n: int):
    """Logits [B, K, V] with -inf at tokens that would repeat an n-gram of the `step` written ones.

    Source: Paulus et al., "A Deep Reinforced Model for Abstractive Summarization", 2017.
    """
    rows, beams, room = written.shape
    windows = room - n + 1
    if windows < 1:
        return logits
    # the n - 1 last tokens; before step n nothing has been seen that could come again
    last = lax.dynamic_slice_in_dim(written, step - (n - 1), n - 1, axis=-1)
    seen = jnp.broadcast_to(jnp.arange(windows) + n <= step, (rows, beams, windows))
    for i in range(n - 1):
        seen = seen & (written[..., i : i + windows] == last[..., i : i + 1])
    limit = jnp.where(seen, -jnp.inf, jnp.inf)
    row, beam = jnp.arange(rows)[:, None, None], jnp.arange(beams)[None, :, None]
    return logits.at[row, beam, written[..., n - 1 :]].min(limit)
