"""Scores of hypotheses, and upper bounds on the scores of their continuations."""

import difflib
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from ..masking import is_concrete

Normalize = Literal["none", "average", "power", "gnmt"]

MIN_COVERAGE = 1e-30  # keeps the logarithm finite where a position received no attention


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("length_penalty", "coverage_penalty", "source_valid"),
    meta_fields=("normalize",),
)
@dataclass(frozen=True, kw_only=True, eq=False)
class Score:
    """How a search scores its hypotheses; `scoring` has the formula. A pytree.

    normalize: what divides the sum of log p; a static value. length_penalty: alpha, only with
    "gnmt" and "power". coverage_penalty: beta, at least 0; None or 0 for no coverage term.
    source_valid: bool [B, S], false at padding of the source, which needs no coverage; by default
    all positions are valid.
    """

    normalize: Normalize = "gnmt"
    length_penalty: float | Array = 0.0
    coverage_penalty: float | Array | None = None
    source_valid: ArrayLike | None = None

    @property
    def covers(self) -> bool:
        """Whether there is a coverage term; a value that is traced counts as one."""
        beta = self.coverage_penalty
        return beta is not None and (not is_concrete(beta) or bool(beta != 0))


class Scoring(NamedTuple):
    """Tables float32 [L + 1] that `scoring` makes; coverage_penalty: scalar, or None for none."""

    divisors: Array
    bound_divisors: Array
    coverage_penalty: float | Array | None


def scoring(score: Score, max_length: int) -> Scoring:
    """Make the tables that score hypotheses of 1 to max_length tokens.

        score = sum log p / lp(n) + beta sum_i log min(sum_t a_ti, 1)

    for n tokens, including the end. lp is 1 for "none", n for "average", n^alpha for "power",
    ((5 + n) / 6)^alpha for "gnmt". alpha is length_penalty, beta is coverage_penalty, and a_ti is
    the attention weight of token t on source position i.
    Source: Wu et al., "Google's Neural Machine Translation System", 2016.

    The bound: each further token adds log p <= 0 to the sum S, and the coverage term is at most 0.
    An open hypothesis of n tokens that ends with m tokens, n < m <= L, therefore scores at most
    S / lp(m). Since S <= 0, this is largest where lp(m) is largest, whether lp rises or falls:
    score <= S / bound_divisors[n], where bound_divisors[n] = max over n < m <= L of lp(m).
    Rounding is monotonic, so the bound also holds for rounded numbers. If a row has its own limit,
    L is that limit. Each lp is monotonic, so the largest of lp(n + 1) to lp(L) is the first or the
    last of them.
    """
    lengths = jnp.arange(max_length + 1, dtype=jnp.float32)
    alpha = jnp.asarray(score.length_penalty, jnp.float32)
    divisors = {
        "none": jnp.ones_like(lengths),
        "average": jnp.maximum(lengths, 1),
        "power": jnp.maximum(lengths, 1) ** alpha,
        "gnmt": ((5 + lengths) / 6) ** alpha,
    }[score.normalize]
    longer = jnp.append(divisors[1:], divisors[-1])
    beta = score.coverage_penalty if score.covers else None
    return Scoring(divisors, jax.lax.cummax(longer, reverse=True), beta)


def coverage_terms(scoring: Scoring, covered: Array | None, source_valid: Array | None) -> Array:
    """Coverage terms of the scores [B, K]; the scalar 0 without a coverage penalty.

    covered: attention summed over tokens, [B, K, S]. source_valid: bool [B, S], false at padding.
    Both are None without a coverage penalty.
    """
    if scoring.coverage_penalty is None or covered is None or source_valid is None:
        return jnp.zeros((), jnp.float32)
    terms = jnp.log(jnp.clip(covered, MIN_COVERAGE, 1))
    terms = jnp.where(source_valid[:, None], terms, 0)
    return scoring.coverage_penalty * terms.sum(axis=-1)


def final_score(scoring: Scoring, totals: Array, length: int | Array, terms: Array) -> Array:
    """Scores of hypotheses of `length` tokens from their sums of log p and coverage terms."""
    return totals / scoring.divisors[length] + terms


def upper_bound(
    scoring: Scoring, totals: Array, length: int | Array, max_lengths: Array | None = None
) -> Array:
    """Bound from above the score of any continuation of hypotheses of `length` tokens.

    See `scoring`. totals: sums of log p, [B, K]. max_lengths: int32 [B], the limit of each row;
    None when it is L for every row.
    """
    if max_lengths is None:
        return totals / scoring.bound_divisors[length]
    nearest = scoring.divisors[jnp.minimum(length + 1, max_lengths)]
    return totals / jnp.maximum(nearest, scoring.divisors[max_lengths])[:, None]


def check_score(score: Score) -> None:
    """Raise ValueError for an unknown normalize, an unused length or negative coverage penalty.

    Values are only checked where they are concrete.
    """
    names, alpha, beta = get_args(Normalize), score.length_penalty, score.coverage_penalty
    if score.normalize not in names:
        near = difflib.get_close_matches(score.normalize, names, n=1, cutoff=0.0)
        raise ValueError(f"unknown normalize {score.normalize!r}; the nearest is {near[0]!r}")
    uses = score.normalize in {"gnmt", "power"}
    if not uses and is_concrete(alpha) and alpha != 0:
        raise ValueError(
            f"only 'gnmt' and 'power' use length_penalty, but normalize is {score.normalize!r}"
        )
    if beta is not None and is_concrete(beta) and beta < 0:
        raise ValueError(f"coverage_penalty is {beta}; it must be at least 0")
