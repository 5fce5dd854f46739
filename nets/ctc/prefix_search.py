"""The most probable label of connectionist temporal classification, by prefix beam search.

Sources: Graves et al., "Connectionist temporal classification", 2006, section 3.2; Hannun et al.,
"First-pass large vocabulary continuous speech recognition using bi-directional recurrent DNNs",
2014, for the language model. Shapes and conventions are those of `nets.ctc.loss`.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from ..decoding.step_model import StepModel
from ..decoding.top_k import top_k
from ..shapes import expand_to
from .checks import checked_logits
from .loss import frame_log_probs


class CTCBeam(NamedTuple):
    """Labels of each row, best first.

    labels: int32 [B, K, L], 0 after the end. lengths: int32 [B, K]. log_probs: float32 [B, K], log
    P(label) over the paths that the search followed, a lower bound of the total. scores: float32
    [B, K]. If fewer than K labels have a positive probability, the scores and log_probs of the
    other entries are -inf.
    """

    labels: Array
    lengths: Array
    log_probs: Array
    scores: Array


class _Beam(NamedTuple):
    """K prefixes of one row.

    labels: [K, L], of a type that holds all symbols. lengths: int32 [K]. last: int32 [K], the last
    symbol, -1 for the empty prefix. blank, symbol: log P of the paths that spell the prefix and end
    with a blank, or with its last symbol. is_prefix: bool [K, K], whether prefix i is a prefix of
    prefix j or equal to it. lm_score: score of the language model and the length.
    """

    labels: Array
    lengths: Array
    last: Array
    blank: Array
    symbol: Array
    is_prefix: Array
    lm_score: Array

    @property
    def log_probs(self) -> Array:
        return jnp.logaddexp(self.blank, self.symbol)


class _Extensions(NamedTuple):
    """Extensions of prefixes by a symbol among which those of a step are chosen.

    prefixes: static indices, [N], or [K, 1] if all are considered. ranks: indices in `symbols`,
    [N], or [1, V]. symbols: int32 [S]. log_probs: float32 [S], at this step.
    """

    prefixes: np.ndarray
    ranks: np.ndarray
    symbols: Array
    log_probs: Array

    def of(self, table: Array) -> Array:
        """Entries of a table [K, V or more], [N] or [K, V]."""
        if self.prefixes.ndim == 2:
            return table[:, : self.ranks.size]
        return table[self.prefixes, self.symbols[self.ranks]]


class _Options(NamedTuple):
    """Static options of the compiled search; see ctc_beam_search."""

    beam_size: int
    n_best: int
    max_labels: int
    blank_id: int


def ctc_beam_search(
    logits: ArrayLike,
    lengths: ArrayLike | None,
    *,
    beam_size: int,
    blank_id: int = 0,
    n_best: int | None = None,
    max_labels: int | None = None,
    language_model: StepModel | None = None,
    lm_weight: float | Array = 1.0,
    length_bonus: float | Array = 0.0,
) -> CTCBeam:
    """Search for the labels of highest score, extending beam_size prefixes from step to step.

        score = log P(label) + lm_weight log P(label by the language model) + length_bonus |label|

    All paths of a prefix are merged, whichever beams they come from. Each step keeps the beam_size
    prefixes of highest score. The language model's score is added as prefixes grow (shallow
    fusion), and the score of its end token at the end. The search is exact if the beam has room for
    all labels. The model takes a step only at frames where a prefix of the batch has grown.

    language_model: its ids are those of the symbols, and it may have more. bos_id: the blank is
    suitable, since no text contains it. eos_id: the token that ends a text, or None if the model
    has no such token.
    logits: float [B, T, V]; NaN counts as probability 0. lengths: int [B], or None for T. n_best:
    number of labels returned, at most and by default beam_size. max_labels: length of the longest
    label, by default T. Raises ValueError for options that do not fit one another or the shapes.

        >>> logits = jnp.log(jnp.array([[[0.6, 0.4], [0.6, 0.4]]]))  # blank and one symbol
        >>> beam = ctc_beam_search(logits, jnp.array([2]), beam_size=2)
        >>> beam.lengths[0].tolist()  # the label [1] has probability 0.64, the empty one 0.36
        [1, 0]
    """
    logits, lengths = checked_logits(logits, lengths, blank_id)
    rows, time, symbols = logits.shape
    n_best = beam_size if n_best is None else n_best
    max_labels = max(time, 1) if max_labels is None else max_labels
    if not 1 <= n_best <= beam_size:
        raise ValueError(f"n_best must be from 1 to the beam_size {beam_size}, got {n_best}")
    if max_labels < 1:
        raise ValueError(f"max_labels must be at least 1, got {max_labels}")
    lm = None
    if language_model is not None:
        lm = language_model, lm_weight
        if any(not jnp.ndim(leaf) for leaf in jax.tree.leaves(language_model.carry)):
            raise ValueError(
                "the language model has a scalar in its carry, but prefixes grow at different "
                "steps: each leaf needs the leading axis B"
            )
        tokens = jax.ShapeDtypeStruct((rows,), jnp.int32)
        shape = language_model.first_outputs(tokens)[0].shape
        if shape[0] != rows or shape[1] < symbols:
            raise ValueError(
                f"the language model must give logits of shape ({rows}, {symbols} or more), "
                f"got {shape}"
            )
    options = _Options(beam_size, n_best, max_labels, blank_id)
    return _search(options, (logits, lengths), lm, length_bonus)


@partial(jax.jit, static_argnums=0)
def _search(
    options: _Options, inputs: tuple[Array, Array], lm: Any, length_bonus: float | Array
) -> CTCBeam:
    """inputs: logits, lengths. lm: the language model and its weight, or None."""
    logits, lengths = inputs
    log_probs = frame_log_probs(logits, lengths, options.blank_id)
    log_probs = jnp.where(jnp.isnan(log_probs), -jnp.inf, log_probs)
    shape = (len(logits), options.beam_size)
    symbols = logits.shape[2]
    small = jnp.uint8 if symbols <= 256 else jnp.int32
    beams = jax.vmap(lambda _: _initial_beam(options, small))(jnp.arange(len(logits)))
    others = log_probs.at[..., options.blank_id].set(-jnp.inf)
    if lm is None and symbols > 1 and logits.shape[1] <= options.max_labels:
        prefixes, ranks = _possible(options.beam_size, symbols - 1)
        considered = top_k(others, int(ranks.max()) + 1)
    else:
        prefixes, ranks = np.ogrid[: options.beam_size, :symbols]
        ids = expand_to(jnp.arange(symbols, dtype=jnp.int32), others)
        considered = others, jnp.broadcast_to(ids, others.shape)

    def repeat(leaf: Array) -> Array:  # [B, ...] -> [B, K, ...]
        return jnp.broadcast_to(leaf[:, None], (*shape, *leaf.shape[1:]))

    def read(tokens: Array, carry: Any) -> Any:
        """Weighted log P [B, K, U] of the symbols after tokens [B, K], and the carry."""
        model, weight = lm
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), carry)
        logits, flat, _ = model.step(tokens.ravel(), flat)
        log_probs = jax.nn.log_softmax(logits)
        # without weight, a symbol that the model excludes counts like any other
        both = jnp.where(jnp.asarray(weight) == 0, 0, weight * log_probs), flat
        return jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), both)

    def step(
        state: tuple[_Beam, Any], frame: tuple[Array, tuple[Array, Array]]
    ) -> tuple[tuple[_Beam, Any], None]:
        beams, lm_state = state
        lm_log_probs = None if lm_state is None else lm_state[0]

        def extend(beam: _Beam, frame: Any, lm_log_probs: Array | None) -> Any:
            frame, (log_probs, ids) = frame
            extensions = _Extensions(prefixes, ranks, ids, log_probs)
            gain = jnp.float32(length_bonus)
            gain = gain if lm_log_probs is None else gain + extensions.of(lm_log_probs)
            return _extend(options, beam, frame, extensions, gain)

        beams, source, symbol = jax.vmap(extend)(beams, frame, lm_log_probs)
        if lm_state is None:
            return (beams, None), None

        def advance(lm_state: Any) -> Any:
            new = read(jnp.maximum(symbol, 0), lm_state[1])
            return jax.tree.map(partial(_select, symbol >= 0), new, lm_state)

        lm_state = jax.vmap(_take)(lm_state, source)
        lm_state = lax.cond((symbol >= 0).any(), advance, lambda lm_state: lm_state, lm_state)
        return (beams, lm_state), None

    lm_state = None
    if lm is not None:
        first = jnp.broadcast_to(jnp.asarray(lm[0].bos_id, jnp.int32), shape[:1])
        lm_state = read(repeat(first), jax.tree.map(repeat, lm[0].carry))
    frames = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), (log_probs, considered))
    (beams, lm_state), _ = lax.scan(step, (beams, lm_state), frames)
    scores = beams.log_probs + beams.lm_score
    if lm_state is not None and lm[0].eos_id is not None:
        scores = scores + lm_state[0][..., lm[0].eos_id]
    labels = beams.labels.astype(jnp.int32)
    return _best(CTCBeam(labels, beams.lengths, beams.log_probs, scores), options.n_best)


def _possible(count: int, symbols: int) -> tuple[np.ndarray, np.ndarray]:
    """Return prefixes int32 [N], and the ranks [N] of the symbols by which they may have to grow.

    Prefixes are in the order of their scores, and symbols in that of their probabilities at a step.
    Where prefix i grows by the symbol of rank r, the (i + 1) (r + 1) prefixes up to i that grow by
    the symbols up to r have at least the same score, in the beam already or not, except that each
    of the i + 1 may lose probability by repeating its last symbol. So (i + 1) r - 1 others precede
    it, and it need not be considered if these fill the beam.
    """
    pairs = [(i, r) for i in range(count) for r in range(min(count // (i + 1) + 1, symbols))]
    prefixes, ranks = np.array(pairs, np.int32).reshape(-1, 2).T
    return prefixes, ranks


def _initial_beam(options: _Options, dtype: Any) -> _Beam:
    """The empty prefix, and K - 1 unused entries."""
    count = options.beam_size
    used = jnp.arange(count) == 0
    none, zeros = jnp.full(count, -jnp.inf, jnp.float32), jnp.zeros(count, jnp.float32)
    return _Beam(
        jnp.zeros((count, options.max_labels), dtype),
        jnp.zeros(count, jnp.int32),
        jnp.full(count, -1, jnp.int32),
        jnp.where(used, jnp.float32(0), none),
        none,
        jnp.ones((count, count), bool),
        zeros,
    )


def _take(tree: Any, indices: Array) -> Any:
    return jax.tree.map(lambda leaf: leaf[indices], tree)


def _select(chosen: Array, new: Array, old: Array) -> Array:
    """Return `new` where chosen [B, K], else `old`."""
    return jnp.where(chosen.reshape(*chosen.shape, *(1,) * (new.ndim - 2)), new, old)


def _extend(
    options: _Options, beam: _Beam, frame: Array, extensions: _Extensions, gain: Array
) -> tuple[_Beam, Array, Array]:
    """Advance a row by one step; return the beam, the source of each prefix, its new symbol or -1.

    frame: log P float32 [V] of the step. gain: what an extension adds to `lm_score`.
    """
    count, total, last = options.beam_size, beam.log_probs, beam.last
    blank = total + frame[options.blank_id]
    symbol = jnp.where(last < 0, -jnp.inf, beam.symbol + frame[last])

    def grown(prefixes: Any, ids: Array, log_probs: Array) -> Array:
        """Log P of prefixes that grow by symbols."""
        # repeating the last symbol extends the prefix only after a blank
        after_blank = ids == last[prefixes]
        return jnp.where(after_blank, beam.blank[prefixes], total[prefixes]) + log_probs

    # paths that grow into a prefix of the beam are merged with it
    extends_to = beam.is_prefix & (beam.lengths[:, None] + 1 == beam.lengths[None])
    parent, merged = extends_to.argmax(axis=0), extends_to.any(axis=0)
    symbol = jnp.logaddexp(symbol, jnp.where(merged, grown(parent, last, frame[last]), -jnp.inf))
    taken = jnp.zeros((count, len(frame)), bool)
    taken = taken.at[parent, jnp.where(merged, last, len(frame))].set(True, mode="drop")

    prefixes: Any = extensions.prefixes
    ids = extensions.symbols[extensions.ranks]
    longer = grown(prefixes, ids, extensions.log_probs[extensions.ranks])
    allowed = (beam.lengths < options.max_labels)[prefixes] & ~extensions.of(taken)
    longer = jnp.where(allowed, longer, -jnp.inf)
    gained = jnp.broadcast_to(beam.lm_score[prefixes] + gain, longer.shape).ravel()
    ids = jnp.broadcast_to(ids, longer.shape).ravel()
    prefixes = jnp.broadcast_to(prefixes, longer.shape).astype(jnp.int32).ravel()
    longer = longer.ravel()
    stays = jnp.logaddexp(blank, symbol) + beam.lm_score
    # ties go to the first entry: prefixes of the beam, then extensions of the best prefix, by their
    # probabilities; since prefixes of probability 0 do not grow, only the empty one can occur twice
    _, best = top_k(jnp.concatenate([stays, longer + gained]), count)
    is_new = best >= count
    chosen = jnp.maximum(best - count, 0)
    source = jnp.where(is_new, prefixes[chosen], best)
    new = ids[chosen]

    labels, lengths, lm_score = _take((beam.labels, beam.lengths, beam.lm_score), source)
    at_end = jnp.arange(options.max_labels, dtype=jnp.int32)[None] == lengths[:, None]
    labels = jnp.where(at_end & is_new[:, None], new[:, None].astype(labels.dtype), labels)
    lengths = lengths + is_new.astype(lengths.dtype)
    # i is a prefix of j if this held for their sources and j has i's new symbol at that index
    same = new[:, None].astype(labels.dtype) == labels[:, jnp.maximum(lengths - 1, 0)].T
    same = same & (lengths[:, None] <= lengths[None])
    is_prefix = beam.is_prefix[source][:, source] & (same | ~is_new[:, None])
    return (
        _Beam(
            labels,
            lengths,
            jnp.where(is_new, new, last[source]),
            jnp.where(is_new, -jnp.inf, blank[source]),
            jnp.where(is_new, longer[chosen], symbol[source]),
            is_prefix,
            jnp.where(is_new, gained[chosen], lm_score),
        ),
        source,
        jnp.where(is_new, new, -1),
    )


def _best(beam: CTCBeam, count: int) -> CTCBeam:
    """Return the `count` labels of highest score, best first."""
    _, order = lax.top_k(beam.scores, count)
    labels, lengths, log_probs, scores = jax.vmap(_take)(beam, order)
    real = scores > -jnp.inf
    return CTCBeam(
        jnp.where(real[..., None], labels, 0),
        jnp.where(real, lengths, 0),
        jnp.where(real, log_probs, -jnp.inf),
        scores,
    )


def rescore(found: CTCBeam, added: ArrayLike) -> CTCBeam:
    """Add scores of whole labels, float [B, K], to those of a search, and sort the labels again.

    For models that cannot score symbol by symbol, such as a language model of words: score the
    texts of `found` on the host and pass the weighted scores as `added`. Only these labels are
    considered, and no new ones.
    """
    scores = jnp.where(found.scores > -jnp.inf, found.scores + added, -jnp.inf)
    return _best(found._replace(scores=scores), scores.shape[1])
