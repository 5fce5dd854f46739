"""One step of a beam search: what it keeps, how it expands and chooses."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nets.constraints import restrict
from nets.decoding import take_step
from nets.hypotheses import coverage_terms, final_score, upper_bound
from nets.search_problem import Row, Settings
from nets.top_k import top_k


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

    carry: leaves [B, K, ...]. written: int32 [B, K, L], for n-grams. covered: [B, K, S].
    """

    tokens: jax.Array
    totals: jax.Array
    carry: Any
    written: jax.Array | None
    covered: jax.Array | None


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
    carry, written, covered = of_parents((carry, old.written, covered), parents)
    if written is not None:
        written = written.at[:, :, step].set(tokens)
    trace = Trace(
        trace.parents.at[:, step].set(parents),
        trace.tokens.at[:, step].set(tokens),
        trace.log_probs.at[:, step].set(log_probs),
        trace.attention if trace.attention is None else trace.attention.at[:, step].set(attention),
    )
    return step + 1, State(Open(tokens, totals, carry, written, covered), pool, trace)


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
        old.written,
        step=step,
        eos_id=settings.eos_id,
        no_repeat_ngram=options.no_repeat_ngram,
    )
    inputs = (free, normaliser, old.totals)
    counts = None if settings.diversity is None else jnp.zeros_like(logits[:, 0])
    groups = []
    for first in range(0, options.beam_size, width):
        mine = jax.tree.map(lambda leaf, first=first: leaf[:, first : first + width], inputs)
        drawn = choose(mine, settings, counts)
        if counts is not None:
            tokens, live = drawn[0].tokens, drawn[0].totals > -jnp.inf
            counts = counts.at[jnp.arange(len(counts))[:, None], tokens].add(live)
        groups.append([part._replace(parents=part.parents + first) for part in drawn])
    drawn, ended = jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=1), *groups)
    terms = coverage_terms(settings.scoring, covered, row.source_valid)
    if covered is not None:
        terms = take(terms, ended.parents)
    pool = join(options, settings, pool, ended, terms=terms, length=step + 1)
    # a group stops when none of its hypotheses can get into its pool any more
    reach = upper_bound(settings.scoring, drawn.totals, step + 1).reshape(-1, width)
    going = reach.max(axis=-1) > pool.scores.reshape(-1, width).min(axis=-1)
    going = jnp.repeat(going, width).reshape(drawn.totals.shape)
    return drawn._replace(totals=jnp.where(going, drawn.totals, -jnp.inf)), pool


def choose(group, settings: Settings, counts):
    """Return the k best continuations that go on, and those of the k best of all that end.

    group: logits of the tokens that may follow, [B, k, V], what normalises them, and sums of log p,
    [B, k]. counts: [B, V], how often earlier groups chose a token, None for one group. Both results
    have k entries, best first.
    """
    free, normaliser, totals = group
    rows, width, vocabulary = free.shape
    few = min(width + 1, vocabulary)
    compared = free if counts is None else free - settings.diversity * counts[:, None]
    _, tokens = top_k(compared, few)
    # only the few that are compared are normalised; NaN, and no probability at all, become -inf
    top, log_sum = normaliser
    log_probs = jnp.take_along_axis(free, tokens, axis=-1) - top - log_sum
    log_probs = jnp.where(jnp.isnan(log_probs), -jnp.inf, log_probs)
    sums = ranks = totals[..., None] + log_probs
    if counts is not None:
        seen = jnp.take_along_axis(counts[:, None], tokens, axis=-1)
        ranks = sums - settings.diversity * seen
    ranks, best = lax.top_k(ranks.reshape(rows, -1), min(2 * width, width * few))
    parents = jnp.broadcast_to(jnp.arange(width)[:, None], tokens.shape)
    drawn = take(
        Drawn(*(leaf.reshape(rows, -1) for leaf in (parents, tokens, log_probs, sums))), best
    )
    ending = drawn.tokens == settings.eos_id
    _, going = lax.top_k(jnp.where(ending, -jnp.inf, ranks), width)
    kept = drawn._replace(totals=jnp.where(ending, -jnp.inf, drawn.totals))
    ended = drawn._replace(totals=jnp.where(ending, drawn.totals, -jnp.inf))
    return take(kept, going), jax.tree.map(lambda leaf: leaf[:, :width], ended)


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
