"""The inputs of a search as arrays: the model, the constraints, and the score."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from .constraints import Constraints, Limits, make_constraints
from .sampling import StepFn, take_step
from .scores import Normalize, Scoring, check_scoring, scoring


class ModelInputs(NamedTuple):
    """Arguments of the first call of the model; see nets.decoding.beam_search."""

    parameters: Any
    carry: Any
    bos_id: ArrayLike
    memory: Any


class ScoreOptions(NamedTuple):
    """Options of nets.decoding.scores.scoring; source_valid: bool [B, S] or None."""

    normalize: Normalize
    length_penalty: Any
    coverage_penalty: Any
    source_valid: Any


class Settings(NamedTuple):
    """Values that all rows share; new ones do not recompile. diversity: None with one group."""

    parameters: Any
    eos_id: int | Array
    scoring: Scoring
    diversity: Any = None


class RowData(NamedTuple):
    """Data that all hypotheses of a row share; every leaf has the leading axis B."""

    memory: Any
    constraints: Constraints
    source_valid: Array | None


class Problem(NamedTuple):
    """A search problem; bos: int32 [B]; source: S if the search reads the attention, else 0."""

    settings: Settings
    row: RowData
    bos: Array
    source: int


step_shapes = jax.jit(take_step, static_argnums=0)  # caches the trace, unlike jax.eval_shape


def make_problem(
    step_fn: StepFn,
    inputs: ModelInputs,
    score_options: ScoreOptions,
    limits: Limits,
    *,
    eos_id: int | Array,
    max_length: int,
    return_attention: bool,
) -> Problem:
    """Check the options of a search and convert them to arrays.

    Raises ValueError for options that do not fit one another, the vocabulary or the shapes.
    """
    parameters, carry, bos_id, memory = inputs
    normalize, length_penalty, coverage_penalty, source_valid = score_options
    if max_length < 1:
        raise ValueError(f"max_length is {max_length}; it must be at least 1")
    check_scoring(normalize, length_penalty, coverage_penalty)
    rows = count_rows(bos_id, carry, memory)
    bos = jnp.broadcast_to(jnp.asarray(bos_id, jnp.int32), (rows,))
    logits, _, attention = step_shapes.eval_shape(step_fn, parameters, bos, carry, memory)
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
    row = RowData(memory, constraints, source_valid)
    return Problem(Settings(parameters, eos_id, score), row, bos, source)


def count_rows(bos_id: ArrayLike, carry: Any, memory: Any) -> int:
    """Return the batch size B, the leading axis that all inputs share."""
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves((carry, memory))]
    shapes += [jnp.shape(bos_id)] if jnp.ndim(bos_id) else []
    counts = {shape[:1] for shape in shapes}
    if len(counts) != 1 or () in counts:
        raise ValueError(f"carry, memory and bos_id must agree in their first axis: {shapes}")
    return shapes[0][0]
