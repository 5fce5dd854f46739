"""The most probable label of connectionist temporal classification, by prefix beam search.

Sources: Graves et al., "Connectionist temporal classification", 2006, section 3.2; Hannun et al.,
"First-pass large vocabulary continuous speech recognition using bi-directional recurrent DNNs",
2014, for the language model; shapes and conventions are those of `nets.ctc.loss`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ..decoding.sampling import take_step
from ..decoding.top_k import top_k
from .loss import check_logits, frame_log_probs


class SymbolModel(NamedTuple):
    """A language model over the symbols, as a step function of `nets.decoding.sampling`.

    step_fn(parameters, tokens int32 [N], carry) -> (logits [N, U], carry), compiled in, so it must
    be a stable function; carry: leaves [B, ...]. Its ids are those of the symbols, and U may be
    larger than V. bos_id is the first token that it reads; the blank, which no text has, may serve.
    eos_id: the token that ends a text; None for a model that knows no end.
    """

    step_fn: Callable
    parameters: Any
    carry: Any
    bos_id: int
    eos_id: int | None = None


class CTCBeam(NamedTuple):
    """Labels of each row, best first.

    labels: int32 [B, K, L], 0 after the end. lengths: int32 [B, K]. log_probs: float32 [B, K], log
    P(label) over the paths that the search has followed, at most the whole. scores: float32 [B, K].
    Where fewer than K labels have any probability, the rest has scores and log_probs of -inf.
    """

    labels: jax.Array
    lengths: jax.Array
    log_probs: jax.Array
    scores: jax.Array


class _Beam(NamedTuple):
    """Prefixes of one row, K of them; `total` orders them.

    labels: int32 [K, L]. lengths: int32 [K]. blank, symbol: log P of the paths that spell the
    prefix and end with a blank, or with its last symbol. begins: bool [K, K], whether prefix i
    begins prefix j or is equal to it. told: score of the language model and the length.
    """

    labels: jax.Array
    lengths: jax.Array
    blank: jax.Array
    symbol: jax.Array
    begins: jax.Array
    told: jax.Array

    @property
    def log_probs(self):
        return jnp.logaddexp(self.blank, self.symbol)

    @property
    def last(self):
        """Last symbol of each prefix, -1 of the empty one."""
        at = jnp.maximum(self.lengths - 1, 0)[:, None]
        last = jnp.take_along_axis(self.labels, at, axis=1)[:, 0]
        return jnp.where(self.lengths > 0, last, -1)


class _Options(NamedTuple):
    """What the program depends on; see ctc_beam_search."""

    step_fn: Callable | None
    bos_id: int
    eos_id: int | None
    beam_size: int
    n_best: int
    max_labels: int
    blank_id: int


def ctc_beam_search(
    logits,
    lengths,
    *,
    beam_size: int,
    blank_id: int = 0,
    n_best: int | None = None,
    max_labels: int | None = None,
    language_model: SymbolModel | None = None,
    lm_weight=1.0,
    length_bonus=0.0,
) -> CTCBeam:
    """Search for the labels of highest score, following beam_size prefixes from step to step.

        score = log P(label) + lm_weight log P(label by the language model) + length_bonus |label|

    The paths of one prefix are merged, whatever beams they come from. At each step the beam_size
    prefixes of highest score stay, the model's part counted as they grow (shallow fusion), that of
    the end at the end. A beam that holds all labels is exact. The model takes a step where any
    prefix of the batch has grown, and none at the other frames.

    logits: float [B, T, V]; one that is NaN has no probability. lengths: int [B]. n_best: how many
    labels are returned, at most and by default beam_size. max_labels: symbols of the longest label,
    by default T. Raises ValueError for options that do not fit one another or the shapes.
    """
    check_logits(logits, lengths, blank_id)
    rows, time, symbols = logits.shape
    n_best = beam_size if n_best is None else n_best
    max_labels = max(time, 1) if max_labels is None else max_labels
    if not 1 <= n_best <= beam_size:
        raise ValueError(f"n_best must be from 1 to the beam_size {beam_size}, got {n_best}")
    if max_labels < 1:
        raise ValueError(f"max_labels must be at least 1, got {max_labels}")
    step_fn, bos_id, eos_id, told = None, 0, None, None
    if language_model is not None:
        step_fn, parameters, carry, bos_id, eos_id = language_model
        told = parameters, carry, lm_weight
        tokens = jax.ShapeDtypeStruct((rows,), jnp.int32)
        step = partial(take_step, step_fn, memory=None)
        found = jax.eval_shape(step, parameters, tokens, carry)[0].shape
        if found[0] != rows or found[1] < symbols:
            raise ValueError(
                f"the language model must give logits of shape ({rows}, {symbols} or more), "
                f"got {found}"
            )
    options = _Options(step_fn, bos_id, eos_id, beam_size, n_best, max_labels, blank_id)
    return _search(options, (logits, lengths), told, length_bonus)


@partial(jax.jit, static_argnums=0)
def _search(options: _Options, given, told, length_bonus) -> CTCBeam:
    """given: logits, lengths. told: parameters, carry and weight of the language model, or None."""
    logits, lengths = given
    log_probs = frame_log_probs(logits, lengths, options.blank_id)
    log_probs = jnp.where(jnp.isnan(log_probs), -jnp.inf, log_probs)
    shape = (len(logits), options.beam_size)
    beams = jax.vmap(lambda _: _first(options))(jnp.arange(len(logits)))

    def spread(leaf):  # [B, ...] -> [B, K, ...]
        return jnp.broadcast_to(leaf[:, None], (*shape, *leaf.shape[1:]))

    def read(tokens, carry):
        """Weighted log P [B, K, U] of what follows tokens [B, K], and the carry."""
        parameters, _, weight = told
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), carry)
        logits, flat, _ = take_step(options.step_fn, parameters, tokens.ravel(), flat, None)
        both = weight * jax.nn.log_softmax(logits), flat
        return jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), both)

    def step(state, frame):
        beams, model = state
        follows = None if model is None else model[0]
        grow = partial(_grow, options, length_bonus)
        beams, source, symbol = jax.vmap(grow)(beams, frame, follows)
        if model is None:
            return (beams, None), None

        def advance(model):
            new = read(jnp.maximum(symbol, 0), model[1])
            return jax.tree.map(partial(_select, symbol >= 0), new, model)

        model = jax.vmap(_take)(model, source)
        model = lax.cond((symbol >= 0).any(), advance, lambda model: model, model)
        return (beams, model), None

    model = None
    if told is not None:
        model = read(jnp.full(shape, options.bos_id, jnp.int32), jax.tree.map(spread, told[1]))
    (beams, model), _ = lax.scan(step, (beams, model), jnp.swapaxes(log_probs, 0, 1))
    scores = beams.log_probs + beams.told
    if model is not None and options.eos_id is not None:
        scores = scores + model[0][..., options.eos_id]
    return _best(CTCBeam(beams.labels, beams.lengths, beams.log_probs, scores), options.n_best)


def _first(options: _Options) -> _Beam:
    """The empty prefix, and K - 1 that do not exist."""
    count = options.beam_size
    real = jnp.arange(count) == 0
    none, zeros = jnp.full(count, -jnp.inf), jnp.zeros(count)
    return _Beam(
        jnp.zeros((count, options.max_labels), jnp.int32),
        jnp.zeros(count, jnp.int32),
        jnp.where(real, 0, none),
        none,
        jnp.ones((count, count), bool),
        zeros,
    )


def _take(tree, indices):
    return jax.tree.map(lambda leaf: leaf[indices], tree)


def _select(chosen, new, old):
    """Leaves new where chosen [B, K], else old."""
    return jnp.where(chosen.reshape(*chosen.shape, *(1,) * (new.ndim - 2)), new, old)


def _grow(options: _Options, length_bonus, beam: _Beam, frame, follows):
    """One step of a row: the new beam, the prefix that each came from, its new symbol or -1.

    frame: log P float32 [V] of the step. follows: [K, U], or None.
    """
    count, symbols, total, last = options.beam_size, len(frame), beam.log_probs, beam.last
    ids = jnp.arange(symbols)
    blank = total + frame[options.blank_id]
    symbol = jnp.where(last < 0, -jnp.inf, beam.symbol + frame[last])
    # a symbol again is a new one only after a blank
    longer = jnp.where(ids == last[:, None], beam.blank[:, None], total[:, None]) + frame
    room = (beam.lengths < options.max_labels)[:, None] & (ids != options.blank_id)
    longer = jnp.where(room, longer, -jnp.inf)

    # what grows to a prefix that is there already joins it
    grows = beam.begins & (beam.lengths[:, None] + 1 == beam.lengths)
    parent, joined = grows.argmax(axis=0), grows.any(axis=0)
    symbol = jnp.logaddexp(symbol, jnp.where(joined, longer[parent, last], -jnp.inf))
    longer = longer.at[parent, jnp.where(joined, last, symbols)].set(-jnp.inf, mode="drop")

    gain = jnp.full((count, symbols), length_bonus, jnp.float32)
    if follows is not None:
        gain = gain + follows[:, :symbols]
    stays = jnp.logaddexp(blank, symbol) + beam.told
    grown = (longer + gain + beam.told[:, None]).ravel()
    # of equals the first: no prefix without probability grows, so none but the empty one is twice
    _, best = top_k(jnp.concatenate([stays, grown]), count)
    is_new = best >= count
    source, new = divmod(jnp.maximum(best - count, 0), symbols)
    source = jnp.where(is_new, source, best)

    labels, lengths, told = _take((beam.labels, beam.lengths, beam.told), source)
    at_end = jnp.arange(options.max_labels) == lengths[:, None]
    labels = jnp.where(at_end & is_new[:, None], new[:, None], labels)
    lengths = lengths + is_new
    # prefix i begins j where the old ones did and j has i's new symbol in its place
    same = new[:, None] == labels[:, jnp.maximum(lengths - 1, 0)].T
    same = same & (lengths[:, None] <= lengths)
    begins = beam.begins[source][:, source] & (same | ~is_new[:, None])
    return (
        _Beam(
            labels,
            lengths,
            jnp.where(is_new, -jnp.inf, blank[source]),
            jnp.where(is_new, longer[source, new], symbol[source]),
            begins,
            told + jnp.where(is_new, gain[source, new], 0),
        ),
        source,
        jnp.where(is_new, new, -1),
    )


def _best(found: CTCBeam, count: int) -> CTCBeam:
    """The `count` of highest score, best first."""
    _, order = lax.top_k(found.scores, count)
    labels, lengths, log_probs, scores = jax.vmap(_take)(found, order)
    real = scores > -jnp.inf
    return CTCBeam(
        jnp.where(real[..., None], labels, 0),
        jnp.where(real, lengths, 0),
        jnp.where(real, log_probs, -jnp.inf),
        scores,
    )


def rescore(found: CTCBeam, added) -> CTCBeam:
    """Add what another judge says of the whole labels, float [B, K], and order them again.

    For what cannot be asked symbol by symbol, such as a language model of words: score the texts of
    `found` by it, with its weight, on the host. It chooses among these labels and finds no others.
    """
    scores = jnp.where(found.scores > -jnp.inf, found.scores + added, -jnp.inf)
    return _best(found._replace(scores=scores), scores.shape[1])
