"""The hypothesis of highest score, found and proven by depth-first branch and bound.

It measures what a beam search misses. Source: Stahlberg and Byrne, "On NMT Search Errors and Model
Errors: Cat Got Your Tongue?", 2019.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .beam_step import Open, expand
from .constraints import Limits, meet, restrict
from .problem import Inputs, Measure, Row, Settings, pose
from .scores import Normalize, coverage_terms, final_score, upper_bound


class ExactResult(NamedTuple):
    """The best hypothesis found.

    tokens: int32 [n], the end included. score: float. log_probs: float32 [n], of each token.
    optimal: whether no other one can have a higher score. nodes: how often the model was called.
    Where no hypothesis has any probability, the score is -inf, and n is 0.
    """

    tokens: np.ndarray
    score: float
    log_probs: np.ndarray
    optimal: bool
    nodes: int


class Children(NamedTuple):
    """All V continuations of a hypothesis [V], and what the model is called with next.

    scores: of those that end here. bounds: the highest score of what goes on.
    """

    log_probs: jax.Array
    totals: jax.Array
    scores: jax.Array
    bounds: jax.Array
    carry: Any
    covered: jax.Array | None


class Branch(NamedTuple):
    """A hypothesis, its log p's, its continuations, and which of them are left, the best last.

    met: bool [1, 1, R], which required tokens it has; None when none is required.
    """

    tokens: list[int]
    log_probs: list[float]
    children: Children
    left: list[int]
    met: np.ndarray | None


def exact_search(
    step_fn,
    parameters,
    carry,
    *,
    bos_id: int,
    eos_id: int,
    max_length: int,
    max_nodes: int = 100_000,
    memory: Any = None,
    normalize: Normalize = "gnmt",
    length_penalty: float = 0.0,
    coverage_penalty: float = 0.0,
    source_valid=None,
    min_length: int = 0,
    no_repeat_ngram: int = 0,
    prefix=None,
    banned=(),
    required=None,
) -> ExactResult:
    """Search one row for the hypothesis of highest score.

    All but max_nodes is as in nets.decoding.beam_search.beam_search, with B = K = 1. The most
    probable continuation is followed first, and one is left out when the upper bound of its scores
    is not above the best score found so far. After max_nodes calls of the model the best hypothesis
    so far is returned. ValueError: as there, and more than one row.
    """
    if max_nodes < 1:
        raise ValueError(f"max_nodes is {max_nodes}; the model is called at least once")
    settings, row, bos, source = pose(
        step_fn,
        Inputs(parameters, carry, bos_id, memory),
        Measure(normalize, length_penalty, coverage_penalty, source_valid),
        Limits(min_length, no_repeat_ngram, prefix, banned, required),
        eos_id=eos_id,
        max_length=max_length,
        return_attention=False,
    )
    if bos.shape != (1,):
        raise ValueError(f"one row is searched at a time, not {bos.shape[0]}")
    wanted, none_met = row.constraints.required, None
    if wanted is not None:
        required = np.asarray(wanted.tokens)
        none_met = (required < 0)[:, None]

    def branch(path, total, carry, covered, met) -> Branch:
        """Call the model on a hypothesis; met: what it had met before its last token."""
        tokens, log_probs = path
        if met is not None and tokens:
            met = meet(required, met, np.full((1, 1), tokens[-1]))
        written = np.zeros((1, 1, max_length), np.int32)
        written[0, 0, : len(tokens)] = tokens
        last = jnp.full((1, 1), tokens[-1] if tokens else bos[0])
        old = Open(last, jnp.full((1, 1), total), carry, jnp.asarray(written), covered, met)
        step = np.int32(len(tokens))
        found = expand_all(step_fn, no_repeat_ngram, settings, row, (step, old))
        found = Children(*jax.device_get(found[:4]), *found[4:])
        order = np.argsort(found.totals, kind="stable")
        going = order[(found.bounds[order] > -np.inf) & (order != eos_id)]
        left = going.tolist() if step + 1 < max_length else []
        return Branch(tokens, log_probs, found, left, met)

    def best_end(one: Branch) -> ExactResult:
        """Return the best hypothesis that ends with the next token."""
        log_probs, _, scores, *_ = one.children
        last = len(one.tokens) + 1 == max_length
        token = int(np.argmax(scores)) if last else eos_id
        return ExactResult(
            np.array([*one.tokens, token], np.int32),
            float(scores[token]),
            np.array([*one.log_probs, log_probs[token]], np.float32),
            optimal=True,
            nodes=0,
        )

    best = ExactResult(np.zeros(0, np.int32), -np.inf, np.zeros(0, np.float32), True, 0)
    nothing = jnp.zeros((1, 1, source)) if source else None
    carry = jax.tree.map(lambda leaf: leaf[:, None], carry)
    stack = [branch(([], []), 0.0, carry, nothing, none_met)]
    best, nodes = max(best, best_end(stack[0]), key=by_score), 1
    while stack:
        tokens, log_probs, children, left, met = stack[-1]
        if not left or children.bounds[left[-1]] <= best.score:
            stack.pop()
            continue
        if nodes == max_nodes:
            return best._replace(optimal=False, nodes=nodes)
        token = left.pop()
        nodes += 1
        path = ([*tokens, token], [*log_probs, children.log_probs[token]])
        total, carry, covered = children.totals[token], children.carry, children.covered
        stack.append(branch(path, total, carry, covered, met))
        best = max(best, best_end(stack[-1]), key=by_score)
    return best._replace(nodes=nodes)


def by_score(found: ExactResult) -> float:
    """Order of results; of equals `max` takes the first."""
    return found.score


@partial(jax.jit, static_argnums=(0, 1))
def expand_all(step_fn, no_repeat_ngram: int, settings: Settings, row: Row, loop) -> Children:
    """Call the model on one hypothesis, [1, 1]; loop: (step, Open)."""
    step, old = loop
    logits, carry, attention = expand(step_fn, settings, row, old)
    limits = {"step": step, "eos_id": settings.eos_id, "no_repeat_ngram": no_repeat_ngram}
    free = restrict(logits, row.constraints, (old.written, old.met), **limits)
    values = (free - logits.max() - jnp.log(jnp.exp(logits - logits.max()).sum()))[0, 0]
    log_probs = jnp.where(jnp.isnan(values), -jnp.inf, values)
    totals = old.totals[0, 0] + log_probs
    covered = old.covered if old.covered is None else old.covered + attention
    terms = coverage_terms(settings.scoring, covered, row.source_valid).reshape(())
    scores = final_score(settings.scoring, totals, step + 1, terms)
    bounds = upper_bound(settings.scoring, totals, step + 1)
    return Children(log_probs, totals, scores, bounds, carry, covered)
