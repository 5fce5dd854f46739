"""Required tokens of a hypothesis, which are counted; `phrases` has required phrases.

`RequiredTokens` and `phrases.PhraseAutomaton` have the same methods, which beam search and exact
search call. The state of a hypothesis is what the class needs to know of its tokens.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..masking import is_concrete
from .values import check_tokens


class RequiredTokens(NamedTuple):
    """Slots of required tokens, int32 [B, R], -1 in unused ones, and the positions open to them.

    free: int32 [B, L], how many positions the prefix leaves free from each position on.
    forced: bool [B, L, R], true if the prefix itself fills the slot at or after a position.
    The state of a hypothesis is bool [R], which slots its tokens have filled.
    """

    tokens: Array
    free: Array
    forced: Array

    @property
    def banks(self) -> int:
        """Number of banks of beams, the most that a row has; see `allocate_beams`."""
        return self.tokens.shape[-1] + 1

    @property
    def row_banks(self) -> Array:
        """Number of banks of each row, [B, 1]."""
        return 1 + (self.tokens >= 0).sum(axis=-1, keepdims=True)

    def initial(self, beams: int) -> Array:
        """State [B, K, R] without any token; unused slots count as filled."""
        slots = self.tokens[:, None]
        return jnp.broadcast_to(slots < 0, (len(slots), beams, slots.shape[-1]))

    def advance(self, met: Any, tokens: Any) -> Any:
        """State after `tokens` [B, K]: each fills the first unfilled slot that it matches.

        All arrays are those of jax, or all those of numpy.
        """
        hits = ~met & (self.tokens[:, None] == tokens[..., None])
        return met | (hits & (hits.cumsum(axis=-1) == 1))

    def needed(self, met: Array) -> Array:
        """Bank of each hypothesis [B, K]: the number of tokens that it still needs."""
        return (~met).sum(axis=-1)

    def promote(self, values: Array, met: Array) -> Array:
        """Set values [B, K, V] to infinity at all tokens that lead to another bank."""
        return promote(values, self.tokens, ~met)

    def mask(self, logits: Array, met: Array, step: int | Array, eos_id: int) -> Array:
        """Set logits [B, K, V] to -inf where a required token would no longer fit.

        No hypothesis ends before it contains all of them. Where no more free positions are left
        than tokens are missing, only missing tokens may follow.
        """
        forced = lax.dynamic_index_in_dim(self.forced, step, axis=1)
        free = lax.dynamic_index_in_dim(self.free, step, axis=1)
        due = ~met & ~forced
        only_due = promote(jnp.full_like(logits, -jnp.inf), self.tokens, due)
        full = (due.sum(axis=-1) >= free)[..., None]
        masked = jnp.where(full, jnp.minimum(logits, only_due), logits)
        ends = jnp.where(met.all(axis=-1), masked[..., eos_id], -jnp.inf)
        return masked.at[..., eos_id].set(ends)


def promote(values: Array, tokens: Array, chosen: Array) -> Array:
    """Set values [B, K, V] to infinity at the chosen ones, bool [B, K, R], of tokens [B, R]."""
    rows, beams, _ = chosen.shape
    row, beam = jnp.arange(rows)[:, None, None], jnp.arange(beams)[None, :, None]
    # unused entries, -1, are never chosen, so any valid index serves for them
    valid = jnp.maximum(tokens, 0)[:, None]
    return values.at[row, beam, valid].max(jnp.where(chosen, jnp.inf, -jnp.inf))


def check_required(
    tokens: Any, vocabulary: int, eos_id: int, *, lengths: Any, banned: Array | None
) -> None:
    """Raise ValueError if `lengths` [B] tokens cannot include all required ones, [R] or [B, R]."""
    rows = len(lengths)
    if tokens.ndim not in (1, 2) or tokens.shape[:-1] not in ((), (rows,)):
        raise ValueError(f"required has shape {tokens.shape}; it must be (R,) or ({rows}, R)")
    if not is_concrete(tokens):
        return
    check_tokens("required", tokens[tokens != -1], vocabulary)
    if (tokens == eos_id).any():
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
    tokens: Array, prefix: Array | None, lengths: Any, max_length: int, eos_id: int
) -> RequiredTokens:
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
    return RequiredTokens(tokens, free, remaining >= equal.sum(axis=-1)[:, None])
