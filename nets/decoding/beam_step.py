"""One step of a beam search: what it keeps, how it expands and chooses."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .constraints import Required, lift, meet, restrict
from .problem import Row, Settings
from .sampling import take_step
from .scores import coverage_terms, final_score, upper_bound
from .top_k import top_k


class Options(NamedTuple):
    """What is compiled in; source: positions of the attention that is read, 0 for none."""

    beam_size: int
    max_length: int
    n_best: int
    groups: int
    no_repeat_ngram: int
    return_attention: bool
    source: int


class Open(NamedTuple):
    """Hypotheses that go on, [B, K]: last tokens, and sums of log p, -inf where there is none.

    carry: leaves [B, K, ...]. written: int32 [B, K, L], for n-grams. covered: [B, K, S]. met: bool
    [B, K, R], the required tokens that are written.
    """

    tokens: jax.Array
    totals: jax.Array
    carry: Any
    written: jax.Array | None
    covered: jax.Array | None
    met: jax.Array | None


class Pool(NamedTuple):
    """Finished hypotheses, [B, K]: their last token, and which beam it was drawn from."""

    scores: jax.Array
    lengths: jax.Array
    parents: jax.Array
    tokens: jax.Array
    log_probs: jax.Array


class Trace(NamedTuple):
    """Each step as it was, [B, L, K], never reordered: whom a token followed, and its log p.

    attention: [B, L, K, S], what the parents attended to.
    """

    parents: jax.Array
    tokens: jax.Array
    log_probs: jax.Array
    attention: jax.Array | None


class State(NamedTuple):
    """All of a search between two steps."""

    open: Open
    pool: Pool
    trace: Trace


class Drawn(NamedTuple):
    """Continuations, [B, K]: whom they follow, their last token and its log p, and their sums.

    A sum of -inf: there is none.
    """

    parents: jax.Array
    tokens: jax.Array
    log_probs: jax.Array
    totals: jax.Array


def open_rows(state: State):
    """Bool [B], true where a row still searches."""
    return state.open.totals.max(axis=-1) > -jnp.inf


def advance(step_fn, options: Options, settings: Settings, row: Row, loop):
    """Expand all open hypotheses by the token at position `step`; loop: (step, State)."""
    step, (old, pool, trace) = loop
    logits, carry, attention = expand(step_fn, settings, row, old)
    covered = old.covered if old.covered is None else old.covered + attention
    seen = {"step": step, "logits": logits, "covered": covered}
    drawn, pool = draw(options, settings, row, (old, pool), **seen)
    parents, tokens, log_probs, totals = drawn
    carry, written, covered, met = of_parents((carry, old.written, covered, old.met), parents)
    if written is not None:
        written = written.at[:, :, step].set(tokens)
    required, limits = row.constraints.required, row.constraints.max_lengths
    if required is not None:
        met = meet(required.tokens, met, tokens)
    trace = Trace(
        trace.parents.at[:, step].set(parents),
        trace.tokens.at[:, step].set(tokens),
        trace.log_probs.at[:, step].set(log_probs),
        trace.attention if trace.attention is None else trace.attention.at[:, step].set(attention),
    )
    state = State(Open(tokens, totals, carry, written, covered, met), pool, trace)
    if limits is not None:
        # what is open at the limit of its row counts as finished, and the row stops
        ended = (step + 1 >= limits)[:, None]
        last = state.open._replace(totals=jnp.where(ended, totals, -jnp.inf))
        pool = end_open(options, settings, row, state._replace(open=last), step + 1)
        going = state.open._replace(totals=jnp.where(ended, -jnp.inf, totals))
        state = state._replace(open=going, pool=pool)
    return step + 1, state


def end_open(options: Options, settings: Settings, row: Row, state: State, length) -> Pool:
    """Return the pools once what is open has joined them, as hypotheses of `length` tokens."""
    old, pool, trace = state
    terms = coverage_terms(settings.scoring, old.covered, row.source_valid)
    parents, log_probs = trace.parents[:, length - 1], trace.log_probs[:, length - 1]
    last = Drawn(parents, old.tokens, log_probs, old.totals)
    return join(options, settings, pool, last, terms=terms, length=length)


def expand(step_fn, settings: Settings, row: Row, old: Open):
    """Logits [B, K, V], carry [B, K, ...] and attention [B, K, S] or None of the next step."""
    rows, beams = old.tokens.shape
    carry = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), old.carry)
    out = take_step(step_fn, settings.parameters, old.tokens.reshape(-1), carry, row.memory)
    return jax.tree.map(lambda leaf: leaf.reshape(rows, beams, *leaf.shape[1:]), out)


def draw(options: Options, settings: Settings, row: Row, beams, *, step, logits, covered):
    """Choose in each group what stays open and what joins its pool: (Drawn, Pool), [B, K].

    beams: (Open, Pool). logits: [B, K, V] of this step. covered: attention up to it, [B, K, S].
    """
    old, pool = beams
    width = options.beam_size // options.groups
    top = logits.max(axis=-1, keepdims=True)
    normaliser = (top, jnp.log(jnp.exp(logits - top).sum(axis=-1, keepdims=True)))
    free = restrict(
        logits,
        row.constraints,
        (old.written, old.met),
        step=step,
        eos_id=settings.eos_id,
        no_repeat_ngram=options.no_repeat_ngram,
    )
    inputs = (free, normaliser, old.totals, old.met)
    counts = None if settings.diversity is None else jnp.zeros_like(logits[:, 0])
    groups = []
    for first in range(0, options.beam_size, width):
        mine = jax.tree.map(lambda leaf, first=first: leaf[:, first : first + width], inputs)
        drawn = choose(mine, settings, counts, row.constraints.required)
        if counts is not None:
            tokens, live = drawn[0].tokens, drawn[0].totals > -jnp.inf
            counts = counts.at[jnp.arange(len(counts))[:, None], tokens].add(live)
        groups.append([part._replace(parents=part.parents + first) for part in drawn])
    drawn, ended = jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=1), *groups)
    terms = coverage_terms(settings.scoring, covered, row.source_valid)
    if covered is not None:
        terms = take(terms, ended.parents)
    pool = join(options, settings, pool, ended, terms=terms, length=step + 1)
    # a group stops when none of its hypotheses can be among its n best any more; of several groups
    # each fills its pool, since what it draws changes what the others do
    needed = options.n_best if options.groups == 1 else width
    reach = upper_bound(settings.scoring, drawn.totals, step + 1, row.constraints.max_lengths)
    reach = reach.reshape(-1, width)
    going = reach.max(axis=-1) > pool.scores.reshape(-1, width)[:, needed - 1]
    going = jnp.repeat(going, width).reshape(drawn.totals.shape)
    return drawn._replace(totals=jnp.where(going, drawn.totals, -jnp.inf)), pool


def choose(group, settings: Settings, counts, required: Required | None):
    """Return the k best continuations that go on, and those of the k best of all that end.

    group: logits of the tokens that may follow, [B, k, V], what normalises them, sums of log p,
    [B, k], and the required tokens that have been met, [B, k, R], or None. counts: [B, V], how
    often earlier groups chose a token, None for one group. Both results have k entries, best first.
    With required tokens the k best are those that share_out gives a place.
    """
    free, normaliser, totals, met = group
    rows, width, vocabulary = free.shape
    slots = 0 if required is None else required.tokens.shape[-1]
    few = min(width + 1 + slots, vocabulary)
    compared = free if counts is None else free - settings.diversity * counts[:, None]
    if required is not None:
        # all missing tokens are among the few
        compared = lift(compared, required, ~met)
    _, tokens = top_k(compared, few)
    # only the few that are compared are normalised; NaN, and no probability at all, become -inf
    top, log_sum = normaliser
    log_probs = jnp.take_along_axis(free, tokens, axis=-1) - top - log_sum
    log_probs = jnp.where(jnp.isnan(log_probs), -jnp.inf, log_probs)
    sums = ranks = totals[..., None] + log_probs
    if counts is not None:
        seen = jnp.take_along_axis(counts[:, None], tokens, axis=-1)
        ranks = sums - settings.diversity * seen
    enough = min(2 * width, width * few) if required is None else width * few
    ranks, best = lax.top_k(ranks.reshape(rows, -1), enough)
    parents = jnp.broadcast_to(jnp.arange(width)[:, None], tokens.shape)
    drawn = take(
        Drawn(*(leaf.reshape(rows, -1) for leaf in (parents, tokens, log_probs, sums))), best
    )
    ending = drawn.tokens == settings.eos_id
    open_ranks = jnp.where(ending, -jnp.inf, ranks)
    kept = drawn._replace(totals=jnp.where(ending, -jnp.inf, drawn.totals))
    ended = drawn._replace(totals=jnp.where(ending, drawn.totals, -jnp.inf))
    if required is None:
        _, going = lax.top_k(open_ranks, width)
        return take(kept, going), jax.tree.map(lambda leaf: leaf[:, :width], ended)
    met = meet(required.tokens, of_parents(met, drawn.parents), drawn.tokens)
    missing = (~met).sum(axis=-1)
    going = share_out(open_ranks, missing, required, width)
    return take(kept, going), take(ended, share_out(ranks, missing, required, width))


def share_out(ranks, missing, required: Required, places: int):
    """Positions [B, k] of the N best continuations that get one of the k places, best first.

    ranks: [B, N], falling but for -inf, which marks what gets none. missing: int [B, N], how many
    required tokens each has not met. Of n + 1 numbers that can be missing, each gets the same share
    of the places, the lowest ones one more where they do not divide. What a number does not fill
    goes to the best of the rest. Source: Post and Vilar, see nets.decoding.beam.
    """
    numbers = jnp.arange(required.tokens.shape[-1] + 1)
    live = ranks > -jnp.inf
    banks = 1 + (required.tokens >= 0).sum(axis=-1, keepdims=True)
    share = places // banks + (missing < places % banks)
    mine = live[..., None] & (missing[..., None] == numbers)
    place = jnp.where(mine, jnp.cumsum(mine, axis=1), 0).sum(axis=-1)
    order = jnp.where(live, place > share, 2)
    return jnp.sort(jnp.argsort(order, axis=1, stable=True)[:, :places], axis=1)


def take(tree, indices):
    """Entries of leaves [B, K] at indices [B, k]."""
    return jax.tree.map(lambda leaf: jnp.take_along_axis(leaf, indices, axis=1), tree)


def of_parents(tree, parents):
    """Leaves [B, K, ...] in the order of parents [B, K]."""
    row = jnp.arange(parents.shape[0])[:, None]
    return jax.tree.map(lambda leaf: leaf[row, parents], tree)


def join(options: Options, settings: Settings, pool: Pool, ended: Drawn, *, terms, length) -> Pool:
    """Return the k best of each group's pool and of what ended with `length` tokens, [B, K].

    Of equals what was there before stays. terms: what the coverage adds to the scores of `ended`.
    """
    shape = pool.scores.shape
    scores = final_score(settings.scoring, ended.totals, length, terms)
    lengths = jnp.full(shape, length, jnp.int32)
    new = Pool(scores, lengths, ended.parents, ended.tokens, ended.log_probs)
    width = options.beam_size // options.groups
    by_group = jax.tree.map(lambda leaf: leaf.reshape(-1, width), (pool, new))
    both = jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=1), *by_group)
    _, best = lax.top_k(both.scores, width)
    return jax.tree.map(lambda leaf: leaf.reshape(shape), take(both, best))
