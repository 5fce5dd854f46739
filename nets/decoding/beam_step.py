"""One step of a beam search: its state, the expansion of hypotheses, and the selection."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ..shapes import flatten_from
from .constraints import mask_logits
from .phrases import PhraseAutomaton
from .problem import RowData, Settings
from .required import RequiredTokens
from .scores import coverage_terms, final_score, upper_bound
from .step_model import map_rows
from .top_k import top_k

Lexical = RequiredTokens | PhraseAutomaton


class Options(NamedTuple):
    """Static options of the compiled search; source: S if it reads the attention, else 0."""

    beam_size: int
    max_length: int
    n_best: int
    groups: int
    no_repeat_ngram: int
    return_attention: bool
    source: int


class Active(NamedTuple):
    """Open hypotheses, [B, K]: last tokens, and sums of log p, -inf in unused beams.

    carry: leaves [B, K, ...]. written: int32 [B, K, L], the tokens so far, for n-grams. covered:
    [B, K, S], the attention so far. lexical: the states in `Constraints.lexical`.
    """

    tokens: Array
    totals: Array
    carry: Any
    written: Array | None
    covered: Array | None
    lexical: Array | None


class Pool(NamedTuple):
    """Finished hypotheses, [B, K]: last tokens, their log p, and the beams they extended."""

    scores: Array
    lengths: Array
    parents: Array
    tokens: Array
    log_probs: Array


class Trace(NamedTuple):
    """History of the steps, [B, L, K], never reordered: each token, its parent beam and its log p.

    attention: [B, L, K, S], the attention of the parents.
    """

    parents: Array
    tokens: Array
    log_probs: Array
    attention: Array | None


class State(NamedTuple):
    """State of a search between two steps."""

    active: Active
    pool: Pool
    trace: Trace


class Candidates(NamedTuple):
    """Continuations, [B, K]: parent beams, new tokens, their log p, and sums of log p.

    A sum of -inf marks an unused entry.
    """

    parents: Array
    tokens: Array
    log_probs: Array
    totals: Array


def active_rows(state: State) -> Array:
    """Bool [B], true for rows that still search."""
    return state.active.totals.max(axis=-1) > -jnp.inf


def advance(
    options: Options, settings: Settings, row: RowData, loop: tuple[Array, State]
) -> tuple[Array, State]:
    """Extend all open hypotheses by the token at position `step`; loop: (step, State)."""
    step, (old, pool, trace) = loop
    logits, carry, attention = expand(settings, row, old)
    covered = add_attention(old.covered, attention)
    selected, pool = select(
        options, settings, row, (old, pool), step=step, logits=logits, covered=covered
    )
    parents, tokens, log_probs, totals = selected
    carry, written, covered, states = gather_parents(
        (carry, old.written, covered, old.lexical), parents
    )
    if written is not None:
        written = written.at[:, :, step].set(tokens)
    lexical, max_lengths = row.constraints.lexical, row.constraints.max_lengths
    if lexical is not None:
        states = lexical.advance(states, tokens)
    history = trace.attention
    trace = Trace(
        trace.parents.at[:, step].set(parents),
        trace.tokens.at[:, step].set(tokens),
        trace.log_probs.at[:, step].set(log_probs),
        None if history is None else history.at[:, step].set(attention),
    )
    state = State(Active(tokens, totals, carry, written, covered, states), pool, trace)
    if max_lengths is not None:
        # at the limit of its row an open hypothesis counts as finished, and the row stops
        ended = (step + 1 >= max_lengths)[:, None]
        last = state.active._replace(totals=jnp.where(ended, totals, -jnp.inf))
        pool = finish_active(options, settings, row, state._replace(active=last), step + 1)
        remaining = state.active._replace(totals=jnp.where(ended, -jnp.inf, totals))
        state = state._replace(active=remaining, pool=pool)
    return step + 1, state


def finish_active(
    options: Options, settings: Settings, row: RowData, state: State, length: int | Array
) -> Pool:
    """Return the pools after adding all open hypotheses, which have `length` tokens."""
    old, pool, trace = state
    terms = coverage_terms(settings.scoring, old.covered, row.source_valid)
    parents, log_probs = trace.parents[:, length - 1], trace.log_probs[:, length - 1]
    last = Candidates(parents, old.tokens, log_probs, old.totals)
    return add_to_pool(options, settings, pool, last, terms=terms, length=length)


def expand(settings: Settings, row: RowData, old: Active) -> tuple[Array, Any, Any]:
    """Return the next logits [B, K, V], carry [B, K, ...] and attention [B, K, S] or None."""
    rows, beams = old.tokens.shape
    carry = map_rows(lambda leaf: leaf.reshape(rows * beams, *leaf.shape[2:]), old.carry)
    out = settings.model.with_memory(row.memory).step(old.tokens.reshape(-1), carry)
    return map_rows(lambda leaf: leaf.reshape(rows, beams, *leaf.shape[1:]), out)


def add_attention(covered: Array | None, attention: Array | None) -> Array | None:
    """Add the attention of a step to the sums; None without a coverage penalty."""
    return None if covered is None or attention is None else covered + attention


def select(
    options: Options,
    settings: Settings,
    row: RowData,
    hypotheses: tuple[Active, Pool],
    *,
    step: Array,
    logits: Array,
    covered: Array | None,
) -> tuple[Candidates, Pool]:
    """Choose in each group the continuations [B, K] that stay open, and update its pool.

    logits: [B, K, V] of this step. covered: attention summed up to this step, [B, K, S].
    """
    old, pool = hypotheses
    width = options.beam_size // options.groups
    top = logits.max(axis=-1, keepdims=True)
    normaliser = (top, jnp.log(jnp.exp(logits - top).sum(axis=-1, keepdims=True)))
    masked = mask_logits(
        logits,
        row.constraints,
        (old.written, old.lexical),
        step=step,
        eos_id=settings.model.end,
        no_repeat_ngram=options.no_repeat_ngram,
    )
    continued = masked.at[..., settings.model.end].set(-jnp.inf)
    inputs = (continued, normaliser, old.totals, old.lexical)
    counts = None if settings.diversity is None else jnp.zeros_like(logits[:, 0])
    lexical = row.constraints.lexical
    if lexical is not None and lexical.banks == 1:
        lexical = None  # phrases are only banned, so the beams need not be shared out
    ended = own_ends(options, settings, old, masked, normaliser)
    groups = []
    for first in range(0, options.beam_size, width):
        group = jax.tree.map(lambda leaf, first=first: leaf[:, first : first + width], inputs)
        chosen = select_in_group(group, settings, counts, lexical)
        if counts is not None:
            used = chosen.totals > -jnp.inf
            add = jax.vmap(lambda counts, tokens, used: counts.at[tokens].add(used))
            counts = add(counts, chosen.tokens, used.astype(counts.dtype))
        groups.append(chosen._replace(parents=chosen.parents + first))
    opened = jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=1), *groups)
    terms = coverage_terms(settings.scoring, covered, row.source_valid)
    pool = add_to_pool(options, settings, pool, ended, terms=terms, length=step + 1)
    # a group stops when none of its hypotheses can enter its n best; with several groups each
    # fills its pool, because its choices affect the later groups
    needed = options.n_best if options.groups == 1 else width
    bound = upper_bound(settings.scoring, opened.totals, step + 1, row.constraints.max_lengths)
    shape = (len(bound), options.groups, width)
    best, scores, totals = (a.reshape(shape) for a in (bound, pool.scores, opened.totals))
    going = best.max(axis=-1, keepdims=True) > scores[..., needed - 1, None]
    totals = jnp.where(going, totals, -jnp.inf)
    return opened._replace(totals=flatten_from(totals, 1)), pool


def own_ends(
    options: Options, settings: Settings, old: Active, masked: Array, normaliser: Any
) -> Candidates:
    """Each open hypothesis with the end as its next token, [B, K].

    A single beam may end only where the end is the most probable token, as in greedy decoding.
    """
    end = settings.model.end
    log_probs = normalised(masked[..., end], *(leaf[..., 0] for leaf in normaliser))
    if options.beam_size == 1:
        log_probs = jnp.where(masked.argmax(axis=-1) == end, log_probs, -jnp.inf)
    beams = jnp.arange(options.beam_size, dtype=jnp.int32)
    parents = jnp.zeros_like(log_probs, jnp.int32) + beams[None]
    tokens = jnp.full_like(parents, end)
    return Candidates(parents, tokens, log_probs, old.totals + log_probs)


def normalised(logits: Array, top: Array, log_sum: Array) -> Array:
    """Log p; NaN, and logits without any probability, become -inf."""
    log_probs = logits - top - log_sum
    return jnp.where(jnp.isnan(log_probs), -jnp.inf, log_probs)


def select_in_group(
    group: tuple[Any, ...], settings: Settings, counts: Array | None, lexical: Lexical | None
) -> Candidates:
    """Return the k best continuations that stay open, best first.

    group: masked logits [B, k, V], -inf for the token that ends, their normaliser, sums of log p
    [B, k], and the states of the lexical constraints or None. counts: [B, V], how often earlier
    groups chose each token, None with one group. With required tokens or phrases, `allocate_beams`
    selects the k best.
    """
    masked, normaliser, totals, states = group
    _, width, vocabulary = masked.shape
    slots = 0 if lexical is None else lexical.tokens.shape[-1]
    few = min(width + slots, vocabulary)
    compared = masked if counts is None else masked - settings.diversity * counts[:, None]
    if lexical is not None:
        # every token that leads to another bank must be among the few
        compared = lexical.promote(compared, states)
    _, tokens = top_k(compared, few)
    # only the few tokens are normalised
    log_probs = normalised(jnp.take_along_axis(masked, tokens, axis=-1), *normaliser)
    sums = ranks = totals[..., None] + log_probs
    if counts is not None:
        chosen_before = jnp.take_along_axis(counts[:, None], tokens, axis=-1)
        ranks = sums - settings.diversity * chosen_before
    ranks, best = top_k(flatten_from(ranks, 1), width if lexical is None else width * few)
    parents = jnp.zeros_like(tokens) + jnp.arange(width, dtype=tokens.dtype)[None, :, None]
    flat = (flatten_from(leaf, 1) for leaf in (parents, tokens, log_probs, sums))
    candidates = gather(Candidates(*flat), best)
    if lexical is None:
        return candidates
    states = lexical.advance(gather_parents(states, candidates.parents), candidates.tokens)
    return gather(candidates, allocate_beams(ranks, lexical.needed(states), lexical, width))


def allocate_beams(ranks: Array, needed: Array, lexical: Lexical, beams: int) -> Array:
    """Return the indices [B, k] of the k of N continuations that get a beam, best first.

    ranks: [B, N], descending, except for -inf, which marks continuations that get none. needed:
    int [B, N], the number of stages until each contains all required tokens and phrases. If n are
    needed at the start, there are n + 1 banks, one for each number. Each bank gets an equal share
    of the k beams, and the banks that need the fewest stages get one of the remaining beams each.
    Beams that a bank cannot fill go to the best of the other continuations. Source: Post and Vilar,
    see nets.decoding.beam, whose banks count the tokens of phrases: so many for long phrases that
    none would be reserved for a hypothesis that has just begun one.
    """
    numbers, banks = jnp.arange(lexical.banks), lexical.row_banks
    valid = ranks > -jnp.inf
    share = beams // banks + (needed < beams % banks)
    members = valid[..., None] & (needed[..., None] == numbers)
    rank_in_bank = jnp.where(members, jnp.cumsum(members, axis=1), 0).sum(axis=-1)
    order = jnp.where(valid, rank_in_bank > share, 2)
    return jnp.sort(jnp.argsort(order, axis=1, stable=True)[:, :beams], axis=1)


def gather(tree: Any, indices: Array) -> Any:
    """Return the entries of leaves [B, K] at indices [B, k]."""
    return jax.tree.map(lambda leaf: jnp.take_along_axis(leaf, indices, axis=1), tree)


def gather_parents(tree: Any, parents: Array) -> Any:
    """Return leaves [B, K, ...] reordered by their parents [B, K]."""
    pick = jax.vmap(lambda leaf, parents: leaf[parents])  # on the device that has the row
    return map_rows(lambda leaf: pick(leaf, parents), tree)


def add_to_pool(
    options: Options,
    settings: Settings,
    pool: Pool,
    ended: Candidates,
    *,
    terms: Array,
    length: int | Array,
) -> Pool:
    """Return each group's k best of its pool and `ended`, hypotheses of `length` tokens: [B, K].

    Ties go to the earlier hypotheses. terms: the coverage terms of the scores of `ended`.
    """
    shape = pool.scores.shape
    scores = final_score(settings.scoring, ended.totals, length, terms)
    lengths = jnp.full_like(scores, length, jnp.int32)
    new = Pool(scores, lengths, ended.parents, ended.tokens, ended.log_probs)
    width = options.beam_size // options.groups
    by_group = jax.tree.map(lambda leaf: leaf.reshape(-1, width), (pool, new))
    both = jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=1), *by_group)
    _, best = top_k(both.scores, width)
    return jax.tree.map(lambda leaf: leaf.reshape(shape), gather(both, best))
