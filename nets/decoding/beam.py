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
from jax import lax

from .beam_step import Open, Options, Pool, State, Trace, advance, end_open, open_rows, take
from .constraints import Limits
from .problem import Inputs, Measure, Row, Settings, pose
from .scores import Normalize

# Of the smaller batches that the open rows move to. Each is compiled by itself; three of them save
# a third of the time of 64 rows with ends of all lengths.
HALVINGS, FEWEST_ROWS = 3, 8


class BeamResult(NamedTuple):
    """Hypotheses of each row, best first.

    tokens: int32 [B, K, L], the end included, 0 after it. scores: float32 [B, K]. log_probs:
    float32 [B, K, L], of each token, 0 after the end. lengths: int32 [B, K], the end included.
    attention: float [B, K, L, S], 0 after the end, or None. Where fewer than K hypotheses have any
    probability, as with NaN in the logits, the score of the rest is -inf and all else is 0.
    """

    tokens: jax.Array
    scores: jax.Array
    log_probs: jax.Array
    lengths: jax.Array
    attention: jax.Array | None


def beam_search(
    step_fn,
    parameters,
    carry,
    *,
    bos_id,
    eos_id: int,
    beam_size: int,
    max_length: int,
    memory: Any = None,
    n_best: int | None = None,
    normalize: Normalize = "gnmt",
    length_penalty: float = 0.0,
    coverage_penalty: float = 0.0,
    source_valid=None,
    min_length: int = 0,
    no_repeat_ngram: int = 0,
    prefix=None,
    banned=(),
    required=None,
    max_lengths=None,
    groups: int = 1,
    diversity: float = 0.0,
    return_attention: bool = False,
) -> BeamResult:
    """Search for the hypotheses of highest score, beam_size at a time.

    At each step the K open hypotheses have K V continuations. Of the K most probable of these,
    those that end go to a pool of the K best finished ones. The K most probable of all others stay
    open, so that a finished hypothesis takes no beam's place. What is open after max_length tokens
    counts as finished. A row stops when none of its open hypotheses can get a score above the
    n_best-th of its pool: nets.decoding.scores.scoring has the bound. So no row depends on another
    one, nor the best hypothesis on n_best; beam_size 1 without penalties is the greedy loop.

    step_fn: see nets.decoding.sampling; here N = B K, beam k of row b is b K + k. carry: leaves [B,
    ...], repeated K times, and reordered with the hypotheses. memory: leaves [B, ...], neither
    repeated nor reordered, since all hypotheses of a row share it. bos_id: int, or int32 [B].
    n_best: how many hypotheses are returned, at most and by default beam_size.
    normalize, length_penalty, coverage_penalty: the score, see nets.decoding.scores.scoring.
    source_valid: bool [B, S], false where the source is padding, which needs no coverage.
    min_length: shorter hypotheses may not end. no_repeat_ngram: no n-gram occurs twice; 0 for none.
    prefix: int [B, P], the token forced at each position, -1 where the search is free; it comes
    before all other limits. banned: token ids never drawn, or bool [V] or [B, V].
    required: token ids that every hypothesis must have, in any order, one given twice at least
    twice: int [R], or [B, R], -1 where a row needs fewer. The K places are then shared out evenly
    among the hypotheses that miss none of them, one, two and so on; what one number leaves free
    goes to the best of all others. Where a prefix leaves too little room, hypotheses have as many
    of them as it allows; where no_repeat_ngram blocks a missing one for good, there is none.
    max_lengths: int [B], at most max_length: a limit row by row, as if each were searched alone.
    groups: the beams are searched in this many groups, one after the other, each with its own pool;
    a token that earlier groups chose at this step loses `diversity` of its log p for each time,
    when continuations are compared, not in scores. Two groups may find the same hypothesis.
    ValueError: options that do not fit one another, the vocabulary or the shapes.
    """
    n_best = beam_size if n_best is None else n_best
    check_options(beam_size, max_length, n_best, groups, diversity)
    problem = pose(
        step_fn,
        Inputs(parameters, carry, bos_id, memory),
        Measure(normalize, length_penalty, coverage_penalty, source_valid),
        Limits(min_length, no_repeat_ngram, prefix, banned, required, max_lengths),
        eos_id=eos_id,
        max_length=max_length,
        return_attention=return_attention,
    )
    settings = problem.settings._replace(diversity=diversity if groups > 1 else None)
    options = Options(
        beam_size, max_length, n_best, groups, no_repeat_ngram, return_attention, problem.source
    )
    return search(step_fn, options, settings, problem.row, (carry, problem.bos))


def check_options(beam_size: int, max_length: int, n_best: int, groups: int, diversity) -> None:
    """ValueError when no search has these options."""
    sizes = {"beam_size": beam_size, "max_length": max_length, "n_best": n_best, "groups": groups}
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} is {size}; it must be at least 1")
    if n_best > beam_size:
        raise ValueError(f"n_best is {n_best}; a search with beam_size {beam_size} finds no more")
    if beam_size % groups:
        raise ValueError(f"beam_size {beam_size} does not divide into {groups} groups")
    if groups == 1 and diversity:
        raise ValueError(f"diversity is {diversity}; one group has no other to differ from")


@partial(jax.jit, static_argnums=(0, 1))
def search(step_fn, options: Options, settings: Settings, row: Row, start) -> BeamResult:
    """Search in ever smaller batches, to each of which the rows that are still open move on."""
    rows = start[1].shape[0]

    def run(smaller, step, state, row):
        """Search on until no more than `smaller` rows are open."""
        return lax.while_loop(
            lambda loop: (loop[0] < options.max_length) & (open_rows(loop[1]).sum() > smaller),
            partial(advance, step_fn, options, settings, row),
            (step, state),
        )

    sizes = [rows]
    while len(sizes) <= HALVINGS and sizes[-1] >= 2 * FEWEST_ROWS:
        sizes.append(-(-sizes[-1] // 2))
    later = [*sizes[1:], 0]
    step, state = jnp.zeros((), jnp.int32), initial_state(options, settings, row, start)
    step, state = run(later[0], step, state, row)
    for size, smaller in zip(sizes[1:], later[1:], strict=True):
        chosen = jnp.argsort(~open_rows(state), stable=True)[:size]
        mine, shared = jax.tree.map(lambda leaf, chosen=chosen: leaf[chosen], (state, row))
        step, mine = run(smaller, step, mine, shared)
        state = jax.tree.map(lambda all, some, chosen=chosen: all.at[chosen].set(some), state, mine)
    return trace_back(close(options, settings, row, state), state.trace)


def initial_state(options: Options, settings: Settings, row: Row, start) -> State:
    """Return one open hypothesis in each group and no finished one; start: (carry, bos [B])."""
    carry, bos = start
    rows, beams, length = bos.shape[0], options.beam_size, options.max_length
    shape, past = (rows, beams), (rows, length, beams)
    first = jnp.arange(beams) % (beams // options.groups) == 0
    tokens, zeros = jnp.zeros(shape, jnp.int32), jnp.zeros(past)
    covers = settings.scoring.coverage_penalty is not None
    met = None
    if row.constraints.required is not None:
        # what a row needs no token for has been met from the first
        wanted = row.constraints.required.tokens[:, None]
        met = jnp.broadcast_to(wanted < 0, (*shape, wanted.shape[-1]))
    return State(
        Open(
            jnp.broadcast_to(bos[:, None], shape),
            jnp.broadcast_to(jnp.where(first, 0.0, -jnp.inf), shape),
            jax.tree.map(
                lambda leaf: jnp.broadcast_to(leaf[:, None], (*shape, *leaf.shape[1:])), carry
            ),
            jnp.zeros((*shape, length), jnp.int32) if options.no_repeat_ngram else None,
            jnp.zeros((*shape, options.source)) if covers else None,
            met,
        ),
        Pool(jnp.full(shape, -jnp.inf), tokens, tokens, tokens, jnp.zeros(shape)),
        Trace(
            zeros.astype(jnp.int32),
            zeros.astype(jnp.int32),
            zeros,
            jnp.zeros((*past, options.source)) if options.return_attention else None,
        ),
    )


def close(options: Options, settings: Settings, row: Row, state: State) -> Pool:
    """Return the n best of each row, once what is open after the last step has joined the pools."""
    pool = end_open(options, settings, row, state, options.max_length)
    _, best = lax.top_k(pool.scores, options.n_best)
    return take(pool, best)


def trace_back(pool: Pool, trace: Trace) -> BeamResult:
    """Write down the hypotheses of a pool [B, K], from their last token to their first."""
    found = pool.scores > -jnp.inf
    lengths = jnp.where(found, pool.lengths, 0)

    def back(parents, past):
        """Token of one position, given which beams the following tokens were drawn from."""
        position, *drawn = past
        earlier, tokens, log_probs = take(drawn, parents)
        last, within = position == lengths - 1, position < lengths
        parents = jnp.where(last, pool.parents, earlier)
        tokens = jnp.where(last, pool.tokens, tokens)
        log_probs = jnp.where(last, pool.log_probs, log_probs)
        written = (jnp.where(within, tokens, 0), jnp.where(within, log_probs, 0))
        return parents, (parents, *written)

    length = trace.tokens.shape[1]
    steps = [jnp.swapaxes(leaf, 0, 1) for leaf in (trace.parents, trace.tokens, trace.log_probs)]
    _, out = lax.scan(back, pool.parents, (jnp.arange(length), *steps), reverse=True)
    parents, tokens, log_probs = (jnp.moveaxis(leaf, 0, 2) for leaf in out)
    attention = None
    if trace.attention is not None:
        row, position = jnp.arange(len(lengths))[:, None, None], jnp.arange(length)
        attention = trace.attention[row, position, parents]
        attention = jnp.where((position < lengths[..., None])[..., None], attention, 0)
    return BeamResult(tokens, pool.scores, log_probs, lengths, attention)
