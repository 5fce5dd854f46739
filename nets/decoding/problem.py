"""What a search looks through: the model, what may be written, and how it is scored."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .constraints import Constraints, Limits, make_constraints
from .sampling import take_step
from .scores import Normalize, Scoring, check_scoring, scoring


class Inputs(NamedTuple):
    """What a model is called with first."""

    parameters: Any
    carry: Any
    bos_id: Any
    memory: Any


class Measure(NamedTuple):
    """Options of the score, see nets.decoding.scores.scoring; source_valid: bool [B, S] or None."""

    normalize: Normalize
    length_penalty: Any
    coverage_penalty: Any
    source_valid: Any


class Settings(NamedTuple):
    """What all rows share and a new value of which compiles nothing; diversity None: one group."""

    parameters: Any
    eos_id: Any
    scoring: Scoring
    diversity: Any = None


class Row(NamedTuple):
    """What all hypotheses of a row share; every leaf has the leading axis B."""

    memory: Any
    constraints: Constraints
    source_valid: jax.Array | None


class Problem(NamedTuple):
    """Settings, rows, their first tokens int32 [B], and the positions S of the attention, or 0."""

    settings: Settings
    row: Row
    bos: jax.Array
    source: int


shapes = jax.jit(take_step, static_argnums=0)  # traced once, where eval_shape would be each time


def pose(
    step_fn,
    inputs: Inputs,
    measure: Measure,
    limits: Limits,
    *,
    eos_id,
    max_length: int,
    return_attention: bool,
) -> Problem:
    """Bring the options of a search into arrays.

    ValueError: options that do not fit one another, the vocabulary or the shapes.
    """
    parameters, carry, bos_id, memory = inputs
    normalize, length_penalty, coverage_penalty, source_valid = measure
    if max_length < 1:
        raise ValueError(f"max_length is {max_length}; at least 1 token is searched for")
    check_scoring(normalize, length_penalty, coverage_penalty)
    rows = count_rows(bos_id, carry, memory)
    bos = jnp.broadcast_to(jnp.asarray(bos_id, jnp.int32), (rows,))
    logits, _, attention = shapes.eval_shape(step_fn, parameters, bos, carry, memory)
    if attention is None and (return_attention or coverage_penalty):
        raise ValueError("coverage_penalty and return_attention need a step_fn with attention")
    source = attention.shape[-1] if return_attention or coverage_penalty else 0
    constraints = make_constraints(rows, logits.shape[-1], max_length, eos_id, limits)
    if not coverage_penalty:
        coverage_penalty = source_valid = None
    elif source_valid is None:
        source_valid = jnp.ones((rows, source), bool)
    elif source_valid.shape != (rows, source):
        shape = source_valid.shape
        raise ValueError(f"source_valid has shape {shape}; the attention's is {(rows, source)}")
    score = scoring(normalize, length_penalty, coverage_penalty, max_length)
    row = Row(memory, constraints, source_valid)
    return Problem(Settings(parameters, eos_id, score), row, bos, source)


def count_rows(bos_id, carry, memory) -> int:
    """Rows of a batch: the leading axis that all inputs have."""
    found = [jnp.shape(leaf) for leaf in jax.tree.leaves((carry, memory))]
    found += [jnp.shape(bos_id)] if jnp.ndim(bos_id) else []
    counts = {shape[:1] for shape in found}
    if len(counts) != 1 or () in counts:
        raise ValueError(f"carry, memory and bos_id must agree in their first axis: {found}")
    return found[0][0]
