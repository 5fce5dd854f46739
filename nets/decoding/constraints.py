"""Which tokens may follow a hypothesis.

The probabilities stay those of the model: tokens that may not follow are masked, and the rest is
not renormalised.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..masking import is_concrete
from .phrases import PhraseAutomaton, make_phrases, parse_phrases
from .required import RequiredTokens, check_required, make_required
from .values import Values, as_array, check_tokens


@partial(
    jax.tree_util.register_dataclass,
    data_fields=(
        "max_lengths",
        "prefix",
        "banned",
        "banned_phrases",
        "required",
        "required_phrases",
    ),
    meta_fields=("min_length", "no_repeat_ngram"),
)
@dataclass(frozen=True, kw_only=True, eq=False)
class Limits:
    """What the hypotheses of a search must and must not contain; a pytree.

    min_length: shorter hypotheses may not end. no_repeat_ngram: no n-gram of this order occurs
    twice; 0 for no limit. max_lengths: int [B], at most max_length: limits each row as if it were
    searched alone. prefix: int [B, P], the token forced at each position, -1 where it is free; it
    takes precedence over all other constraints. banned: token ids that are never generated, or a
    mask, bool [V] or [B, V]. banned_phrases: sequences of tokens that never occur, [R, P] or
    [B, R, P], ragged or padded with -1.
    required: token ids that every hypothesis must contain, in any order, as many times as they are
    given: int [R], or [B, R], -1 where a row needs fewer. required_phrases: sequences of tokens
    that every hypothesis must contain consecutively, with shapes as for banned_phrases. A phrase
    that is given n times must occur n times, and a required token is a phrase of length 1.
    Occurrences may overlap.

    Required tokens and phrases are guaranteed with any number of beams: a token may follow only if
    the others still fit within the maximum length and the banned tokens and phrases allow it. If a
    prefix leaves too little room, hypotheses contain as many of them as fit; if no_repeat_ngram
    blocks a missing one for good, there is no hypothesis. A row that has no room for all of them
    even without a prefix raises ValueError. Phrases must have concrete values also inside jit, and
    so must all other limits that accompany them; with required phrases, or required tokens
    and banned phrases, at most 8 different phrases and tokens can be required.
    """

    min_length: int = 0
    no_repeat_ngram: int = 0
    max_lengths: Values | None = None
    prefix: Values | None = None
    banned: Values = ()
    banned_phrases: Values = ()
    required: Values | None = None
    required_phrases: Values = ()


class Constraints(NamedTuple):
    """Constraints of each row, None where there is no constraint of that kind.

    banned: bool [B, V], true for tokens that may never follow. prefix: int32 [B, L], the token of a
    position, -1 where it is free. min_lengths: int32 [B], shorter hypotheses may not end.
    max_lengths: int32 [B], hypotheses of this many tokens have ended. lexical: required tokens,
    or required and banned phrases.
    """

    banned: Array | None
    prefix: Array | None
    min_lengths: Array | None
    max_lengths: Array | None
    lexical: RequiredTokens | PhraseAutomaton | None


def make_constraints(
    rows: int, vocabulary: int, max_length: int, eos_id: int, limits: Limits
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
    prefix = lengths = tokens = None
    lexical: RequiredTokens | PhraseAutomaton | None = None
    if limits.prefix is not None:
        prefix = padded_prefix(rows, vocabulary, max_length, limits.prefix)
    if limits.max_lengths is not None:
        lengths = row_lengths(rows, max_length, min_length, limits.max_lengths)
    row_limits = np.full(rows, max_length) if lengths is None else lengths
    if limits.required is not None:
        tokens = as_array(limits.required).astype(np.int32)
        check_required(tokens, vocabulary, eos_id, lengths=row_limits, banned=banned)
    phrases = [
        parse_phrases(name, getattr(limits, name), rows, vocabulary, eos_id)
        for name in ("required_phrases", "banned_phrases")
    ]
    if any(any(rows_phrases) for rows_phrases in phrases):
        if not is_concrete(row_limits, prefix, banned, tokens):
            raise ValueError("limits with phrases must have values when the search is compiled")
        if tokens is not None:
            alone = np.broadcast_to(tokens, (rows, tokens.shape[-1])).tolist()
            phrases[0] = [
                [*own, *((token,) for token in row if token >= 0)]
                for own, row in zip(phrases[0], alone, strict=True)
            ]
        lexical = make_phrases(
            *phrases,
            lengths=row_limits,
            prefix=np.full((rows, max_length), -1) if prefix is None else prefix,
            banned_tokens=np.zeros((rows, vocabulary), bool) if banned is None else banned,
            min_length=min_length,
            eos_id=eos_id,
        )
    elif tokens is not None:
        tokens = jnp.broadcast_to(tokens, (rows, tokens.shape[-1]))
        lexical = make_required(tokens, prefix, row_limits, max_length, eos_id)
    return Constraints(
        banned=None if banned is None else jnp.asarray(banned),
        prefix=None if prefix is None else jnp.asarray(prefix, jnp.int32),
        min_lengths=jnp.full(rows, min_length, jnp.int32) if min_length else None,
        max_lengths=None if lengths is None else jnp.asarray(lengths, jnp.int32),
        lexical=lexical,
    )


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


def banned_mask(rows: int, vocabulary: int, banned: Any) -> Any:
    """Return bool [B, V] from token ids, bool [V] or bool [B, V]; None when nothing is banned."""
    banned = as_array(banned)
    if banned.dtype == bool:
        if banned.shape not in ((vocabulary,), (rows, vocabulary)):
            shapes = f"{(vocabulary,)} or {(rows, vocabulary)}"
            raise ValueError(f"banned has shape {banned.shape}; it must be {shapes}")
        mask = banned
    elif not banned.size:
        return None
    else:
        check_tokens("banned", banned, vocabulary)
        mask = np.zeros(vocabulary, bool)
        mask[banned] = True
    broadcast = np.broadcast_to if is_concrete(mask) else jnp.broadcast_to
    return broadcast(mask, (rows, vocabulary))


def padded_prefix(rows: int, vocabulary: int, max_length: int, prefix: Any) -> Any:
    """Return int [B, L]: the prefix [B, P], padded with -1."""
    prefix = as_array(prefix)
    if prefix.ndim != 2 or prefix.shape[0] != rows or prefix.shape[1] > max_length:
        allowed = f"{(rows, max_length)} or fewer columns"
        raise ValueError(f"prefix has shape {prefix.shape}; it must be {allowed}")
    if is_concrete(prefix):
        check_tokens("prefix", prefix[prefix != -1], vocabulary)
    pad = np.pad if is_concrete(prefix) else jnp.pad
    return pad(prefix, ((0, 0), (0, max_length - prefix.shape[1])), constant_values=-1)


def mask_logits(
    logits: Array,
    constraints: Constraints,
    past: tuple[Any, Any],
    *,
    step: int | Array,
    eos_id: int,
    no_repeat_ngram: int,
) -> Array:
    """Set logits [B, K, V] to -inf at the tokens that may not follow at position `step`.

    A token that the prefix forces is allowed, whatever the other constraints. past: (written,
    lexical). written: the tokens so far, int32 [B, K, L], None if no_repeat_ngram is 0; see
    block_ngrams. lexical: the states of the hypotheses in constraints.lexical, None without it.
    """
    written, lexical = past
    masked = logits
    if constraints.banned is not None:
        masked = jnp.where(constraints.banned[:, None], -jnp.inf, masked)
    if no_repeat_ngram:
        masked = block_ngrams(masked, written, step, no_repeat_ngram)
    if constraints.min_lengths is not None:
        early = (step + 1 < constraints.min_lengths)[:, None]
        masked = masked.at[..., eos_id].set(jnp.where(early, -jnp.inf, masked[..., eos_id]))
    if constraints.lexical is not None:
        masked = constraints.lexical.mask(masked, lexical, step, eos_id)
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
    matches = jnp.broadcast_to(
        jnp.arange(windows, dtype=jnp.int32) + n <= step, (rows, beams, windows)
    )
    for i in range(n - 1):
        matches = matches & (written[..., i : i + windows] == last[..., i : i + 1])
    limit = jnp.where(matches, -jnp.inf, jnp.inf)
    row, beam = jnp.arange(rows)[:, None, None], jnp.arange(beams)[None, :, None]
    return logits.at[row, beam, written[..., n - 1 :]].min(limit)
