"""The interface between an experiment and the loop: Mean, Task and Experiment."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import struct
from jax.typing import ArrayLike

Batch = dict[str, np.ndarray]
Rows = slice | np.ndarray  # an increasing index of the leading axis of a batch
ALL = slice(None)
Assets = Mapping[str, bytes]


class Mean(struct.PyTreeNode):
    """A mean kept as total and weight, so that subsets of any size are merged by addition."""

    total: Any
    weight: Any

    @classmethod
    def from_values(cls, values: ArrayLike, mask: ArrayLike | None = None) -> "Mean":
        """Mean of the `values`, of any shape, where `mask` of the same shape is not zero.

        Values where the mask is zero may be NaN, but the gradient is finite only if the inputs of
        their computation are finite. Raises ValueError when the shapes differ.

        >>> float(Mean.from_values([1.0, 5.0, float("nan")], [1, 1, 0]).value)
        3.0
        """
        values = jnp.asarray(values, jnp.float32)
        if mask is None:
            return cls(values.sum(), jnp.float32(values.size))
        if np.shape(mask) != values.shape:
            raise ValueError(f"mask {np.shape(mask)} must have the shape of values {values.shape}")
        real = jnp.asarray(mask) != 0
        return cls(jnp.where(real, values, 0.0).sum(), real.sum(dtype=jnp.float32))

    def __add__(self, other: "Mean") -> "Mean":
        return Mean(self.total + other.total, self.weight + other.weight)

    @property
    def value(self) -> jax.Array:
        """Total over weight; 0 when the weight is 0, so that the gradient is 0 as well."""
        return self.total / jnp.where(self.weight == 0, 1.0, self.weight)


def merge(a: Mapping[str, Mean], b: Mapping[str, Mean]) -> dict[str, Mean]:
    """Add two sets of means name by name."""
    return {name: a[name] + b[name] for name in a}


def host_values(means: Mapping[str, Mean]) -> dict[str, float]:
    """Values of means that are on the host; a loss over no examples is infinite, not 0.

    Otherwise a network that can process none of the examples would be the best one.
    """
    values = {name: float(mean.value) for name, mean in means.items()}
    if "loss" in means and means["loss"].weight == 0:
        values["loss"] = math.inf
    return values


class Task:
    """Model, loss and metrics: the only object that knows the keys of a batch.

    The model is called as `model.apply(variables, *inputs, train=...)`.
    """

    model: nn.Module
    headline = "loss"  # the metric of tables and curves
    objective = "loss"  # its lowest value on the first held-out set selects the best checkpoint
    # symbolic shapes of inputs for --mode=export, by name, such as "b, t"; default "b, ..."
    axes: ClassVar[Mapping[str, str]] = {}

    def inputs(self, batch: Batch) -> tuple[Any, ...]:
        """Return the positional arguments of the model."""
        raise NotImplementedError

    def arguments(self, batch: Batch, carry: Any) -> tuple[Any, ...]:
        """Return the positional arguments of the model, with the state if it has one."""
        return self.inputs(batch)

    def init(self, rngs: Any, batch: Batch) -> Any:
        """Return the initial variables of the model."""
        arguments = self.arguments(batch, initial_carry(self, batch))
        return self.model.init(rngs, *arguments, train=False)

    def apply(self, variables: Any, batch: Batch, carry: Any, **options: Any) -> Any:
        """Return the model's (outputs, carry) for a batch and the state before it.

        options: train, and the options of Flax's `apply`. With `mutable`, the result is
        ((outputs, carry), changed collections).
        """
        out = self.model.apply(variables, *self.arguments(batch, carry), **options)
        return ((out[0], ()), out[1]) if "mutable" in options else (out, ())

    def with_axis(self, axis_name: str) -> "Task":
        """Return the task for a share of each batch on every device of a pmap axis.

        A module with a field `axis_name`, the model or one in a field of it, takes its batch
        statistics over the whole batch.
        """
        other = copy.copy(self)
        other.model = _with_axis(self.model, axis_name)
        return other

    def rows(self, batch: Batch) -> dict[str, Any]:
        """Ids int32 [B, ...] of the rows that a batch reads, by the name of a table in params.

        In training the model reads those rows [B, ..., D] from its collection "rows", and only they
        have a gradient: train/sparse_rows.py. All other parameters have dense gradients. The
        optimizer must be plain SGD, without averaging.
        """
        return {}

    def means(self, outputs: Any, batch: Batch) -> dict[str, Mean]:
        """Metrics of a batch, "loss" among them; runs under jit, in training and evaluation."""
        raise NotImplementedError

    def summaries(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return metrics that follow from the means of many batches, such as a perplexity."""
        return {}

    def solved(self, values: Mapping[str, float]) -> bool:
        """True when the metrics of the first held-out set leave nothing to learn.

        Training then ends, unless several runs are trained in one program.
        """
        return False

    def scores(self, predict: Any, batches: Iterable[Batch]) -> dict[str, float]:
        """Return metrics that are not means (corpus scores), computed on the host in evaluation.

        predict(batch, carry) -> (outputs, carry); `predict.variables` are the model's variables.
        """
        return {}

    def figures(self, predict: Any, batches: Iterable[Batch]) -> dict[str, Any]:
        """Return figures by name: a matplotlib Figure or a text."""
        return {}


def _with_axis(module: nn.Module, axis_name: str) -> nn.Module:
    """Return a module with the name of an axis in it and in the modules of its fields."""
    fields = {name: getattr(module, name) for name in module.__dataclass_fields__}
    changes: dict[str, Any] = {
        name: _with_axis(value, axis_name)
        for name, value in fields.items()
        if isinstance(value, nn.Module) and name != "parent"
    }
    if "axis_name" in fields:
        changes["axis_name"] = axis_name
    return module.clone(**changes) if changes else module


class RecurrentTask(Task):
    """Task of a model whose state crosses batches.

    The model is called as `model.apply(variables, first, carry, *others, train=...)`, where (first,
    *others) are the inputs, and returns (outputs, carry).
    """

    def init_carry(self, batch: Batch) -> Any:
        """State before the first batch, leading axis B in every leaf."""
        raise NotImplementedError

    def arguments(self, batch: Batch, carry: Any) -> tuple[Any, ...]:
        """Return the inputs, with the carry after the first."""
        first, *others = self.inputs(batch)
        return first, carry, *others

    def apply(self, variables: Any, batch: Batch, carry: Any, **options: Any) -> Any:
        """Return the model's (outputs, carry) for a batch and the state before it."""
        return self.model.apply(variables, *self.arguments(batch, carry), **options)


def initial_carry(task: Task, batch: Batch) -> Any:
    """State before the first batch; () for a task whose model has none."""
    return task.init_carry(batch) if isinstance(task, RecurrentTask) else ()


class Source(Protocol):
    """Training batches: a pure function of the step, of which each process makes its own rows."""

    def __call__(self, step: int, rows: Rows = ALL) -> Batch:
        """Return the rows of the batch of a step, the same ones whatever the other rows."""


@runtime_checkable
class InMemory(Protocol):
    """A source whose arrays may be kept on the devices: train/resident.py."""

    def resident(self) -> Mapping[str, np.ndarray]:
        """Return the arrays that `gather` reads, the same ones at every step."""

    def plan(self, step: int, rows: Rows = ALL) -> Batch:
        """Return the numbers that define the rows of the batch of a step."""

    def gather(self, arrays: Mapping[str, Any], plan: Mapping[str, Any]) -> Batch:
        """Return the batch of a plan, from the arrays, both of numpy or both of JAX."""


@runtime_checkable
class Divisible(Protocol):
    """A held-out set that makes some rows of its batches without making the others.

    Of any other held-out set every process makes whole batches, and takes its own rows.
    """

    batch_size: int

    def with_rows(self, rows: Rows) -> Iterator[Batch]:
        """Yield some rows of every batch, in the order of the whole batches."""


@dataclass(frozen=True)
class Experiment:
    """The input of `train.loop.fit`.

    train: the training batches. evals: held-out sets by name, each of which can be iterated
    repeatedly; the first is evaluated during training and chooses the best checkpoint, the others
    are evaluated once, at the end. provenance: sizes and checksums that identify the data.
    assets: files by name with all that the trained network needs of the data, such as vocabularies;
    they are written to the run directory. schedule: step -> learning rate, to log the rate where it
    is not that of an OptimizerConfig. pretrained: initial values of parameters by path, such as
    "params/embed/embedding"; NaN keeps the usual initial value.
    """

    task: Task
    optimizer: optax.GradientTransformation
    train: Source
    evals: Mapping[str, Iterable[Batch]]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    assets: Assets = field(default_factory=dict)
    schedule: optax.Schedule | None = None
    pretrained: Mapping[str, np.ndarray] = field(default_factory=dict)


Build = Callable[[Any], Experiment]  # of a config, with the data
MakeTask = Callable[[Any, Assets], Task]  # of a config and the assets of a run
