"""Generating sequences from any step function: greedily, by sampling, or from several models.

step_fn(parameters, tokens int32 [N], carry) -> (logits float [N, V], carry), or these two and
attention float [N, S]. carry: any pytree whose leaves have the leading axis N. memory: a pytree
that every step reads and none changes, such as the outputs of an encoder; if it is given, step_fn
receives it as a fourth argument. step_fn is a static argument of the compiled program: pass the
same function each time, since a new one is compiled again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

StepFn = Callable[..., tuple[Any, ...]]
State = tuple[Array, Any, Array | None]  # tokens, carry, which rows have ended


class GreedyResult(NamedTuple):
    """tokens int32 [B, L] and log_probs float32 [B, L], 0 after the end; lengths int32 [B]."""

    tokens: Array
    log_probs: Array
    lengths: Array


def take_step(
    step_fn: StepFn, parameters: Any, tokens: Array, carry: Any, memory: Any
) -> tuple[Array, Any, Array | None]:
    """Call step_fn once; return (logits float32 [N, V], carry, attention [N, S] or None)."""
    extra = () if memory is None else (memory,)
    logits, carry, *attention = step_fn(parameters, tokens, carry, *extra)
    return logits.astype(jnp.float32), carry, attention[0] if attention else None


def greedy(
    step_fn: StepFn,
    parameters: Any,
    carry: Any,
    tokens: ArrayLike,
    *,
    eos_id: int,
    max_length: int,
    memory: Any = None,
) -> GreedyResult:
    """Generate the most probable token at each step until `eos_id`; ties go to the lowest id.

    tokens: int32 [B], the first inputs. A row ends with eos_id, which counts towards its length, or
    after max_length tokens. Decoding stops when all rows have ended. NaN logits give NaN log_probs.
    Raises ValueError for max_length below 1.

        >>> def step_fn(table, tokens, carry):
        ...     return table[tokens], carry
        >>> table = jnp.array([[0.0, 0.0, 0.0], [0.0, 1.0, 2.0], [1.0, 0.0, 0.0]])
        >>> greedy(step_fn, table, (), jnp.array([1]), eos_id=0, max_length=4).tokens.tolist()
        [[2, 0, 0, 0]]
    """
    if max_length < 1:
        raise ValueError(f"max_length is {max_length}; it must be at least 1")
    options = {"eos_id": eos_id, "max_length": max_length}
    return _greedy(step_fn, parameters, carry, tokens, memory, **options)


@partial(jax.jit, static_argnums=0, static_argnames="max_length")
def _greedy(
    step_fn: StepFn,
    parameters: Any,
    carry: Any,
    tokens: Array,
    memory: Any,
    *,
    eos_id: int | Array,
    max_length: int,
) -> GreedyResult:
    rows = tokens.shape[0]

    def unfinished(state: tuple[Any, ...]) -> Array:
        step, _, ended, _, _ = state
        return (step < max_length) & ~ended.all()

    def draw(state: tuple[Any, ...]) -> tuple[Any, ...]:
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


def sample(
    step_fn: StepFn,
    parameters: Any,
    carry: Any,
    tokens: ArrayLike,
    key: Array,
    *,
    length: int,
    **options: Any,
) -> Array:
    """Sample `length` tokens one after the other; each token is the next input.

    tokens: int32 [N], the first inputs. Options:

        temperature           1.0: the logits are divided by it; at 0 the most probable token is
                              taken
        top_k, top_p, min_p   None: the filters keep_top_k, keep_top_p and keep_min_p, applied in
                              this order after the division
        eos_id                None: once a row has generated it, all further tokens are 0
        memory                None: see the docstring of this module

    Returns int32 [N, length]. Raises ValueError for top_k below 1, and for top_p or min_p outside
    (0, 1].
    """
    state, draw = _sampler(step_fn, parameters, carry, tokens, **options)
    _, drawn = draw(state, jax.random.split(key, length))
    return jnp.swapaxes(drawn, 0, 1)


def sample_steps(
    step_fn: StepFn,
    parameters: Any,
    carry: Any,
    tokens: ArrayLike,
    key: Array,
    *,
    length: int,
    **options: Any,
) -> Iterator[Array]:
    """Yield the tokens of `sample` as they are generated: int32 [N], `length` times.

    Takes the arguments of `sample` and yields the same tokens. Since the compiled program is one
    step, its rounding may differ, which matters only where two tokens are almost equally probable.
    """
    state, draw = _sampler(step_fn, parameters, carry, tokens, **options)
    for step_key in jax.random.split(key, length)[:, None]:
        state, drawn = draw(state, step_key)
        yield drawn[0]


def _sampler(
    step_fn: StepFn,
    parameters: Any,
    carry: Any,
    tokens: ArrayLike,
    *,
    temperature: float | Array = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    eos_id: int | None = None,
    memory: Any = None,
) -> tuple[State, Callable[[State, Array], tuple[State, Array]]]:
    """Return the initial state, and draw(state, keys [T]) -> (state, tokens [T, N])."""
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k is {top_k}; it must be at least 1")
    for name, share in (("top_p", top_p), ("min_p", min_p)):
        if share is not None and not 0 < share <= 1:
            raise ValueError(f"{name} is {share}; it must be above 0 and at most 1")
    tokens = jnp.asarray(tokens, jnp.int32)
    state = tokens, carry, None if eos_id is None else jnp.zeros(tokens.shape, bool)
    filters = {"top_k": top_k, "top_p": top_p, "min_p": min_p}
    fixed = {"temperature": temperature, "eos_id": eos_id, "memory": memory}
    return state, partial(_draw, step_fn, parameters, **filters, **fixed)


@partial(jax.jit, static_argnums=0, static_argnames="top_k")
def _draw(
    step_fn: StepFn,
    parameters: Any,
    state: State,
    keys: Array,
    *,
    top_k: int | None,
    top_p: ArrayLike | None,
    min_p: ArrayLike | None,
    temperature: float | Array,
    eos_id: int | Array | None,
    memory: Any,
) -> tuple[State, Array]:
    def draw(state: State, key: Array) -> tuple[State, Array]:
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
    # rounding must not remove the most probable token
    inside = (before < p).at[..., 0].set(True)
    least = jnp.min(jnp.where(inside, ordered, jnp.inf), axis=-1, keepdims=True)
    return jnp.where(logits >= least, logits, -jnp.inf)


def keep_min_p(logits: Array, p: ArrayLike) -> Array:
    """Set logits [..., V] to -inf where the probability is below p times the largest one.

    p: in (0, 1]. Source: Nguyen et al., "Turning Up the Heat: Min-p Sampling", 2025.
    """
    least = jnp.max(logits, axis=-1, keepdims=True) + jnp.log(p)
    return jnp.where(logits >= least, logits, -jnp.inf)


@dataclass(frozen=True)
class Ensemble:
    """Step function of an ensemble; instances with equal members are equal and compile once."""

    step_fns: tuple[StepFn, ...]

    def __call__(
        self, parameters: Any, tokens: Array, carry: Any, memory: Any = None
    ) -> tuple[Any, ...]:
        """Advance all members by one step; see `ensemble`."""
        memories = (None,) * len(self.step_fns) if memory is None else memory
        members = zip(self.step_fns, parameters, carry, memories, strict=True)
        steps = [take_step(f, p, tokens, state, own) for f, p, state, own in members]
        logits, carries, attention = zip(*steps, strict=True)
        mean = sum(map(jax.nn.log_softmax, logits)) / len(steps)
        extra = () if None in attention else (sum(attention) / len(steps),)
        return jax.nn.log_softmax(mean), carries, *extra


def ensemble(step_fns: Sequence[StepFn]) -> Ensemble:
    """Return a step function of the normalised geometric mean of several models' probabilities.

    log P(v) = log_softmax(mean_m log_softmax(logits_m))[v]. Its parameters, carry and memory are
    tuples with one entry per model. If every model returns attention, over the same positions, the
    ensemble returns the mean. Raises ValueError if there are no step functions.
    """
    if not step_fns:
        raise ValueError("an ensemble needs at least one step function")
    return Ensemble(tuple(step_fns))
