"""Beam search over any step function.

Source: Sutskever et al., "Sequence to Sequence Learning with Neural Networks", 2014; scores as in
Wu et al., "Google's Neural Machine Translation System", 2016; groups as in Vijayakumar et al.,
"Diverse Beam Search", 2016; required tokens as in Hokamp and Liu, "Lexically Constrained Decoding
for Sequence Generation Using Grid Beam Search", 2017, and in Post and Vilar, "Fast Lexically
Constrained Decoding with Dynamic Beam Allocation for Neural Machine Translation", 2018.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from ..shapes import as_rows_of, parts_of
from .beam_step import (
    Active,
    Options,
    Pool,
    State,
    Trace,
    active_rows,
    advance,
    finish_active,
    gather,
)
from .constraints import Limits
from .problem import LIMITS, SCORE, RowData, Settings, make_problem
from .scores import Score
from .step_model import StepModel, map_rows
from .top_k import top_k

# Rows that still search move to batches of half the size, at most HALVINGS times. Each size is
# compiled separately; three save a third of the time of 64 rows of widely different lengths.
HALVINGS, FEWEST_ROWS = 3, 8


class BeamResult(NamedTuple):
    """Hypotheses of each row, best first.

    tokens: int32 [B, K, L], including the end, 0 after it. scores: float32 [B, K]. log_probs:
    float32 [B, K, L], of each token, 0 after the end. lengths: int32 [B, K], including the end.
    attention: float [B, K, L, S], 0 after the end, or None. If fewer than K hypotheses have a
    positive probability, as with NaN logits, the other entries have score -inf and are 0 elsewhere.
    """

    tokens: Array
    scores: Array
    log_probs: Array
    lengths: Array
    attention: Array | None


def beam_search(
    model: StepModel,
    *,
    beam_size: int,
    max_length: int,
    score: Score = SCORE,
    limits: Limits = LIMITS,
    n_best: int | None = None,
    groups: int = 1,
    diversity: float | Array = 0.0,
    return_attention: bool = False,
) -> BeamResult:
    """Search for the hypotheses of highest score, keeping beam_size of them open.

    At each step the K open hypotheses have K V continuations. Each of the K that end moves to a
    pool of the K best finished hypotheses, however many others are more probable. The K most
    probable ones that do not end stay open, so a finished hypothesis occupies no beam. Hypotheses
    that are still open after max_length tokens count as finished. A row stops when no open
    hypothesis can score above the n_best-th of its pool; nets.decoding.scores.scoring derives the
    bound. So rows do not affect one another, and n_best does not affect the best hypothesis. With
    beam_size 1 a hypothesis ends only where the end is the most probable token, so without
    penalties the search is greedy decoding.

    model: its step function is called with N = B K, and its carry is repeated K times and reordered
    with the hypotheses. score: what is maximised. limits: what hypotheses must and must not
    contain. If they require tokens or phrases, the K beams are divided evenly among the hypotheses
    that are zero, one, two, ... stages from containing all of them; beams left over go to the best
    of the other hypotheses. A missing token is one stage; a longer phrase is two, its beginning and
    its end. n_best: number of hypotheses returned, at most and by default
    beam_size. groups: the beams form this many groups, searched one after the other, each with its
    own pool. When continuations are compared, a token loses `diversity` from its log p for each
    time that an earlier group chose it at this step; scores are unaffected. Two groups may return
    the same hypothesis. Raises ValueError for options that do not fit one another, the vocabulary
    or the shapes.

        >>> def step_fn(log_probs, tokens, carry):  # a bigram model, which needs no carry
        ...     return log_probs[tokens], carry
        >>> log_probs = jnp.log(jnp.array([[1, 0, 0], [0, 0.4, 0.6], [0.9, 0.1, 0]]))
        >>> model = StepModel(step_fn, log_probs, (), bos_id=jnp.array([1]), eos_id=0)
        >>> beam_search(model, beam_size=2, max_length=4).tokens[0, 0].tolist()
        [2, 0, 0, 0]
    """
    n_best = beam_size if n_best is None else n_best
    check_options(beam_size, max_length, n_best, groups, diversity)
    problem = make_problem(model, score, limits, max_length, return_attention)
    settings = problem.settings._replace(diversity=diversity if groups > 1 else None)
    ngram, source = limits.no_repeat_ngram, problem.source
    options = Options(beam_size, max_length, n_best, groups, ngram, return_attention, source)
    return search(options, settings, problem.row, (model.carry, problem.bos))


def check_options(
    beam_size: int, max_length: int, n_best: int, groups: int, diversity: float | Array
) -> None:
    """Raise ValueError if an option is out of range or inconsistent with another."""
    sizes = {"beam_size": beam_size, "max_length": max_length, "n_best": n_best, "groups": groups}
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} is {size}; it must be at least 1")
    if n_best > beam_size:
        raise ValueError(f"n_best is {n_best}; it must be at most beam_size, {beam_size}")
    if beam_size % groups:
        raise ValueError(f"beam_size {beam_size} does not divide into {groups} groups")
    if groups == 1 and diversity:
        raise ValueError(f"diversity is {diversity}; it needs at least 2 groups")


@partial(jax.jit, static_argnums=0)
def search(
    options: Options, settings: Settings, row: RowData, start: tuple[Any, Array]
) -> BeamResult:
    """Search in batches that shrink as rows stop; start: (carry, bos [B]).

    Each of P parts of the rows shrinks by itself, so that devices keep the rows that they have.
    """
    parts = parts_of(start[1].shape[0])

    def open_rows(state: State) -> Array:
        """Bool [P, N / P], true for rows that still search."""
        return active_rows(state).reshape(parts, -1)

    def run(smaller: int, step: Array, state: State, row: RowData) -> tuple[Array, State]:
        """Search until no part of the batch has more than `smaller` rows left."""
        return lax.while_loop(
            lambda loop: (
                (loop[0] < options.max_length) & (open_rows(loop[1]).sum(axis=1).max() > smaller)
            ),
            partial(advance, options, settings, row),
            (step, state),
        )

    sizes = [start[1].shape[0] // parts]
    while len(sizes) <= HALVINGS and sizes[-1] >= 2 * FEWEST_ROWS:
        sizes.append(-(-sizes[-1] // 2))
    later = [*sizes[1:], 0]
    step, state = jnp.zeros((), jnp.int32), initial_state(options, settings, row, start)
    step, state = run(later[0], step, state, row)
    for size, smaller in zip(sizes[1:], later[1:], strict=True):
        chosen = jnp.argsort(~open_rows(state), axis=1, stable=True)[:, :size]
        subset, subset_row = map_rows(partial(_read_rows, chosen), (state, row))
        step, subset = run(smaller, step, subset, subset_row)
        state = map_rows(partial(_write_rows, chosen), subset, state)
    return backtrace(best_finished(options, settings, row, state), state.trace)


def _read_rows(chosen: Array, leaf: Array) -> Array:
    """Return the rows of leaf [N, ...] at indices chosen [P, n] within P parts: [P n, ...]."""
    parts = leaf.reshape(len(chosen), -1, *leaf.shape[1:])
    taken = jax.vmap(lambda part, chosen: part[chosen])(parts, chosen)
    return taken.reshape(-1, *leaf.shape[1:])


def _write_rows(chosen: Array, new: Array, old: Array) -> Array:
    """Return `old` [N, ...] with `new` [P n, ...] in the rows that `_read_rows` returns."""
    parts, taken = (a.reshape(len(chosen), -1, *a.shape[1:]) for a in (old, new))
    written = jax.vmap(lambda part, chosen, new: part.at[chosen].set(new))(parts, chosen, taken)
    return written.reshape(old.shape)


def initial_state(
    options: Options, settings: Settings, row: RowData, start: tuple[Any, Array]
) -> State:
    """Return one open hypothesis in each group and no finished one; start: (carry, bos [B])."""
    carry, bos = start
    rows, beams, length = bos.shape[0], options.beam_size, options.max_length
    shape, past = (rows, beams), (rows, length, beams)
    first = jnp.arange(beams) % (beams // options.groups) == 0
    tokens, zeros = jnp.zeros(shape, jnp.int32), jnp.zeros(past, jnp.float32)
    tokens, zeros = as_rows_of(bos, tokens), as_rows_of(bos, zeros)
    scores = jnp.full_like(tokens, -jnp.inf, jnp.float32)
    covers = settings.scoring.coverage_penalty is not None
    lexical = row.constraints.lexical
    return State(
        Active(
            jnp.broadcast_to(bos[:, None], shape),
            jnp.where(first, jnp.zeros_like(scores), scores),
            map_rows(
                lambda leaf: jnp.broadcast_to(
                    as_rows_of(bos, leaf)[:, None], (*shape, *leaf.shape[1:])
                ),
                carry,
            ),
            jnp.zeros((*shape, length), jnp.int32) if options.no_repeat_ngram else None,
            jnp.zeros((*shape, options.source), jnp.float32) if covers else None,
            None if lexical is None else lexical.initial(beams),
        ),
        Pool(scores, tokens, tokens, tokens, jnp.zeros_like(scores)),
        Trace(
            zeros.astype(jnp.int32),
            zeros.astype(jnp.int32),
            zeros,
            jnp.zeros((*past, options.source), jnp.float32) if options.return_attention else None,
        ),
    )


def best_finished(options: Options, settings: Settings, row: RowData, state: State) -> Pool:
    """Return the n best of each row, after adding the open hypotheses to the pools."""
    pool = finish_active(options, settings, row, state, options.max_length)
    _, best = top_k(pool.scores, options.n_best)
    return gather(pool, best)


def backtrace(pool: Pool, trace: Trace) -> BeamResult:
    """Reconstruct the hypotheses of a pool [B, K] from their last token to their first."""
    exists = pool.scores > -jnp.inf
    lengths = jnp.where(exists, pool.lengths, 0)

    def back(parents: Array, past: tuple[Array, ...]) -> tuple[Array, tuple[Array, ...]]:
        """Return the tokens at one position, given the parent beams of the tokens after it."""
        position, *steps = past
        earlier, tokens, log_probs = gather(steps, parents)
        last, within = position == lengths - 1, position < lengths
        parents = jnp.where(last, pool.parents, earlier)
        tokens = jnp.where(last, pool.tokens, tokens)
        log_probs = jnp.where(last, pool.log_probs, log_probs)
        return parents, (parents, jnp.where(within, tokens, 0), jnp.where(within, log_probs, 0))

    length = trace.tokens.shape[1]
    steps = [jnp.swapaxes(leaf, 0, 1) for leaf in (trace.parents, trace.tokens, trace.log_probs)]
    _, out = lax.scan(
        back, pool.parents, (jnp.arange(length, dtype=jnp.int32), *steps), reverse=True
    )
    parents, tokens, log_probs = (jnp.moveaxis(leaf, 0, 2) for leaf in out)
    attention = None
    if trace.attention is not None:
        position = jnp.arange(length, dtype=jnp.int32)[None]
        attention = jax.vmap(lambda row, parents: row[position, parents])(trace.attention, parents)
        attention = jnp.where((position[None] < lengths[..., None])[..., None], attention, 0)
    return BeamResult(tokens, pool.scores, log_probs, lengths, attention)
