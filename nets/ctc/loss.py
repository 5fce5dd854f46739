"""Connectionist temporal classification: the loss, the best path, and the best path of a label.

At each step the network gives probabilities of V symbols, one of which is the blank. A path is one
symbol a step; it spells the label that is left when repeats are merged and then blanks dropped, so
a label with two equal symbols in a row needs a blank between them:

    P(label) = sum over the paths that spell it of prod_t P(symbol of the path at t)

logits: float [B, T, V]. lengths: int [B], steps that are real. labels: int [B, N], none of them the
blank. label_lengths: int [B]. What stands in the padding of either, NaN included, changes nothing.
A row without steps spells the empty label alone. Arguments that do not fit raise ValueError;
lengths and labels out of range do where they are known, which inside jit they are not.

Source: Graves, Fernandez, Gomez, Schmidhuber, "Connectionist temporal classification: labelling
unsegmented sequence data with recurrent neural networks", 2006.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..masking import valid_steps
from .scaled_float import LEAST, Wide, add, clip_log2, multiply

LOG2_E = np.float32(np.log2(np.e))


class CTCLoss(NamedTuple):
    """nats: float32 [B], 0 where not feasible. feasible: bool [B], whether any path spells it."""

    nats: jax.Array
    feasible: jax.Array


class Alignment(NamedTuple):
    """Path int32 [B, T], the symbol at each step; place int32 [B, T]; score float32 [B].

    place: which label, 0 to N - 1, or -1 at a blank. The padding holds blanks, and so do all steps
    of a row that no path spells, whose score is -inf. score: log probability of the path.
    """

    path: jax.Array
    place: jax.Array
    score: jax.Array


def ctc_loss(logits, lengths, labels, label_lengths, blank_id: int = 0) -> CTCLoss:
    """Return -log P(label) of each row.

    A label that no path spells, as one that is longer with the blanks between its repeats than the
    input, has loss 0, no gradient, and feasible False. The gradient is that of Graves et al.,
    equation 15, from forward and backward sums. Probabilities below 2 ** -8192 at a step count as
    that much.

    `optax.ctc_loss` has 1e5 and a gradient for such labels, losses below 0, and sums of logarithms
    in float32: bench/ctc.md has the errors of its gradient, and the time.
    """
    _check(logits, lengths, labels, label_lengths, blank_id)
    logits = jnp.asarray(logits).astype(jnp.float32)
    return CTCLoss(*_loss(logits, lengths, labels, label_lengths, blank_id))


def check_logits(logits, lengths, blank_id: int) -> None:
    """Raise ValueError for what does not fit, as far as it is known."""
    shape, kind = jnp.shape(logits), jnp.result_type(logits)
    if len(shape) != 3 or not jnp.issubdtype(kind, jnp.floating):
        raise ValueError(
            f"logits must be floating point [batch, time, symbols], got {kind} of shape {shape}"
        )
    if not 0 <= blank_id < shape[2]:
        raise ValueError(f"blank_id must be from 0 to {shape[2] - 1}, got {blank_id}")
    valid_steps(shape[:2], lengths)


def _check(logits, lengths, labels, label_lengths, blank_id: int) -> None:
    """The same, and for labels."""
    check_logits(logits, lengths, blank_id)
    (rows, _, symbols), shape = jnp.shape(logits), jnp.shape(labels)
    if len(shape) != 2 or shape[0] != rows:
        raise ValueError(f"labels must have shape ({rows}, N), got {shape}")
    valid_steps(shape, label_lengths)
    if not any(isinstance(a, jax.core.Tracer) for a in (labels, label_lengths)):
        known = np.asarray(labels)[np.arange(shape[1]) < np.asarray(label_lengths)[:, None]]
        if np.any((known < 0) | (known >= symbols) | (known == blank_id)):
            raise ValueError(
                f"labels must be from 0 to {symbols - 1} and not the blank {blank_id}, "
                f"got {sorted(set(known.tolist()))}"
            )


def _real(steps: int, lengths):
    """Bool [B, steps], false at padding."""
    return jnp.arange(steps) < lengths[:, None]


def frame_log_probs(logits, lengths, blank_id: int):
    """Log probabilities float32 [B, T, V]; the padding is certainly blank, which spells nothing."""
    valid = _real(logits.shape[1], lengths)[..., None]
    log_probs = jax.nn.log_softmax(jnp.where(valid, logits, 0).astype(jnp.float32))
    blank = jnp.where(jnp.arange(logits.shape[2]) == blank_id, 0.0, -jnp.inf)
    return jnp.where(valid, log_probs, blank)


class _Sums(NamedTuple):
    """Probability of the paths so far, by where in the label they stand; time is not an axis.

    blanks: Wide [B, N + 1], at a blank after n labels. symbols: Wide [B, N], at label n.
    """

    blanks: Wide
    symbols: Wide


def _begin(start, labels: int) -> _Sums:
    """All probability at the blank after start [B] labels."""
    at = jnp.arange(labels + 1) == start[:, None]
    return _Sums(Wide.of(at), Wide.of(jnp.zeros((len(start), labels))))


def _beside(array, back: bool, zero):
    """The entry before each of [B, N] and after the last; back: after each and before the first."""
    return jnp.pad(array, ((0, 0), (0, 1) if back else (1, 0)), constant_values=zero)


def _at_blanks(sums: _Sums, back: bool) -> Wide:
    """Sums over where a path may come to the blanks from."""
    symbols = sums.symbols
    near = Wide(_beside(symbols.mantissa, back, 0.0), _beside(symbols.exponent, back, LEAST))
    return add(sums.blanks, near)


def _repeated(labels, back: bool = False):
    """Bool [B, N], whether a symbol is equal to that before it; back: to that after it."""
    near = _beside(labels, back, -1)
    return labels == (near[:, 1:] if back else near[:, :-1])


def _arrive(sums: _Sums, repeated, back: bool = False) -> _Sums:
    """Sums over where the paths may go next; before a repeated symbol there must be a blank."""
    blanks = _at_blanks(sums, back)
    near = slice(1, None) if back else slice(None, -1)
    before = jax.tree.map(
        lambda blank, any_way: jnp.where(repeated, blank[:, near], any_way[:, near]),
        sums.blanks,
        blanks,
    )
    return _Sums(blanks, add(sums.symbols, before))


def _read(arrived: _Sums, blank, symbols) -> _Sums:
    """Multiply by the probabilities of a step, given as log2: blank [B], symbols [B, N]."""
    return _Sums(
        multiply(arrived.blanks, Wide.from_log2(blank[:, None])),
        multiply(arrived.symbols, Wide.from_log2(symbols)),
    )


class _Inputs(NamedTuple):
    """log_probs [B, T, V]; log2 of a step's blank [T, B] and symbols [T, B, N]; labels [B, N]."""

    log_probs: jax.Array
    blank: jax.Array
    symbols: jax.Array
    labels: jax.Array


def _inputs(logits, lengths, labels, label_lengths, blank_id) -> _Inputs:
    log_probs = frame_log_probs(logits, lengths, blank_id)
    labels = jnp.where(_real(labels.shape[1], label_lengths), labels, blank_id)
    blank = clip_log2(log_probs[..., blank_id] * LOG2_E)
    symbols = clip_log2(jnp.take_along_axis(log_probs, labels[:, None], axis=2) * LOG2_E)
    return _Inputs(log_probs, blank.T, jnp.swapaxes(symbols, 0, 1), labels)


def _forward(inputs: _Inputs, label_lengths, *, keep: bool) -> tuple[Wide, _Sums | None]:
    """Probability [B] of the labels, and what arrives at each step if it is to be kept."""
    repeated = _repeated(inputs.labels)

    def step(sums, given):
        arrived = _arrive(sums, repeated)
        return _read(arrived, *given), arrived if keep else None

    sums = _begin(jnp.zeros_like(label_lengths), repeated.shape[1])
    sums, kept = lax.scan(step, sums, (inputs.blank, inputs.symbols))
    ends = _at_blanks(sums, back=False)
    total = jax.tree.map(lambda a: jnp.take_along_axis(a, label_lengths[:, None], 1)[:, 0], ends)
    return total, kept


@partial(jax.custom_vjp, nondiff_argnums=(4,))
@partial(jax.jit, static_argnums=4)
def _loss(logits, lengths, labels, label_lengths, blank_id):
    """Nats and feasible, without what the gradient needs."""
    inputs = _inputs(logits, lengths, labels, label_lengths, blank_id)
    return _nats(_forward(inputs, label_lengths, keep=False)[0])


def _nats(total: Wide):
    feasible = total.mantissa != 0
    return jnp.where(feasible, jnp.maximum(-total.log(), 0), 0), feasible


@partial(jax.jit, static_argnums=4)
def _loss_and_slope(logits, lengths, labels, label_lengths, blank_id):
    """The same, and d nats / d logits: P(symbol at t) - P(symbol at t | label)."""
    inputs = _inputs(logits, lengths, labels, label_lengths, blank_id)
    total, kept = _forward(inputs, label_lengths, keep=True)
    nats, feasible = _nats(total)
    repeated = _repeated(inputs.labels, back=True)

    def share(ahead: Wide, behind: Wide, log2):
        """Probability, given the label, of a path through here."""
        exponent = ahead.exponent + behind.exponent - total.exponent[:, None]
        mantissa = ahead.mantissa * behind.mantissa / total.mantissa[:, None]
        return mantissa * jnp.exp2(exponent + log2)

    def step(sums, given):
        blank, symbols, ahead = given
        behind = _arrive(sums, repeated, back=True)
        shares = (
            share(ahead.blanks, behind.blanks, blank[:, None]).sum(axis=1),
            share(ahead.symbols, behind.symbols, symbols),
        )
        return _read(behind, blank, symbols), shares

    begin = _begin(label_lengths, labels.shape[1])
    _, (blank, symbols) = lax.scan(step, begin, (inputs.blank, inputs.symbols, kept), reverse=True)
    chosen = jax.nn.one_hot(inputs.labels, logits.shape[2])
    given_label = jnp.einsum("tbn,bnv->btv", symbols, chosen, precision=lax.Precision.HIGHEST)
    given_label = given_label.at[..., blank_id].add(blank.T)
    real = _real(logits.shape[1], lengths) & feasible[:, None]
    slope = jnp.where(real[..., None], jnp.exp(inputs.log_probs) - given_label, 0)
    return (nats, feasible), slope


def _backward(blank_id, slope, cotangents):
    nats, _ = cotangents
    # the slope of a loss that does not count may be NaN
    return jnp.where(nats[:, None, None] == 0, 0, nats[:, None, None] * slope), None, None, None


_loss.defvjp(_loss_and_slope, _backward)


@partial(jax.jit, static_argnames="blank_id")
def _greedy(logits, lengths, blank_id):
    best = jnp.argmax(logits, axis=2).astype(jnp.int32)
    best = jnp.where(_real(logits.shape[1], lengths), best, blank_id)
    before = jnp.pad(best[:, :-1], ((0, 0), (1, 0)), constant_values=blank_id)
    spelt = (best != blank_id) & (best != before)
    rows, time = best.shape
    place = jnp.where(spelt, jnp.cumsum(spelt, axis=1) - 1, time)
    labels = jnp.zeros((rows, time), jnp.int32)
    labels = labels.at[jnp.arange(rows)[:, None], place].set(best, mode="drop")
    return labels, spelt.sum(axis=1, dtype=jnp.int32)


def ctc_greedy(logits, lengths, blank_id: int = 0) -> tuple[jax.Array, jax.Array]:
    """Return what the most probable path spells: labels int32 [B, T], 0 after the end, lengths [B].

    That need not be the most probable label, which `nets.ctc.prefix_search` looks for. Of equally
    probable symbols the first is taken.
    """
    check_logits(logits, lengths, blank_id)
    return _greedy(logits, lengths, blank_id)


def ctc_align(logits, lengths, labels, label_lengths, blank_id: int = 0) -> Alignment:
    """Return the most probable path that spells the label, by Viterbi's algorithm."""
    _check(logits, lengths, labels, label_lengths, blank_id)
    return _align(logits, lengths, labels, label_lengths, blank_id)


@partial(jax.jit, static_argnames="blank_id")
def _align(logits, lengths, labels, label_lengths, blank_id):
    valid = _real(logits.shape[1], lengths)
    labels = jnp.where(_real(labels.shape[1], label_lengths), labels, blank_id)
    rows, count = labels.shape
    # state 2 n is the blank after n labels, 2 n + 1 label n
    symbols = jnp.full((rows, 2 * count + 1), blank_id, jnp.int32).at[:, 1::2].set(labels)
    log_probs = frame_log_probs(logits, lengths, blank_id)
    scores = jnp.swapaxes(jnp.take_along_axis(log_probs, symbols[:, None], axis=2), 0, 1)
    two_before = jnp.pad(symbols[:, :-2], ((0, 0), (2, 0)), constant_values=blank_id)
    skips = symbols != two_before  # false between blanks, too

    def moved(best, states):
        room = ((0, 0), (states, 0))
        return jnp.pad(best, room, constant_values=-jnp.inf)[:, : best.shape[1]]

    def step(best, score):
        ways = jnp.stack([best, moved(best, 1), jnp.where(skips, moved(best, 2), -jnp.inf)])
        return ways.max(axis=0) + score, ways.argmax(axis=0).astype(jnp.int8)

    start = jnp.where(jnp.arange(2 * count + 1) == 0, 0.0, -jnp.inf)
    start = jnp.broadcast_to(start, symbols.shape)
    best, moves = lax.scan(step, start, scores)
    ends = 2 * label_lengths[:, None] - jnp.array([0, 1])
    each = jnp.where(ends < 0, -jnp.inf, jnp.take_along_axis(best, jnp.maximum(ends, 0), axis=1))
    state = jnp.take_along_axis(ends, each.argmax(axis=1)[:, None], axis=1)[:, 0]

    def back(state, move):
        return state - jnp.take_along_axis(move, state[:, None], axis=1)[:, 0], state

    _, states = lax.scan(back, state, moves, reverse=True)
    score = each.max(axis=1)
    shown = valid & (states.T % 2 == 1) & (score > -jnp.inf)[:, None]
    place = jnp.where(shown, states.T // 2, -1)
    # a blank in front, for place -1
    path = jnp.take_along_axis(jnp.pad(labels, ((0, 0), (1, 0))), place + 1, axis=1)
    return Alignment(jnp.where(shown, path, blank_id), place, score)
