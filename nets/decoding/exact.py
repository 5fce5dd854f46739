"""The hypothesis of highest score, by depth-first branch and bound with a proof of optimality.

It measures the search errors of beam search. Source: Stahlberg and Byrne, "On NMT Search Errors and
Model Errors: Cat Got Your Tongue?", 2019.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from .beam_step import Active, add_attention, expand
from .constraints import Limits, mask_logits
from .problem import LIMITS, SCORE, RowData, Settings, make_problem
from .scores import Score, coverage_terms, final_score, upper_bound
from .step_model import StepModel, map_rows


class ExactResult(NamedTuple):
    """The best hypothesis that the search visited.

    tokens: int32 [n], including the end. score: float. log_probs: float32 [n], of each token.
    optimal: whether it is proven that no other hypothesis scores higher. nodes: number of model
    calls. If no hypothesis has a positive probability, the score is -inf and n is 0.
    """

    tokens: np.ndarray
    score: float
    log_probs: np.ndarray
    optimal: bool
    nodes: int


class Children(NamedTuple):
    """All V continuations of a hypothesis, [V], and the inputs of the next call of the model.

    scores: of continuations that end here. bounds: upper bounds for those that do not.
    """

    log_probs: Array
    totals: Array
    scores: Array
    bounds: Array
    carry: Any
    covered: Array | None


class Branch(NamedTuple):
    """A hypothesis, its log p, its children, and the tokens still to explore, the best last.

    lexical: its state in `Constraints.lexical`, or None.
    """

    tokens: list[int]
    log_probs: list[float]
    children: Children
    unexplored: list[int]
    lexical: np.ndarray | None


def exact_search(
    model: StepModel,
    *,
    max_length: int,
    score: Score = SCORE,
    limits: Limits = LIMITS,
    max_nodes: int = 100_000,
) -> ExactResult:
    """Find the hypothesis of highest score in one row, and prove that it is the best.

    The arguments other than max_nodes are those of nets.decoding.beam_search with B = K = 1. The
    most probable continuation is explored first. A continuation is pruned if the upper bound of its
    scores is not above the best score so far. After max_nodes calls of the model the search returns
    the best hypothesis so far, with optimal False. Raises ValueError for the same options as
    beam_search, for max_nodes below 1, and for more than one row.
    """
    if max_nodes < 1:
        raise ValueError(f"max_nodes is {max_nodes}; it must be at least 1")
    settings, row, bos, source = make_problem(model, score, limits, max_length)
    if bos.shape != (1,):
        raise ValueError(f"exact_search takes one row at a time, got {bos.shape[0]}")
    eos_id, no_repeat_ngram = model.end, limits.no_repeat_ngram
    # numpy advances the states faster than jax, which would dispatch many operations
    lexical = jax.device_get(row.constraints.lexical)
    initial = None if lexical is None else np.asarray(lexical.initial(1))

    def branch(
        path: tuple[list[int], list[float]],
        total: ArrayLike,
        carry: Any,
        covered: Array | None,
        state: Any,
    ) -> Branch:
        """Call the model on a hypothesis; state: lexical, before its last token."""
        tokens, log_probs = path
        if lexical is not None and tokens:
            state = lexical.advance(state, np.full((1, 1), tokens[-1]))
        written = np.zeros((1, 1, max_length), np.int32)
        written[0, 0, : len(tokens)] = tokens
        last = jnp.full((1, 1), tokens[-1] if tokens else bos[0], jnp.int32)
        old = Active(
            last, jnp.full((1, 1), total, jnp.float32), carry, jnp.asarray(written), covered, state
        )
        step = np.int32(len(tokens))
        children = expand_all(no_repeat_ngram, settings, row, (step, old))
        children = Children(*jax.device_get(children[:4]), *children[4:])
        order = np.argsort(children.totals, kind="stable")
        going = order[(children.bounds[order] > -np.inf) & (order != eos_id)]
        unexplored = going.tolist() if step + 1 < max_length else []
        return Branch(tokens, log_probs, children, unexplored, state)

    def best_end(node: Branch) -> ExactResult:
        """Return the best hypothesis that ends with the next token."""
        log_probs, _, scores, *_ = node.children
        last = len(node.tokens) + 1 == max_length
        token = int(np.argmax(scores)) if last else eos_id
        return ExactResult(
            np.array([*node.tokens, token], np.int32),
            float(scores[token]),
            np.array([*node.log_probs, log_probs[token]], np.float32),
            optimal=True,
            nodes=0,
        )

    best = ExactResult(np.zeros(0, np.int32), -np.inf, np.zeros(0, np.float32), True, 0)
    uncovered = jnp.zeros((1, 1, source), jnp.float32) if source else None
    carry = map_rows(lambda leaf: leaf[:, None], jax.tree.map(jnp.asarray, model.carry))
    stack = [branch(([], []), 0.0, carry, uncovered, initial)]
    best, nodes = max(best, best_end(stack[0]), key=by_score), 1
    while stack:
        tokens, log_probs, children, unexplored, state = stack[-1]
        if not unexplored or children.bounds[unexplored[-1]] <= best.score:
            stack.pop()
            continue
        if nodes == max_nodes:
            return best._replace(optimal=False, nodes=nodes)
        token = unexplored.pop()
        nodes += 1
        path = ([*tokens, token], [*log_probs, float(children.log_probs[token])])
        total, carry, covered = children.totals[token], children.carry, children.covered
        stack.append(branch(path, total, carry, covered, state))
        best = max(best, best_end(stack[-1]), key=by_score)
    return best._replace(nodes=nodes)


def by_score(result: ExactResult) -> float:
    """Sort key; `max` returns the first of equal results."""
    return result.score


@partial(jax.jit, static_argnums=0)
def expand_all(
    no_repeat_ngram: int,
    settings: Settings,
    row: RowData,
    inputs: tuple[Array, Active],
) -> Children:
    """Call the model on one hypothesis, [1, 1]; inputs: (step, Active)."""
    step, old = inputs
    logits, carry, attention = expand(settings, row, old)
    masked = mask_logits(
        logits,
        row.constraints,
        (old.written, old.lexical),
        step=step,
        eos_id=settings.model.end,
        no_repeat_ngram=no_repeat_ngram,
    )
    values = (masked - logits.max() - jnp.log(jnp.exp(logits - logits.max()).sum()))[0, 0]
    log_probs = jnp.where(jnp.isnan(values), -jnp.inf, values)
    totals = old.totals[0, 0] + log_probs
    covered = add_attention(old.covered, attention)
    terms = coverage_terms(settings.scoring, covered, row.source_valid).reshape(())
    scores = final_score(settings.scoring, totals, step + 1, terms)
    bounds = upper_bound(settings.scoring, totals, step + 1)
    return Children(log_probs, totals, scores, bounds, carry, covered)
