"""Generating sequences from any step function: greedily, by sampling, by several models at once.

step_fn(parameters, tokens int32 [N], carry) -> (logits float [N, V], carry), or those two and
attention float [N, S]. It is compiled in, so it must be a stable function. carry: any pytree whose
leaves have the leading axis N. memory: a pytree that stays the same from step to step, such as the
outputs of an encoder; where it is given, step_fn gets it as its fourth argument.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class GreedyResult(NamedTuple):
    """tokens int32 [B, L], 0 after the end; log_probs [B, L], 0 there; lengths int32 [B]."""

    tokens: jax.Array
    log_probs: jax.Array
    lengths: jax.Array


def take_step(step_fn, parameters, tokens, carry, memory):
    """Call step_fn once: (logits float32 [N, V], carry, attention [N, S] or None)."""
    given = () if memory is None else (memory,)
    logits, carry, *attention = step_fn(parameters, tokens, carry, *given)
    return logits.astype(jnp.float32), carry, attention[0] if attention else None


def greedy(
    step_fn, parameters, carry, tokens, *, eos_id: int, max_length: int, memory: Any = None
) -> GreedyResult:
    """Take the most probable token at each step, the first of equals, until `eos_id`.

    tokens: int32 [B], the first inputs. A row ends with eos_id, which its length counts, or after
    max_length tokens; the loop ends with its last row. Logits with NaN give log_probs of NaN.
    ValueError: max_length below 1.
    """
    if max_length < 1:
        raise ValueError(f"max_length is {max_length}; at least 1 token is drawn")
    options = {"eos_id": eos_id, "max_length": max_length}
    return _greedy(step_fn, parameters, carry, tokens, memory, **options)


@partial(jax.jit, static_argnums=0, static_argnames="max_length")
def _greedy(step_fn, parameters, carry, tokens, memory, *, eos_id, max_length):
    rows = tokens.shape[0]

    def unfinished(state):
        step, _, ended, _, _ = state
        return (step < max_length) & ~ended.all()

    def draw(state):
        step, tokens, ended, carry, out = state
        logits, carry, _ = take_step(step_fn, parameters, tokens, carry, memory)
        tokens = jnp.argmax(logits, axis=-1).astype(jnp.int32)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[:, None], axis=-1)[:, 0]
        out = GreedyResult(
            out.tokens.at[:, step].set(jnp.where(ended, 0, tokens)),
            out.log_probs.at[:, step].set(jnp.where(ended, 0, chosen)),
            out.lengths + ~ended,
        )
        return step + 1, tokens, ended | (tokens == eos_id), carry, out

    out = GreedyResult(
        jnp.zeros((rows, max_length), jnp.int32),
        jnp.zeros((rows, max_length)),
        jnp.zeros(rows, jnp.int32),
    )
    state = (0, tokens.astype(jnp.int32), jnp.zeros(rows, bool), carry, out)
    return lax.while_loop(unfinished, draw, state)[-1]


def sample(step_fn, parameters, carry, tokens, key, *, length: int, **options):
    """Draw `length` tokens one after the other, each fed back as the next input.

    tokens: int32 [N], the first inputs. Options:

        temperature           1.0: logits are divided by it; 0 takes the most probable token
        top_k, top_p, min_p   None: see keep_top_k, keep_top_p and keep_min_p, which filter in this
                              order after the division
        eos_id                None: a row that has drawn it goes on with 0
        memory                None: see the module's text

    Returns int32 [N, length]. ValueError: top_k below 1; top_p or min_p outside (0, 1].
    """
    state, draw = _sampler(step_fn, parameters, carry, tokens, **options)
    _, drawn = draw(state, jax.random.split(key, length))
    return jnp.swapaxes(drawn, 0, 1)


def sample_steps(
    step_fn, parameters, carry, tokens, key, *, length: int, **options
) -> Iterator[jax.Array]:
    """Yield the tokens of `sample` as they are drawn: int32 [N], `length` times.

    Arguments and tokens are those of `sample`. It is a program of one step, so its rounding may
    differ, which tells only where two tokens are all but equal.
    """
    state, draw = _sampler(step_fn, parameters, carry, tokens, **options)
    for each in jax.random.split(key, length)[:, None]:
        state, drawn = draw(state, each)
        yield drawn[0]


def _sampler(
    step_fn,
    parameters,
    carry,
    tokens,
    *,
    temperature=1.0,
    top_k=None,
    top_p=None,
    min_p=None,
    eos_id=None,
    memory=None,
):
    """Return the state before the first draw, and draw(state, keys [T]) -> (state, [T, N])."""
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k is {top_k}; at least 1 token is kept")
    for name, share in (("top_p", top_p), ("min_p", min_p)):
        if share is not None and not 0 < share <= 1:
            raise ValueError(f"{name} is {share}; it must be above 0 and at most 1")
    tokens = jnp.asarray(tokens, jnp.int32)
    state = tokens, carry, None if eos_id is None else jnp.zeros(tokens.shape, bool)
    filters = {"top_k": top_k, "top_p": top_p, "min_p": min_p}
    fixed = {"temperature": temperature, "eos_id": eos_id, "memory": memory}
    return state, partial(_draw, step_fn, parameters, **filters, **fixed)


@partial(jax.jit, static_argnums=0, static_argnames="top_k")
def _draw(step_fn, parameters, state, keys, *, top_k, top_p, min_p, temperature, eos_id, memory):
    def draw(state, key):
        tokens, carry, ended = state
        logits, carry, _ = take_step(step_fn, parameters, tokens, carry, memory)
        scaled = logits / jnp.maximum(temperature, 1e-6)
        if top_k is not None:
            scaled = keep_top_k(scaled, top_k)
        if top_p is not None:
            scaled = keep_top_p(scaled, top_p)
        if min_p is not None:
            scaled = keep_min_p(scaled, min_p)
        tokens = jnp.where(
            temperature > 0, jax.random.categorical(key, scaled), jnp.argmax(logits, axis=-1)
        ).astype(jnp.int32)
        if ended is not None:
            tokens = jnp.where(ended, 0, tokens)
            ended = ended | (tokens == eos_id)
        return (tokens, carry, ended), tokens

    return lax.scan(draw, state, keys)


def keep_top_k(logits, k: int):
    """Logits [..., V] with -inf at all but the k largest and their equals.

    Source: Fan et al., "Hierarchical Neural Story Generation", 2018.
    """
    least = lax.top_k(logits, min(k, logits.shape[-1]))[0][..., -1:]
    return jnp.where(logits >= least, logits, -jnp.inf)


def keep_top_p(logits, p):
    """Logits [..., V] with -inf outside the fewest tokens that have probability p together.

    A token as probable as the last of them stays too. p: in (0, 1]. Source: Holtzman et al., "The
    Curious Case of Neural Text Degeneration", 2020.
    """
    ordered = jnp.sort(logits, axis=-1, descending=True)
    odds = jax.nn.softmax(ordered, axis=-1)
    before = jnp.cumsum(odds, axis=-1) - odds
    # the first token stays, whatever rounding does
    inside = (before < p).at[..., 0].set(True)
    least = jnp.min(jnp.where(inside, ordered, jnp.inf), axis=-1, keepdims=True)
    return jnp.where(logits >= least, logits, -jnp.inf)


def keep_min_p(logits, p):
    """Logits [..., V] with -inf where the probability is below p times the largest one.

    p: in (0, 1]. Source: Nguyen et al., "Turning Up the Heat: Min-p Sampling", 2025.
    """
    least = jnp.max(logits, axis=-1, keepdims=True) + jnp.log(p)
    return jnp.where(logits >= least, logits, -jnp.inf)


@dataclass(frozen=True)
class Ensemble:
    """The step function of several models; equal for equal members, so it is compiled once."""

    step_fns: tuple[Callable, ...]

    def __call__(self, parameters, tokens, carry, memory=None):
        """One step of all members: see ensemble."""
        memories = (None,) * len(self.step_fns) if memory is None else memory
        members = zip(self.step_fns, parameters, carry, memories, strict=True)
        steps = [take_step(f, p, tokens, state, own) for f, p, state, own in members]
        logits, carries, attention = zip(*steps, strict=True)
        mean = sum(map(jax.nn.log_softmax, logits)) / len(steps)
        given = () if None in attention else (sum(attention) / len(steps),)
        return jax.nn.log_softmax(mean), carries, *given


def ensemble(step_fns: Sequence[Callable]) -> Ensemble:
    """Step function of the geometric mean of several models' probabilities, made to sum to 1.

    log P(v) = log_softmax(mean_m log_softmax(logits_m))[v]. Its parameters, carry and memory are
    tuples with one entry for each model; attention is the mean where every model gives it, and
    they attend to the same positions. ValueError: no step functions.
    """
    if not step_fns:
        raise ValueError("an ensemble needs at least one step function")
    return Ensemble(tuple(step_fns))
