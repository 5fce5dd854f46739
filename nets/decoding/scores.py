"""The score of a hypothesis, and the best one that its continuations can reach."""

import difflib
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

Normalize = Literal["none", "average", "gnmt"]

NEVER = 1e-30  # attention of a position that got none; its logarithm is finite


class Scoring(NamedTuple):
    """divisors, reach: float32 [L + 1], see scoring; coverage_penalty: scalar, None for none."""

    divisors: jax.Array
    reach: jax.Array
    coverage_penalty: jax.Array | None


def scoring(normalize: Normalize, length_penalty, coverage_penalty, max_length: int) -> Scoring:
    """Tables of the score of a hypothesis of 1 to max_length tokens.

    score = sum log p / lp(n) + beta sum_i log min(sum_t a_ti, 1) for n tokens, the end included.
    lp is 1 for "none", n for "average", ((5 + n) / 6)^alpha for "gnmt". alpha is length_penalty,
    beta coverage_penalty; a_ti is the attention of token t to position i of the source.
    Source: Wu et al., "Google's Neural Machine Translation System", 2016.

    The bound: each further token adds log p <= 0 to the sum S, and the coverage is at most 0. So
    whatever follows an open hypothesis of n tokens, its score at its final length m is at most
    S / lp(m), with n < m <= L. As S <= 0, this is largest where lp(m) is:
    score <= S / max over n < m <= L of lp(m), which is reach[n], for lp rising or falling.
    Each step of this holds for rounded numbers too, since rounding keeps the order. In a row with
    a limit of its own L is that limit. As each lp rises or falls all the way, the largest of
    lp(n + 1) to lp(L) is the first or the last of them.
    """
    lengths = jnp.arange(max_length + 1, dtype=jnp.float32)
    divisors = {
        "none": jnp.ones_like(lengths),
        "average": jnp.maximum(lengths, 1),
        "gnmt": ((5 + lengths) / 6) ** length_penalty,
    }[normalize]
    longer = jnp.append(divisors[1:], divisors[-1])
    return Scoring(divisors, jax.lax.cummax(longer, reverse=True), coverage_penalty)


def coverage_terms(scoring: Scoring, covered, source_valid):
    """What the coverage adds to the scores [B, K]; 0 without coverage penalty.

    covered: attention summed over tokens, [B, K, S]; source_valid: bool [B, S], false at padding;
    both None without coverage penalty.
    """
    if scoring.coverage_penalty is None:
        return jnp.zeros(())
    terms = jnp.log(jnp.clip(covered, NEVER, 1))
    terms = jnp.where(source_valid[:, None], terms, 0)
    return scoring.coverage_penalty * terms.sum(axis=-1)


def final_score(scoring: Scoring, totals, length, terms):
    """Score of hypotheses that end with `length` tokens, of their sums of log p and coverage."""
    return totals / scoring.divisors[length] + terms


def upper_bound(scoring: Scoring, totals, length, limits=None):
    """Highest score of any continuation of hypotheses open after `length` tokens: see scoring.

    totals: sums of log p, [B, K]. limits: int32 [B], the most tokens of a row; None for L.
    """
    if limits is None:
        return totals / scoring.reach[length]
    nearest = scoring.divisors[jnp.minimum(length + 1, limits)]
    return totals / jnp.maximum(nearest, scoring.divisors[limits])[:, None]


def check_scoring(normalize: str, length_penalty, coverage_penalty) -> None:
    """ValueError when there is no such score."""
    names = get_args(Normalize)
    if normalize not in names:
        near = difflib.get_close_matches(normalize, names, n=1, cutoff=0.0)
        raise ValueError(f"unknown normalize {normalize!r}; the nearest is {near[0]!r}")
    if normalize != "gnmt" and length_penalty != 0:
        raise ValueError(f"length_penalty is read by 'gnmt' alone, not by {normalize!r}")
    if coverage_penalty < 0:
        raise ValueError(f"coverage_penalty is {coverage_penalty}; it must be at least 0")
