"""A model as the searches see it: a step function and the inputs of its first call."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from ..masking import is_concrete
from ..shapes import as_rows_of

StepFn = Callable[..., tuple[Any, ...]]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("parameters", "carry", "bos_id", "memory"),
    meta_fields=("step_fn", "eos_id"),
)
@dataclass(frozen=True, eq=False)
class StepModel:
    """A model that gives the logits of the next token; a pytree.

    step_fn(parameters, tokens int32 [N], carry) -> (logits float [N, V], carry), or these two and
    attention float [N, S]. It is static: pass the same function each time, since a new one is
    compiled again. carry: any pytree whose leaves have the leading axis B, the number of rows, or
    are scalars, such as the number of steps, which all rows and hypotheses share.
    bos_id: the first input, int, or int32 [B]. eos_id: the token that ends a sequence, a static
    int; None if no token does. memory: a pytree of leaves [B, ...] that every step reads and none
    changes, such as the outputs of an encoder; if it is given, step_fn receives it as a fourth
    argument. A search may call step_fn with N = B K; the hypotheses of row b then have the indices
    b K to b K + K - 1, and share the memory of their row.
    """

    step_fn: StepFn
    parameters: Any
    carry: Any
    bos_id: ArrayLike
    eos_id: int | None = None
    memory: Any = None

    def step(self, tokens: Array, carry: Any) -> tuple[Array, Any, Array | None]:
        """Call step_fn once; return (logits float32 [N, V], carry, attention [N, S] or None).

        Raises ValueError if step_fn returns anything else.
        """
        extra = () if self.memory is None else (self.memory,)
        results = self.step_fn(self.parameters, tokens, carry, *extra)
        several = isinstance(results, (tuple, list))
        if not several or len(results) not in (2, 3):
            got = f"{len(results)} results" if several else type(results).__name__
            raise ValueError(
                f"step_fn must return (logits, carry) or (logits, carry, attention), got {got}"
            )
        logits, carry, *attention = results
        if jnp.ndim(logits) != 2 or logits.shape[0] != tokens.shape[0]:
            raise ValueError(
                f"step_fn must return logits [{tokens.shape[0]}, symbols], got {jnp.shape(logits)}"
            )
        return logits.astype(jnp.float32), carry, attention[0] if attention else None

    def with_memory(self, memory: Any) -> "StepModel":
        """Return the same model with another memory."""
        return dataclasses.replace(self, memory=memory)

    def first_tokens(self) -> Array:
        """First input of each row, int32 [B].

        Raises ValueError if carry, memory and bos_id do not agree in their leading axis.
        """
        shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(self.carry) if jnp.ndim(leaf)]
        shapes += [jnp.shape(leaf) for leaf in jax.tree.leaves(self.memory)]
        shapes += [jnp.shape(self.bos_id)] if jnp.ndim(self.bos_id) else []
        counts = {shape[:1] for shape in shapes}
        if len(counts) != 1 or () in counts:
            raise ValueError(f"carry, memory and bos_id must agree in their first axis: {shapes}")
        rows = [leaf for leaf in jax.tree.leaves((self.carry, self.memory)) if jnp.ndim(leaf)]
        bos = jnp.broadcast_to(jnp.asarray(self.bos_id, jnp.int32), shapes[0][:1])
        return as_rows_of(jnp.asarray(rows[0]), bos) if rows else bos

    def first_outputs(self, tokens: Any) -> Any:
        """Shapes and dtypes of the results of `step` for the first tokens [B].

        Raises ValueError if eos_id is not in the vocabulary.
        """
        outputs = _first_step.eval_shape(self, tokens)
        symbols = outputs[0].shape[-1]
        if self.eos_id is not None and not 0 <= self.eos_id < symbols:
            raise ValueError(f"eos_id is {self.eos_id}; it must be None or from 0 to {symbols - 1}")
        return outputs

    @property
    def end(self) -> int:
        """eos_id; raises ValueError if no token ends a sequence."""
        if self.eos_id is None:
            raise ValueError("eos_id is None; a search needs a token that ends a sequence")
        return self.eos_id


def map_rows(function: Callable[..., Any], carry: Any, *others: Any) -> Any:
    """Apply a function to the leaves of a carry that have rows; scalars stay the same."""
    return jax.tree.map(
        lambda leaf, *rest: function(leaf, *rest) if jnp.ndim(leaf) else leaf, carry, *others
    )


# caches the trace, unlike jax.eval_shape
_first_step = jax.jit(lambda model, tokens: model.step(tokens, model.carry))


@dataclass(frozen=True)
class EnsembleStep:
    """Step function of an ensemble; instances with equal members are equal and compile once."""

    step_fns: tuple[StepFn, ...]

    def __call__(
        self, parameters: Any, tokens: Array, carry: Any, memory: Any = None
    ) -> tuple[Any, ...]:
        """Advance all members by one step; see `ensemble`."""
        memories = (None,) * len(self.step_fns) if memory is None else memory
        members = zip(self.step_fns, parameters, carry, memories, strict=True)
        steps = [StepModel(f, p, None, 0, None, own).step(tokens, c) for f, p, c, own in members]
        logits, carries, attention = zip(*steps, strict=True)
        mean = sum(map(jax.nn.log_softmax, logits)) / len(steps)
        extra = () if None in attention else (sum(attention) / len(steps),)
        return jax.nn.log_softmax(mean), carries, *extra


def ensemble(models: Sequence[StepModel]) -> StepModel:
    """Return a model of the normalised geometric mean of several models' probabilities.

    log P(v) = log_softmax(mean_m log_softmax(logits_m))[v]. Its parameters, carry and memory are
    tuples with one entry per model; bos_id and eos_id are those of all models. If every model
    returns attention, over the same positions, the ensemble returns the mean. Raises ValueError if
    there is no model, or if their bos_id or eos_id differ.
    """
    if not models:
        raise ValueError("an ensemble needs at least one model")
    first = models[0]
    for model in models:
        begins = model.bos_id, first.bos_id
        if model.eos_id != first.eos_id or (is_concrete(begins) and not np.array_equal(*begins)):
            raise ValueError("the models of an ensemble must have the same bos_id and eos_id")
    memories = tuple(model.memory for model in models)
    return StepModel(
        EnsembleStep(tuple(model.step_fn for model in models)),
        tuple(model.parameters for model in models),
        tuple(model.carry for model in models),
        first.bos_id,
        first.eos_id,
        None if all(memory is None for memory in memories) else memories,
    )
