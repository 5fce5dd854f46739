"""The inputs of a search as arrays, once they are checked."""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from .constraints import Constraints, Limits, make_constraints
from .scores import Score, Scoring, check_score, scoring
from .step_model import StepModel

SCORE, LIMITS = Score(), Limits()  # of a search without options


class Settings(NamedTuple):
    """Values that all rows share; new ones do not recompile. diversity: None with one group.

    model: the model without what belongs to the rows: carry, bos_id and memory.
    """

    model: StepModel
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


def make_problem(
    model: StepModel, score: Score, limits: Limits, max_length: int, return_attention: bool = False
) -> Problem:
    """Check the inputs of a search and convert them to arrays.

    Raises ValueError for options that do not fit one another, the vocabulary or the shapes.
    """
    if max_length < 1:
        raise ValueError(f"max_length is {max_length}; it must be at least 1")
    check_score(score)
    bos, eos_id = model.first_tokens(), model.end
    rows = len(bos)
    logits, _, attention = model.first_outputs(bos)
    needs_attention = return_attention or score.covers
    if attention is None and needs_attention:
        raise ValueError("coverage_penalty and return_attention need a step_fn with attention")
    source = attention.shape[-1] if needs_attention else 0
    constraints = make_constraints(rows, logits.shape[-1], max_length, eos_id, limits)
    valid = None
    if score.covers and score.source_valid is None:
        valid = jnp.ones((rows, source), bool)
    elif score.covers:
        valid = jnp.asarray(score.source_valid)
        if valid.shape != (rows, source):
            shape = valid.shape
            raise ValueError(f"source_valid has shape {shape}; the attention's is {(rows, source)}")
    shared = dataclasses.replace(model, carry=None, bos_id=0, memory=None)
    settings = Settings(shared, scoring(score, max_length))
    return Problem(settings, RowData(model.memory, constraints, valid), bos, source)
