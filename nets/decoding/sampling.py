"""Generating sequences from a model token by token: greedily or by sampling."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from ..masking import is_concrete
from .step_model import StepModel
from .values import as_array

State = tuple[Array, Any, Array | None]  # tokens, carry, which rows have ended
Drawn = tuple[Array, Any]  # tokens, log probabilities or None


class GreedyResult(NamedTuple):
    """tokens int32 [B, L] and log_probs float32 [B, L], 0 after the end; lengths int32 [B]."""

    tokens: Array
    log_probs: Array
    lengths: Array


def greedy(model: StepModel, *, max_length: int) -> GreedyResult:
    """Generate the most probable token at each step until the end; ties go to the lowest id.

    A row ends with the model's eos_id, which counts towards its length, or after max_length tokens.
    Decoding stops when all rows have ended. NaN logits give NaN log_probs. Raises ValueError for
    max_length below 1 and for a model without eos_id.

        >>> def step_fn(table, tokens, carry):
        ...     return table[tokens], carry
        >>> table = jnp.array([[0.0, 0.0, 0.0], [0.0, 1.0, 2.0], [1.0, 0.0, 0.0]])
        >>> model = StepModel(step_fn, table, (), bos_id=jnp.array([1]), eos_id=0)
        >>> greedy(model, max_length=4).tokens.tolist()
        [[2, 0, 0, 0]]
    """
    if max_length < 1:
        raise ValueError(f"max_length is {max_length}; it must be at least 1")
    first = model.first_tokens()
    model.first_outputs(first)  # checks eos_id
    return _greedy(model, first, max_length)


@partial(jax.jit, static_argnums=2)
def _greedy(model: StepModel, first: Array, max_length: int) -> GreedyResult:
    rows = len(first)

    def unfinished(state: tuple[Any, ...]) -> Array:
        step, _, ended, _, _ = state
        return (step < max_length) & ~ended.all()

    def draw(state: tuple[Any, ...]) -> tuple[Any, ...]:
        step, tokens, ended, carry, out = state
        logits, carry, _ = model.step(tokens, carry)
        tokens = jnp.argmax(logits, axis=-1).astype(jnp.int32)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[:, None], axis=-1)[:, 0]
        out = GreedyResult(
            out.tokens.at[:, step].set(jnp.where(ended, 0, tokens)),
            out.log_probs.at[:, step].set(jnp.where(ended, 0, chosen)),
            out.lengths + (~ended).astype(jnp.int32),
        )
        return step + 1, tokens, ended | (tokens == model.end), carry, out

    out = GreedyResult(
        jnp.zeros((rows, max_length), jnp.int32),
        jnp.zeros((rows, max_length), jnp.float32),
        jnp.zeros(rows, jnp.int32),
    )
    state = (jnp.int32(0), first, jnp.zeros(rows, bool), model.carry, out)
    return lax.while_loop(unfinished, draw, state)[-1]


def sample(model: StepModel, key: Array, *, length: int, **options: Any) -> Array:
    """Sample `length` tokens one after the other; each token is the next input.

    Options:

        temperature           1.0, or float [B], one for each row: the logits are divided by it;
                              at 0 the most probable token is taken
        top_k, top_p, min_p   None: the filters keep_top_k, keep_top_p and keep_min_p, applied in
                              this order after the division

    Returns int32 [B, length]. Once a row has generated the model's eos_id, all further tokens are
    0; without eos_id no row ends. Raises ValueError for top_k below 1, for top_p or min_p outside
    (0, 1], for a temperature below 0, and for an eos_id outside the vocabulary.
    """
    state, draw = sampler(model, **options)
    _, (drawn, _) = draw(state, jax.random.split(key, length))
    return jnp.swapaxes(drawn, 0, 1)


def sample_steps(model: StepModel, key: Array, *, length: int, **options: Any) -> Iterator[Array]:
    """Yield the tokens of `sample` as they are generated: int32 [B], `length` times.

    Takes the arguments of `sample` and yields the same tokens. Since the compiled program is one
    step, its rounding may differ, which matters only where two tokens are almost equally probable.
    """
    state, draw = sampler(model, **options)
    for step_key in jax.random.split(key, length)[:, None]:
        state, (drawn, _) = draw(state, step_key)
        yield drawn[0]


def sampler(
    model: StepModel,
    *,
    temperature: float | Array = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    scored: bool = False,
) -> tuple[State, Callable[[State, Array], tuple[State, Drawn]]]:
    """Return the first state, and draw(state, keys [T]) -> (state, (tokens, log p)), each [T, B].

    scored: whether log p is computed; otherwise it is None.
    """
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k is {top_k}; it must be at least 1")
    for name, share in (("top_p", top_p), ("min_p", min_p)):
        if share is not None and is_concrete(share) and not 0 < share <= 1:
            raise ValueError(f"{name} is {share}; it must be above 0 and at most 1")
    tokens = model.first_tokens()
    model.first_outputs(tokens)  # checks eos_id
    heat = as_array(temperature)
    if heat.shape not in ((), tokens.shape):
        raise ValueError(
            f"temperature must be one number, or one for each of the {len(tokens)} rows, "
            f"got shape {heat.shape}"
        )
    if is_concrete(heat) and not np.all(heat >= 0):
        raise ValueError(f"temperature is {temperature}; it must be at least 0")
    state = tokens, model.carry, None if model.eos_id is None else jnp.zeros(tokens.shape, bool)
    filters = {"top_k": top_k, "top_p": top_p, "min_p": min_p, "scored": scored}
    # the carry is in the state, so the first step is compiled like the others
    fixed = dataclasses.replace(model, carry=None, bos_id=0)
    return state, partial(_draw, fixed, temperature=heat, **filters)


@partial(jax.jit, static_argnames=("top_k", "scored"))
def _draw(
    model: StepModel,
    state: State,
    keys: Array,
    *,
    temperature: float | Array,
    top_k: int | None,
    top_p: ArrayLike | None,
    min_p: ArrayLike | None,
    scored: bool,
) -> tuple[State, Drawn]:
    def draw(state: State, key: Array) -> tuple[State, Drawn]:
        tokens, carry, ended = state
        logits, carry, _ = model.step(tokens, carry)
        heat = jnp.broadcast_to(jnp.asarray(temperature, logits.dtype), tokens.shape)
        scaled = logits / jnp.maximum(heat, 1e-6)[:, None]
        if top_k is not None:
            scaled = keep_top_k(scaled, top_k)
        if top_p is not None:
            scaled = keep_top_p(scaled, top_p)
        if min_p is not None:
            scaled = keep_min_p(scaled, min_p)
        tokens = jnp.where(
            heat > 0, jax.random.categorical(key, scaled), jnp.argmax(logits, axis=-1)
        ).astype(jnp.int32)
        log_probs = None
        if scored:
            log_probs = jax.nn.log_softmax(logits)
            log_probs = jnp.take_along_axis(log_probs, tokens[:, None], axis=-1)[:, 0]
        if ended is not None:
            tokens = jnp.where(ended, 0, tokens)
            log_probs = None if log_probs is None else jnp.where(ended, 0, log_probs)
            ended = ended | (tokens == model.eos_id)
        return (tokens, carry, ended), (tokens, log_probs)

    return lax.scan(draw, state, keys)


def keep_top_k(logits: Array, k: int) -> Array:
    """Set logits [..., V] to -inf, except for the k largest and any that tie with the k-th.

    Source: Fan et al., "Hierarchical Neural Story Generation", 2018.
    """
    least = lax.top_k(logits, min(k, logits.shape[-1]))[0][..., -1:]
    return jnp.where(logits >= least, logits, -jnp.inf)


def keep_top_p(logits: Array, p: ArrayLike) -> Array:
    """Set logits [..., V] to -inf outside the smallest set of tokens with total probability p.

    Tokens that tie with the least probable one of the set stay too. p: in (0, 1].
    Source: Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020.
    """
    ordered = jnp.sort(logits, axis=-1, descending=True)
    probs = jax.nn.softmax(ordered, axis=-1)
    before = jnp.cumsum(probs, axis=-1) - probs
    # rounding must remove neither the most probable token nor, at p = 1, any other
    inside = ((before < p) | (jnp.asarray(p) >= 1)).at[..., 0].set(True)
    least = jnp.min(jnp.where(inside, ordered, jnp.inf), axis=-1, keepdims=True)
    return jnp.where(logits >= least, logits, -jnp.inf)


def keep_min_p(logits: Array, p: ArrayLike) -> Array:
    """Set logits [..., V] to -inf where the probability is below p times the largest one.

    p: in (0, 1]. Source: Nguyen et al., "Turning Up the Heat: Min-p Sampling", 2025.
    """
    least = jnp.max(logits, axis=-1, keepdims=True) + jnp.log(p)
    return jnp.where(logits >= least, logits, -jnp.inf)
