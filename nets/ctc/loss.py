"""Connectionist temporal classification: the loss, the best path, and the alignment of a label.

At each step the network gives probabilities of V symbols, one of which is the blank. A path is one
symbol per step. It spells the label that remains after merging repeats and then dropping blanks, so
a label with two equal symbols in a row needs a blank between them:

    P(label) = sum over the paths that spell it of prod_t P(symbol of the path at t)

logits: float [B, T, V]. lengths: int [B], number of real steps, or None for T. labels: int [B, N],
without blanks. label_lengths: int [B], or None for N. Padding values of logits or labels, even NaN,
affect nothing. A row without steps spells only the empty label. Arguments that do not fit raise
ValueError; the ranges of lengths and labels are only checked outside of jit, where their values are
known.

Source: Graves, Fernandez, Gomez, Schmidhuber, "Connectionist temporal classification: labelling
unsegmented sequence data with recurrent neural networks", 2006.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from ..shapes import as_rows_of, expand_to
from .checks import checked, checked_logits
from .scaled_float import MIN_EXPONENT, ScaledFloat, add, clip_log2, multiply

LOG2_E = np.float32(np.log2(np.e))


class CTCLoss(NamedTuple):
    """nats: float32 [B], 0 if infeasible. feasible: bool [B], whether any path spells the label."""

    nats: Array
    feasible: Array


class Alignment(NamedTuple):
    """path: int32 [B, T], the symbol at each step. place: int32 [B, T]. score: float32 [B].

    place: index into the label, 0 to N - 1, or -1 at a blank. score: log probability of the path.
    Padding is aligned to blanks. If no path spells the label of a row, all its steps are blanks and
    its score is -inf.
    """

    path: Array
    place: Array
    score: Array


def ctc_loss(
    logits: ArrayLike,
    lengths: ArrayLike | None,
    labels: ArrayLike,
    label_lengths: ArrayLike | None,
    blank_id: int = 0,
) -> CTCLoss:
    """Return -log P(label) of each row.

    A label that no path can spell has loss 0, no gradient and feasible=False: for example, one that
    is longer than the input once blanks separate its repeated symbols. The gradient is equation 15
    of Graves et al., from forward and backward sums. Probabilities below 2 ** -8192 at a step count
    as 2 ** -8192.

    `optax.ctc_loss` returns 1e5 with a gradient for labels that no path can spell, can return
    losses below 0, and sums logarithms in float32: bench/ctc.md compares errors and times.

        >>> logits, lengths = jnp.zeros((1, 4, 3)), jnp.array([4])  # 4 steps, 3 equal symbols
        >>> labels, label_lengths = jnp.array([[1, 2]]), jnp.array([2])
        >>> loss = ctc_loss(logits, lengths, labels, label_lengths)
        >>> round(float(81 * jnp.exp(-loss.nats[0])))  # 15 of the 3 ** 4 paths spell 1 2
        15
    """
    inputs = checked(logits, lengths, labels, label_lengths, blank_id)
    inputs = (inputs[0], *(as_rows_of(inputs[0], leaf) for leaf in inputs[1:]))
    return CTCLoss(*_loss(*inputs, blank_id))


def _real(steps: int, lengths: Array) -> Array:
    """Bool [B, steps], false at padding."""
    return jnp.arange(steps, dtype=lengths.dtype)[None] < lengths[:, None]


def frame_log_probs(logits: Array, lengths: Array, blank_id: int) -> Array:
    """Log probabilities float32 [B, T, V]; at padding the blank has probability 1."""
    valid = _real(logits.shape[1], lengths)[..., None]
    log_probs = jax.nn.log_softmax(jnp.where(valid, logits, 0).astype(jnp.float32))
    is_blank = jnp.arange(logits.shape[2]) == blank_id
    blank = expand_to(jnp.where(is_blank, 0.0, -jnp.inf).astype(jnp.float32), log_probs)
    return jnp.where(valid, log_probs, blank)


class _Sums(NamedTuple):
    """Total probability of the partial paths at each position in the label, at one step.

    blanks: [B, N + 1], at a blank after n labels. symbols: [B, N], at label n.
    """

    blanks: ScaledFloat
    symbols: ScaledFloat


def _initial_sums(start: Array, labels: int) -> _Sums:
    """All probability at the blank after start [B] labels."""
    at = jnp.arange(labels + 1, dtype=start.dtype)[None] == start[:, None]
    zeros = jnp.zeros_like(at[:, 1:], jnp.float32)
    return _Sums(ScaledFloat.from_values(at), ScaledFloat.from_values(zeros))


def _neighbours(array: Array, reverse: bool, fill: float) -> Array:
    """Pad [B, N] to [B, N + 1]: entry n is the one before blank n, or with reverse after it."""
    return jnp.pad(array, ((0, 0), (0, 1) if reverse else (1, 0)), constant_values=fill)


def _into_blanks(sums: _Sums, reverse: bool) -> ScaledFloat:
    """Sum over the states from which a path can move to each blank."""
    symbols = sums.symbols
    mantissa = _neighbours(symbols.mantissa, reverse, 0.0)
    exponent = _neighbours(symbols.exponent, reverse, MIN_EXPONENT)
    return add(sums.blanks, ScaledFloat(mantissa, exponent))


def _repeated(labels: Array, reverse: bool = False) -> Array:
    """Bool [B, N], whether a symbol equals the one before it, or with reverse the one after it."""
    near = _neighbours(labels, reverse, -1)
    return labels == (near[:, 1:] if reverse else near[:, :-1])


def _transition(sums: _Sums, repeated: Array, reverse: bool = False) -> _Sums:
    """Sum over the states that lead to each state; a repeated symbol needs a blank before it."""
    blanks = _into_blanks(sums, reverse)
    near = slice(1, None) if reverse else slice(None, -1)
    pairs = zip(sums.blanks, blanks, strict=True)
    before = ScaledFloat(*(jnp.where(repeated, a[:, near], b[:, near]) for a, b in pairs))
    return _Sums(blanks, add(sums.symbols, before))


def _emit(arrived: _Sums, blank: Array, symbols: Array) -> _Sums:
    """Multiply by the probabilities of a step, given as log2: blank [B], symbols [B, N]."""
    return _Sums(
        multiply(arrived.blanks, ScaledFloat.from_log2(blank[:, None])),
        multiply(arrived.symbols, ScaledFloat.from_log2(symbols)),
    )


class _Inputs(NamedTuple):
    """log_probs [B, T, V]; log2 P of the blank [T, B] and of labels [T, B, N]; labels [B, N]."""

    log_probs: Array
    blank: Array
    symbols: Array
    labels: Array


def _inputs(
    logits: Array, lengths: Array, labels: Array, label_lengths: Array, blank_id: int
) -> _Inputs:
    log_probs = frame_log_probs(logits, lengths, blank_id)
    labels = jnp.where(_real(labels.shape[1], label_lengths), labels, blank_id)
    blank = clip_log2(log_probs[..., blank_id] * LOG2_E)
    symbols = clip_log2(jnp.take_along_axis(log_probs, labels[:, None], axis=2) * LOG2_E)
    return _Inputs(log_probs, blank.T, jnp.swapaxes(symbols, 0, 1), labels)


def _forward(
    inputs: _Inputs, label_lengths: Array, *, keep: bool
) -> tuple[ScaledFloat, _Sums | None]:
    """Probability [B] of the labels, and with keep the forward sums that arrive at each step."""
    repeated = _repeated(inputs.labels)

    def step(sums: _Sums, emission: tuple[Array, Array]) -> tuple[_Sums, _Sums | None]:
        arrived = _transition(sums, repeated)
        return _emit(arrived, *emission), arrived if keep else None

    sums = _initial_sums(jnp.zeros_like(label_lengths), repeated.shape[1])
    sums, history = lax.scan(step, sums, (inputs.blank, inputs.symbols))
    ends = _into_blanks(sums, reverse=False)
    total = jax.tree.map(lambda a: jnp.take_along_axis(a, label_lengths[:, None], 1)[:, 0], ends)
    return total, history


@partial(jax.custom_vjp, nondiff_argnums=(4,))
@partial(jax.jit, static_argnums=4)
def _loss(
    logits: Array, lengths: Array, labels: Array, label_lengths: Array, blank_id: int
) -> tuple[Array, Array]:
    """Return nats and feasible, without the forward sums that only the gradient needs."""
    inputs = _inputs(logits, lengths, labels, label_lengths, blank_id)
    return _nats(_forward(inputs, label_lengths, keep=False)[0])


def _nats(total: ScaledFloat) -> tuple[Array, Array]:
    feasible = total.mantissa != 0
    return jnp.where(feasible, jnp.maximum(-total.log(), 0), 0), feasible


@partial(jax.jit, static_argnums=4)
def _loss_and_gradient(
    logits: Array, lengths: Array, labels: Array, label_lengths: Array, blank_id: int
) -> tuple[tuple[Array, Array], Array]:
    """The result of _loss, and d nats / d logits = P(symbol at t) - P(symbol at t | label)."""
    inputs = _inputs(logits, lengths, labels, label_lengths, blank_id)
    total, history = _forward(inputs, label_lengths, keep=True)
    nats, feasible = _nats(total)
    repeated = _repeated(inputs.labels, reverse=True)

    def posterior(forward: ScaledFloat, backward: ScaledFloat, log2: Array) -> Array:
        """Probability, given the label, that a path is in a state."""
        exponent = forward.exponent + backward.exponent - total.exponent[:, None]
        mantissa = forward.mantissa * backward.mantissa / total.mantissa[:, None]
        return mantissa * jnp.exp2(exponent.astype(jnp.float32) + log2)

    def step(sums: _Sums, frame: tuple[Array, Array, Any]) -> tuple[_Sums, Any]:
        blank, symbols, forward = frame
        backward = _transition(sums, repeated, reverse=True)
        posteriors = (
            posterior(forward.blanks, backward.blanks, blank[:, None]).sum(axis=1),
            posterior(forward.symbols, backward.symbols, symbols),
        )
        return _emit(backward, blank, symbols), posteriors

    start = _initial_sums(label_lengths, labels.shape[1])
    frames = (inputs.blank, inputs.symbols, history)
    _, (blank, symbols) = lax.scan(step, start, frames, reverse=True)
    chosen = jax.nn.one_hot(inputs.labels, logits.shape[2], dtype=jnp.float32)
    given_label = jnp.einsum("tbn,bnv->btv", symbols, chosen, precision=lax.Precision.HIGHEST)
    given_label = given_label.at[..., blank_id].add(blank.T)
    real = _real(logits.shape[1], lengths) & feasible[:, None]
    gradient = jnp.where(real[..., None], jnp.exp(inputs.log_probs) - given_label, 0)
    return (nats, feasible), gradient


def _backward(blank_id: int, gradient: Array, cotangents: tuple[Array, Any]) -> tuple[Any, ...]:
    nats = cotangents[0][:, None, None]
    # the gradient of a loss that does not count may be NaN
    return jnp.where(nats == 0, 0, nats * gradient), None, None, None


_loss.defvjp(_loss_and_gradient, _backward)


@partial(jax.jit, static_argnames="blank_id")
def _greedy(logits: Array, lengths: Array, blank_id: int) -> tuple[Array, Array]:
    best = jnp.argmax(logits, axis=2).astype(jnp.int32)
    best = jnp.where(_real(logits.shape[1], lengths), best, blank_id)
    previous = jnp.pad(best[:, :-1], ((0, 0), (1, 0)), constant_values=blank_id)
    emits = (best != blank_id) & (best != previous)
    rows, time = best.shape
    index = jnp.where(emits, jnp.cumsum(emits, axis=1) - 1, time)
    labels = jnp.zeros((rows, time), jnp.int32)
    labels = labels.at[jnp.arange(rows)[:, None], index].set(best, mode="drop")
    return labels, emits.sum(axis=1, dtype=jnp.int32)


def ctc_greedy(
    logits: ArrayLike, lengths: ArrayLike | None, blank_id: int = 0
) -> tuple[Array, Array]:
    """Return the label of the most probable path: int32 [B, T], 0 after the end; lengths int32 [B].

    It need not be the most probable label, which `nets.ctc.ctc_beam_search` looks for. Ties go to
    the lowest symbol id.
    """
    return _greedy(*checked_logits(logits, lengths, blank_id), blank_id)


def ctc_align(
    logits: ArrayLike,
    lengths: ArrayLike | None,
    labels: ArrayLike,
    label_lengths: ArrayLike | None,
    blank_id: int = 0,
) -> Alignment:
    """Return the most probable path that spells the label, by the Viterbi algorithm."""
    return _align(*checked(logits, lengths, labels, label_lengths, blank_id), blank_id)


@partial(jax.jit, static_argnames="blank_id")
def _align(
    logits: Array, lengths: Array, labels: Array, label_lengths: Array, blank_id: int
) -> Alignment:
    valid = _real(logits.shape[1], lengths)
    labels = jnp.where(_real(labels.shape[1], label_lengths), labels, blank_id)
    rows, count = labels.shape
    # state 2 n is the blank after n labels, 2 n + 1 label n
    symbols = jnp.full((rows, 2 * count + 1), blank_id, jnp.int32).at[:, 1::2].set(labels)
    log_probs = frame_log_probs(logits, lengths, blank_id)
    scores = jnp.swapaxes(jnp.take_along_axis(log_probs, symbols[:, None], axis=2), 0, 1)
    two_before = jnp.pad(symbols, ((0, 0), (2, 0)), constant_values=blank_id)[:, : 2 * count + 1]
    skips = symbols != two_before  # false between blanks, too

    def shifted(best: Array, states: int) -> Array:
        padding = ((0, 0), (states, 0))
        return jnp.pad(best, padding, constant_values=-jnp.inf)[:, : best.shape[1]]

    def step(best: Array, score: Array) -> tuple[Array, Array]:
        ways = jnp.stack([best, shifted(best, 1), jnp.where(skips, shifted(best, 2), -jnp.inf)])
        return ways.max(axis=0) + score, ways.argmax(axis=0).astype(jnp.int8)

    start = jnp.where(jnp.arange(2 * count + 1) == 0, 0.0, -jnp.inf).astype(jnp.float32)
    start = jnp.broadcast_to(start, symbols.shape)
    best, moves = lax.scan(step, start, scores)
    ends = 2 * label_lengths[:, None] - jnp.array([[0, 1]], label_lengths.dtype)
    totals = jnp.where(ends < 0, -jnp.inf, jnp.take_along_axis(best, jnp.maximum(ends, 0), axis=1))
    state = jnp.take_along_axis(ends, totals.argmax(axis=1)[:, None], axis=1)[:, 0]

    def back(state: Array, move: Array) -> tuple[Array, Array]:
        moved = jnp.take_along_axis(move, state[:, None], axis=1)[:, 0]
        return state - moved.astype(state.dtype), state

    _, states = lax.scan(back, state, moves, reverse=True)
    score = totals.max(axis=1)
    emits = valid & (states.T % 2 == 1) & (score > -jnp.inf)[:, None]
    index = jnp.where(emits, states.T // 2, -1)
    # index -1 reads the column that is added in front
    path = jnp.take_along_axis(jnp.pad(labels, ((0, 0), (1, 0))), index + 1, axis=1)
    return Alignment(jnp.where(emits, path, blank_id), index, score)
