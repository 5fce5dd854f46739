"""Which tokens may follow a hypothesis.

The probabilities stay the model's: what may not follow is left out, and nothing is renormalised.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


class Limits(NamedTuple):
    """The limits of a search as its caller gives them: see nets.decoding.beam."""

    min_length: int
    no_repeat_ngram: int
    prefix: Any
    banned: Any
    required: Any
    max_lengths: Any = None


class Required(NamedTuple):
    """Tokens that must come, int32 [B, R], -1 for none, and the places that a prefix leaves them.

    room: int32 [B, L], free positions from each one on. given: bool [B, L, R], true where the
    prefix has the token itself at or after a position.
    """

    tokens: jax.Array
    room: jax.Array
    given: jax.Array


class Constraints(NamedTuple):
    """Limits row by row, None where there is no such limit.

    banned: bool [B, V], true where a token may never follow. prefix: int32 [B, L], the token of a
    position, -1 where it is free. min_lengths: int32 [B], shorter hypotheses may not end.
    max_lengths: int32 [B], what has as many tokens has ended. required: see Required.
    """

    banned: jax.Array | None
    prefix: jax.Array | None
    min_lengths: jax.Array | None
    max_lengths: jax.Array | None
    required: Required | None


def make_constraints(
    rows: int, vocabulary: int, max_length: int, eos_id, limits: Limits
) -> Constraints:
    """Constraints of `rows` rows.

    ValueError: shapes, ids or lengths that do not fit. Values are looked at where they are known,
    which those inside of a compiled program are not.
    """
    min_length, no_repeat_ngram, prefix, banned, required, lengths = limits
    if not 0 <= min_length <= max_length:
        raise ValueError(f"min_length is {min_length}; it must be 0 to max_length, {max_length}")
    if no_repeat_ngram < 0:
        raise ValueError(f"no_repeat_ngram is {no_repeat_ngram}; it must be at least 0")
    banned = banned_tokens(rows, vocabulary, banned)
    if prefix is not None:
        prefix = padded_prefix(rows, vocabulary, max_length, prefix)
    if lengths is not None:
        lengths = row_lengths(rows, max_length, min_length, lengths)
    if required is not None:
        tokens = as_array(required).astype(np.int32)
        most = np.full(rows, max_length) if lengths is None else lengths
        check_required(tokens, vocabulary, eos_id, lengths=most, banned=banned)
        tokens = jnp.broadcast_to(tokens, (rows, tokens.shape[-1]))
        required = places(tokens, prefix, most, max_length, eos_id)
    return Constraints(
        banned=banned,
        prefix=prefix,
        min_lengths=jnp.full(rows, min_length, jnp.int32) if min_length else None,
        max_lengths=None if lengths is None else jnp.asarray(lengths, jnp.int32),
        required=required,
    )


def known(*arrays) -> bool:
    """Whether the arrays have values, as those inside of a compiled program have not."""
    return not any(isinstance(array, jax.core.Tracer) for array in arrays)


def as_array(values):
    """Values in numpy where they are known."""
    return np.asarray(values) if known(values) else values


def row_lengths(rows: int, max_length: int, min_length: int, lengths):
    """Int [B]: the lengths, once they are found to fit."""
    lengths = as_array(lengths)
    if lengths.shape != (rows,):
        raise ValueError(f"max_lengths has shape {lengths.shape}; it must be {(rows,)}")
    least = max(min_length, 1)
    if known(lengths) and not ((least <= lengths) & (lengths <= max_length)).all():
        allowed = f"from 1 and min_length, {min_length}, to max_length, {max_length}"
        raise ValueError(f"max_lengths is {lengths.tolist()}; all must be {allowed}")
    return lengths


def check_required(tokens, vocabulary: int, eos_id, *, lengths, banned) -> None:
    """ValueError when no hypothesis of `lengths` [B] tokens can have these, [R] or [B, R]."""
    rows = len(lengths)
    if tokens.ndim not in (1, 2) or tokens.shape[:-1] not in ((), (rows,)):
        raise ValueError(f"required has shape {tokens.shape}; it must be (R,) or ({rows}, R)")
    if not known(tokens):
        return
    check_tokens("required", tokens[tokens != -1], vocabulary)
    if known(eos_id) and (tokens == eos_id).any():
        raise ValueError(f"required token {eos_id} is the end, which no other token follows")
    tokens = np.broadcast_to(tokens, (rows, tokens.shape[-1]))
    counts = (tokens != -1).sum(axis=1)
    if known(lengths) and (counts >= lengths).any():
        row = np.argmax(counts >= lengths)
        room = f"{lengths[row]} tokens with the end leave room for {lengths[row] - 1}"
        raise ValueError(f"row {row} has {counts[row]} required tokens; {room}")
    if banned is not None and known(banned):
        both = np.take_along_axis(np.asarray(banned), tokens, axis=1) & (tokens != -1)
        if both.any():
            raise ValueError(f"token {tokens[both][0]} is both banned and required")


def places(tokens, prefix, lengths, max_length: int, eos_id) -> Required:
    """Where there is room for the tokens [B, R], int32, in rows of `lengths` [B] tokens."""
    rows, slots = tokens.shape
    if prefix is None:
        prefix = jnp.full((rows, max_length), -1, jnp.int32)
    ended = jnp.cumsum(prefix == eos_id, axis=1) > 0
    within = ~ended & (jnp.arange(max_length) < jnp.asarray(lengths)[:, None])
    room = lax.cumsum(((prefix < 0) & within).astype(jnp.int32), axis=1, reverse=True)
    same = (prefix[..., None] == tokens[:, None]) & within[..., None]
    ahead = lax.cumsum(same.astype(jnp.int32), axis=1, reverse=True)
    # equal slots are met from the first on, so the prefix meets the last ones
    equal = (tokens[:, :, None] == tokens[:, None]) & jnp.triu(jnp.ones((slots, slots), bool))
    return Required(tokens, room, ahead >= equal.sum(axis=-1)[:, None])


def banned_tokens(rows: int, vocabulary: int, banned):
    """Bool [B, V] of token ids, bool [V] or bool [B, V]; None when nothing is banned."""
    banned = as_array(banned)
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
    prefix = as_array(prefix)
    if prefix.ndim != 2 or prefix.shape[0] != rows or prefix.shape[1] > max_length:
        allowed = f"{(rows, max_length)} or fewer columns"
        raise ValueError(f"prefix has shape {prefix.shape}; it must be {allowed}")
    if known(prefix):
        check_tokens("prefix", prefix[prefix != -1], vocabulary)
    room = ((0, 0), (0, max_length - prefix.shape[1]))
    return jnp.pad(jnp.asarray(prefix, jnp.int32), room, constant_values=-1)


def check_tokens(name: str, tokens: np.ndarray, vocabulary: int) -> None:
    """ValueError when a token is none of the vocabulary."""
    outside = tokens[(tokens < 0) | (tokens >= vocabulary)]
    if outside.size:
        raise ValueError(f"{name} token {outside[0]} is outside of the {vocabulary} tokens")


def restrict(logits, constraints: Constraints, past, *, step, eos_id, no_repeat_ngram: int):
    """Logits [B, K, V] with -inf at the tokens that may not come at position `step`.

    A token that the prefix forces is allowed whatever the other limits say. past: the tokens so
    far, int32 [B, K, L], None when no_repeat_ngram is 0, see block_ngrams; and which of the
    required ones these have met, bool [B, K, R], None when there is none, see keep_required.
    """
    written, met = past
    free = logits
    if constraints.banned is not None:
        free = jnp.where(constraints.banned[:, None], -jnp.inf, free)
    if no_repeat_ngram:
        free = block_ngrams(free, written, step, no_repeat_ngram)
    if constraints.min_lengths is not None:
        early = (step + 1 < constraints.min_lengths)[:, None]
        free = free.at[..., eos_id].set(jnp.where(early, -jnp.inf, free[..., eos_id]))
    if constraints.required is not None:
        free = keep_required(free, constraints.required, met, step, eos_id)
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


def keep_required(logits, required: Required, met, step, eos_id):
    """Logits [B, K, V] with -inf where a required token would be left out.

    No hypothesis ends before it has met them all. Where the free positions that are left are as
    many as the tokens that are missing, or fewer, only these may come.
    """
    given = lax.dynamic_index_in_dim(required.given, step, axis=1)
    room = lax.dynamic_index_in_dim(required.room, step, axis=1)
    due = ~met & ~given
    only = lift(jnp.full_like(logits, -jnp.inf), required, due)
    full = (due.sum(axis=-1) >= room)[..., None]
    free = jnp.where(full, jnp.minimum(logits, only), logits)
    return free.at[..., eos_id].set(jnp.where(met.all(axis=-1), free[..., eos_id], -jnp.inf))


def lift(values, required: Required, slots):
    """Values [B, K, V], infinite at the tokens of slots, bool [B, K, R]."""
    rows, beams, _ = slots.shape
    row, beam = jnp.arange(rows)[:, None, None], jnp.arange(beams)[None, :, None]
    # -1 becomes any token, since no slot without one is ever chosen
    tokens = jnp.maximum(required.tokens, 0)[:, None]
    return values.at[row, beam, tokens].max(jnp.where(slots, jnp.inf, -jnp.inf))


def meet(required, met, tokens):
    """Slots met once `tokens` [B, K] have come: of those still unmet the first one with the token.

    required: int [B, R]. met: bool [B, K, R], which slots were met before. In jax or in numpy.
    """
    hits = ~met & (required[:, None] == tokens[..., None])
    return met | (hits & (hits.cumsum(axis=-1) == 1))
