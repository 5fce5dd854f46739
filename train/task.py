"""The seam between an experiment and the loop: Mean, Task and Experiment."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import struct

Batch = dict[str, np.ndarray]


class Mean(struct.PyTreeNode):
    """A mean kept as total and weight, so that parts of any size are merged by addition."""

    total: Any
    weight: Any

    @classmethod
    def of(cls, values, mask=None) -> "Mean":
        """Mean of `values`, any shape, where `mask` (same shape, non-zero = counts) allows.

        Values under a zero of the mask may be NaN; a gradient is finite only when what they were
        computed from is. Raises ValueError when the shapes differ.
        """
        values = jnp.asarray(values, jnp.float32)
        if mask is None:
            return cls(values.sum(), jnp.float32(values.size))
        if mask.shape != values.shape:
            raise ValueError(f"mask {mask.shape} must have the shape of values {values.shape}")
        real = jnp.asarray(mask) != 0
        return cls(jnp.where(real, values, 0.0).sum(), real.sum(dtype=jnp.float32))

    def __add__(self, other: "Mean") -> "Mean":
        return Mean(self.total + other.total, self.weight + other.weight)

    @property
    def value(self):
        """Total over weight; 0 for the mean of nothing, so that its gradient is 0 as well."""
        return self.total / jnp.where(self.weight == 0, 1.0, self.weight)


def merge(a: Mapping[str, Mean], b: Mapping[str, Mean]) -> dict[str, Mean]:
    """Add two sets of means name by name."""
    return {name: a[name] + b[name] for name in a}


class Task:
    """What a network is trained to do: the only object that knows the keys of a batch.

    The model is called as `model.apply(variables, *inputs, train=...)`.
    """

    model: nn.Module
    headline = "loss"  # the metric that tables and curves show

    def inputs(self, batch: Batch, carry) -> tuple:
        """Return the positional arguments of the model."""
        raise NotImplementedError

    def init_carry(self, batch: Batch):
        """State that crosses batches, leading axis B in every leaf; () when there is none."""
        return ()

    def split_outputs(self, out) -> tuple[Any, Any]:
        """Split what the model returns into (outputs, carry)."""
        return out, ()

    def rows(self, batch: Batch) -> dict[str, Any]:
        """Ids int32 [B, ...] of the rows that a batch reads, by the name of a table in params.

        In training the model finds those rows [B, ..., D] in its collection "rows", and only they
        have a gradient: train/sparse_rows.py. Every other parameter has a dense one. The optimizer
        must be plain sgd, without averaging.
        """
        return {}

    def means(self, outputs, batch: Batch) -> dict[str, Mean]:
        """Metrics of a batch, "loss" among them; runs under jit, in training and evaluation."""
        raise NotImplementedError

    def summaries(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return metrics that follow from the means of many batches, such as a perplexity."""
        return {}

    def scores(self, predict, batches: Iterable[Batch]) -> dict[str, float]:
        """Return metrics that are no means (corpus scores), computed on the host in evaluation.

        predict(batch, carry) -> (outputs, carry); `predict.variables` are the model's.
        """
        return {}

    def figures(self, predict, batches: Iterable[Batch]) -> dict[str, Any]:
        """Return pictures by name: a matplotlib Figure, or a text."""
        return {}


@dataclass(frozen=True)
class Experiment:
    """Everything that `train.loop.fit` needs of an experiment.

    train: step -> batch, a pure function. evals: held-out sets by name, each iterable any number
    of times; the first is evaluated during training and chooses the best checkpoint, the others
    are evaluated once, at the end. provenance: what identifies the data (sizes, checksums).
    """

    task: Task
    optimizer: optax.GradientTransformation
    train: Callable[[int], Batch]
    evals: Mapping[str, Iterable[Batch]]
    provenance: Mapping[str, Any] = field(default_factory=dict)
