"""Evaluation: totals over every real example of a held-out set, fetched once."""

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from .placement import Placement, compiler_options, put
from .task import Batch, Divisible, Mean, Task, host_values, initial_carry, merge

Means = Callable[[Any, Batch], dict[str, Mean]]


@dataclass(frozen=True)
class Predictor:
    """The network with its variables: predict(batch, carry) -> (outputs, carry).

    Without a carry, the task's initial one is used.
    """

    variables: Any
    evaluator: "Evaluator"

    def __call__(self, batch: Batch, carry: Any = None) -> tuple[Any, Any]:
        """Outputs and carry for one batch of numpy arrays, without dropout.

        Raises ValueError when the batch is no dict of arrays, or lacks one that the network reads.
        """
        put_rows, task = self.evaluator.devices.put_rows, self.evaluator.task
        values = batch.values() if isinstance(batch, dict) else [batch]
        if not isinstance(batch, dict) or not all(hasattr(x, "shape") for x in values):
            named = ", ".join(dict.fromkeys(type(x).__name__ for x in values))
            raise ValueError(f"a batch is a dict of arrays by name, got {named}")
        try:
            carry = put_rows(initial_carry(task, batch)) if carry is None else carry
            return self.evaluator.apply(self.variables, put_rows(batch), carry)
        except KeyError as error:  # only the task knows which names it reads
            name, given = error.args[0], ", ".join(batch) or "no arrays"
            raise ValueError(f"the batch has no array {name!r}; it has {given}") from error


class Evaluator:
    """Evaluation of any set with any variables; compiled once per run.

    means(outputs, batch) replaces the metrics of the task.
    """

    def __init__(self, task: Task, devices: Placement, means: Means | None = None):
        means = means or task.means

        def apply(variables: Any, batch: Batch, carry: Any) -> tuple[Any, Any]:
            return task.apply(variables, batch, carry, train=False)

        def accumulate(
            variables: Any, batch: Batch, carry: Any, totals: dict[str, Mean]
        ) -> tuple[dict[str, Mean], Any]:
            outputs, carry = apply(variables, batch, carry)
            values = means(outputs, batch)
            return merge(totals, values) if totals else values, carry

        self.task, self.devices = task, devices
        # outputs are on every device, so that every process can read them
        shardings, options = (devices.everywhere, None), compiler_options(devices.devices)
        self.apply = jax.jit(apply, out_shardings=shardings, compiler_options=options)
        self.accumulate = jax.jit(accumulate, out_shardings=shardings, compiler_options=options)

    def with_task(self, task: Task) -> "Evaluator":
        """Share the compiled programs with a task that differs only in its scores."""
        other = copy.copy(self)
        other.task = task
        return other

    def __call__(self, variables: Any, batches: Iterable[Batch]) -> dict[str, float]:
        """Every mean of the task over all batches, then its summaries and scores.

        The carry passes from each batch to the next. Raises ValueError when there is no batch.
        """
        totals = carry = None
        for own in own_batches(batches, self.devices):
            batch = self.devices.put_own_rows(own)
            if totals is None:
                carry = self.devices.put_own_rows(initial_carry(self.task, own))
                shapes, _ = jax.eval_shape(self.accumulate, variables, batch, carry, {})
                zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
                totals = put(zeros, self.devices.everywhere)
            # on a CPU, devices that wait for one another occupy the threads that the others need,
            # so nothing else may be running when a program starts
            inputs = jax.block_until_ready((variables, batch, carry, totals))
            totals, carry = self.accumulate(*inputs)
        if totals is None:
            raise ValueError("a held-out set must have at least one batch")
        fetched = jax.device_get(totals)
        values = host_values(fetched)
        scores = self.task.scores(Predictor(variables, self), batches)
        return {**values, **self.task.summaries(values), **scores}


def own_batches(batches: Iterable[Batch], devices: Placement) -> Iterator[Batch]:
    """Yield the rows of each held-out batch that are on the devices of this process."""
    if isinstance(batches, Divisible):
        yield from batches.with_rows(devices.own_rows(batches.batch_size))
    else:
        for batch in batches:
            rows = devices.own_rows(len(next(iter(batch.values()))))
            yield {name: array[rows] for name, array in batch.items()}
