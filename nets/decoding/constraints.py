"""Which tokens may follow a hypothesis.

The probabilities stay those of the model: tokens that may not follow are masked, and the rest is
not renormalised.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

Values = ArrayLike | Sequence[Any]  # any argument of `numpy.asarray`
AnyArray = TypeVar("AnyArray", Array, np.ndarray)


class Limits(NamedTuple):
    """Constraints as the caller passes them; see nets.decoding.beam_search."""

    min_length: int
    no_repeat_ngram: int
    prefix: Values | None
    banned: Values
    required: Values | None
    max_lengths: Values | None = None


class Required(NamedTuple):
    """Slots of required tokens, int32 [B, R], -1 in unused ones, and the positions open to them.

    free: int32 [B, L], how many positions the prefix leaves free from each position on.
    forced: bool [B, L, R], true if the prefix itself fills the slot at or after a position.
    """

    tokens: Array
    free: Array
    forced: Array


class Constraints(NamedTuple):
    """Constraints of each row, None where there is no constraint of that kind.

    banned: bool [B, V], true for tokens that may never follow. prefix: int32 [B, L], the token of a
    position, -1 where it is free. min_lengths: int32 [B], shorter hypotheses may not end.
    max_lengths: int32 [B], hypotheses of this many tokens have ended. required: see Required.
    """

    banned: Array | None
    prefix: Array | None
    min_lengths: Array | None
    max_lengths: Array | None
    required: Required | None


def make_constraints(
    rows: int, vocabulary: int, max_length: int, eos_id: int | Array, limits: Limits
) -> Constraints:
    """Convert the limits to the constraints of `rows` rows.

    Raises ValueError for shapes, ids or lengths that do not fit. Values are only checked outside of
    jit, where they are concrete.
    """
    min_length, no_repeat_ngram = limits.min_length, limits.no_repeat_ngram
    if not 0 <= min_length <= max_length:
        raise ValueError(f"min_length is {min_length}; it must be 0 to max_length, {max_length}")
    if no_repeat_ngram < 0:
        raise ValueError(f"no_repeat_ngram is {no_repeat_ngram}; it must be at least 0")
    banned = banned_mask(rows, vocabulary, limits.banned)
    prefix = lengths = required = None
    if limits.prefix is not None:
        prefix = padded_prefix(rows, vocabulary, max_length, limits.prefix)
    if limits.max_lengths is not None:
        lengths = row_lengths(rows, max_length, min_length, limits.max_lengths)
    if limits.required is not None:
        tokens = as_array(limits.required).astype(np.int32)
        row_limits = np.full(rows, max_length) if lengths is None else lengths
        check_required(tokens, vocabulary, eos_id, lengths=row_limits, banned=banned)
        tokens = jnp.broadcast_to(tokens, (rows, tokens.shape[-1]))
        required = make_required(tokens, prefix, row_limits, max_length, eos_id)
    return Constraints(
        banned=banned,
        prefix=prefix,
        min_lengths=jnp.full(rows, min_length, jnp.int32) if min_length else None,
        max_lengths=None if lengths is None else jnp.asarray(lengths, jnp.int32),
        required=required,
    )


def is_concrete(*arrays: Any) -> bool:
    """Whether the arrays have values, unlike the tracers of a program being compiled."""
    return not any(isinstance(array, jax.core.Tracer) for array in arrays)


def as_array(values: Any) -> Any:
    """Convert concrete values to numpy; return tracers unchanged."""
    return np.asarray(values) if is_concrete(values) else values


def row_lengths(rows: int, max_length: int, min_length: int, lengths: Any) -> Any:
    """Check the limits int [B] and return them as an array."""
    lengths = as_array(lengths)
    if lengths.shape != (rows,):
        raise ValueError(f"max_lengths has shape {lengths.shape}; it must be {(rows,)}")
    least = max(min_length, 1)
    if is_concrete(lengths) and not ((least <= lengths) & (lengths <= max_length)).all():
        allowed = f"from 1 and min_length, {min_length}, to max_length, {max_length}"
        raise ValueError(f"max_lengths is {lengths.tolist()}; all must be {allowed}")
    return lengths


def check_required(
    tokens: Any, vocabulary: int, eos_id: int | Array, *, lengths: Any, banned: Array | None
) -> None:
    """Raise ValueError if `lengths` [B] tokens cannot include all required ones, [R] or [B, R]."""
    rows = len(lengths)
    if tokens.ndim not in (1, 2) or tokens.shape[:-1] not in ((), (rows,)):
        raise ValueError(f"required has shape {tokens.shape}; it must be (R,) or ({rows}, R)")
    if not is_concrete(tokens):
        return
    check_tokens("required", tokens[tokens != -1], vocabulary)
    if is_concrete(eos_id) and (tokens == eos_id).any():
        raise ValueError(f"required token {eos_id} is the end, which no other token follows")
    tokens = np.broadcast_to(tokens, (rows, tokens.shape[-1]))
    counts = (tokens != -1).sum(axis=1)
    if is_concrete(lengths) and (counts >= lengths).any():
        row = np.argmax(counts >= lengths)
        room = f"{lengths[row]} tokens with the end leave room for {lengths[row] - 1}"
        raise ValueError(f"row {row} has {counts[row]} required tokens; {room}")
    if banned is not None and is_concrete(banned):
        both = np.take_along_axis(np.asarray(banned), tokens, axis=1) & (tokens != -1)
        if both.any():
            raise ValueError(f"token {tokens[both][0]} is both banned and required")


def make_required(
    tokens: Array, prefix: Array | None, lengths: Any, max_length: int, eos_id: int | Array
) -> Required:
    """Count the positions that are free for tokens int32 [B, R] in rows of `lengths` [B] tokens."""
    rows, slots = tokens.shape
    if prefix is None:
        prefix = jnp.full((rows, max_length), -1, jnp.int32)
    ended = jnp.cumsum(prefix == eos_id, axis=1) > 0
    within = ~ended & (jnp.arange(max_length) < jnp.asarray(lengths)[:, None])
    free = lax.cumsum(((prefix < 0) & within).astype(jnp.int32), axis=1, reverse=True)
    same = (prefix[..., None] == tokens[:, None]) & within[..., None]
    remaining = lax.cumsum(same.astype(jnp.int32), axis=1, reverse=True)
    # of slots with the same token the first is met first, so the prefix fills the last ones
    equal = (tokens[:, :, None] == tokens[:, None]) & jnp.triu(jnp.ones((slots, slots), bool))
    return Required(tokens, free, remaining >= equal.sum(axis=-1)[:, None])


def banned_mask(rows: int, vocabulary: int, banned: Any) -> Array | None:
    """Return bool [B, V] from token ids, bool [V] or bool [B, V]; None when nothing is banned."""
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


def padded_prefix(rows: int, vocabulary: int, max_length: int, prefix: Any) -> Array:
    """Return int32 [B, L]: the prefix [B, P], padded with -1."""
    prefix = as_array(prefix)
    if prefix.ndim != 2 or prefix.shape[0] != rows or prefix.shape[1] > max_length:
        allowed = f"{(rows, max_length)} or fewer columns"
        raise ValueError(f"prefix has shape {prefix.shape}; it must be {allowed}")
    if is_concrete(prefix):
        check_tokens("prefix", prefix[prefix != -1], vocabulary)
    padding = ((0, 0), (0, max_length - prefix.shape[1]))
    return jnp.pad(jnp.asarray(prefix, jnp.int32), padding, constant_values=-1)


def check_tokens(name: str, tokens: np.ndarray, vocabulary: int) -> None:
    """Raise ValueError if a token is not in the vocabulary."""
    outside = tokens[(tokens < 0) | (tokens >= vocabulary)]
    if outside.size:
        raise ValueError(
            f"{name} token {outside[0]} is outside the vocabulary of {vocabulary} tokens"
        )


def mask_logits(
    logits: Array,
    constraints: Constraints,
    past: tuple[Any, Any],
    *,
    step: int | Array,
    eos_id: int | Array,
    no_repeat_ngram: int,
) -> Array:
    """Set logits [B, K, V] to -inf at the tokens that may not follow at position `step`.

    A token that the prefix forces is allowed, whatever the other constraints. past: (written, met).
    written: the tokens so far, int32 [B, K, L], None if no_repeat_ngram is 0; see block_ngrams.
    met: bool [B, K, R], which slots of `Required` the hypothesis has filled, None if there are
    none; see reserve_required.
    """
    written, met = past
    masked = logits
    if constraints.banned is not None:
        masked = jnp.where(constraints.banned[:, None], -jnp.inf, masked)
    if no_repeat_ngram:
        masked = block_ngrams(masked, written, step, no_repeat_ngram)
    if constraints.min_lengths is not None:
        early = (step + 1 < constraints.min_lengths)[:, None]
        masked = masked.at[..., eos_id].set(jnp.where(early, -jnp.inf, masked[..., eos_id]))
    if constraints.required is not None:
        masked = reserve_required(masked, constraints.required, met, step, eos_id)
    if constraints.prefix is not None:
        token = lax.dynamic_index_in_dim(constraints.prefix, step, axis=1)[..., None]
        forced = jnp.where(jnp.arange(logits.shape[-1]) == token, logits, -jnp.inf)
        masked = jnp.where(token < 0, masked, forced)
    return masked


def block_ngrams(logits: Array, written: Array, step: int | Array, n: int) -> Array:
    """Set logits [B, K, V] to -inf at tokens that would repeat an n-gram of the tokens so far.

    Source: Paulus et al., "A Deep Reinforced Model for Abstractive Summarization", 2017.
    """
    rows, beams, length = written.shape
    windows = length - n + 1
    if windows < 1:
        return logits
    # the last n - 1 tokens; before step n there is no complete n-gram to repeat
    last = lax.dynamic_slice_in_dim(written, step - (n - 1), n - 1, axis=-1)
    matches = jnp.broadcast_to(jnp.arange(windows) + n <= step, (rows, beams, windows))
    for i in range(n - 1):
        matches = matches & (written[..., i : i + windows] == last[..., i : i + 1])
    limit = jnp.where(matches, -jnp.inf, jnp.inf)
    row, beam = jnp.arange(rows)[:, None, None], jnp.arange(beams)[None, :, None]
    return logits.at[row, beam, written[..., n - 1 :]].min(limit)


def reserve_required(
    logits: Array, required: Required, met: Array, step: int | Array, eos_id: int | Array
) -> Array:
    """Set logits [B, K, V] to -inf where a required token would no longer fit.

    No hypothesis ends before it contains all of them. Where no more free positions are left than
    tokens are missing, only missing tokens may follow.
    """
    forced = lax.dynamic_index_in_dim(required.forced, step, axis=1)
    free = lax.dynamic_index_in_dim(required.free, step, axis=1)
    due = ~met & ~forced
    only_due = promote(jnp.full_like(logits, -jnp.inf), required, due)
    full = (due.sum(axis=-1) >= free)[..., None]
    masked = jnp.where(full, jnp.minimum(logits, only_due), logits)
    return masked.at[..., eos_id].set(jnp.where(met.all(axis=-1), masked[..., eos_id], -jnp.inf))


def promote(values: Array, required: Required, slots: Array) -> Array:
    """Set values [B, K, V] to infinity at the tokens of the chosen slots, bool [B, K, R]."""
    rows, beams, _ = slots.shape
    row, beam = jnp.arange(rows)[:, None, None], jnp.arange(beams)[None, :, None]
    # unused slots, -1, are never chosen, so any valid index serves for them
    tokens = jnp.maximum(required.tokens, 0)[:, None]
    return values.at[row, beam, tokens].max(jnp.where(slots, jnp.inf, -jnp.inf))


def update_met(required: AnyArray, met: AnyArray, tokens: AnyArray) -> AnyArray:
    """Return which slots are met after `tokens` [B, K]: each fills the first unmet slot it matches.

    required: int [B, R]. met: bool [B, K, R], the slots met before. All in jax or all in numpy.
    """
    hits = ~met & (required[:, None] == tokens[..., None])
    return met | (hits & (hits.cumsum(axis=-1) == 1))
