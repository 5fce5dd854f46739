"""Evaluation: totals over every real example of a held-out set, fetched once."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from .placement import JitMesh, put
from .task import Batch, Task, merge


@dataclass(frozen=True)
class Predictor:
    """The network with its variables: predict(batch, carry) -> (outputs, carry).

    Without a carry, the task's own initial one is used.
    """

    variables: Any
    evaluator: "Evaluator"

    def __call__(self, batch: Batch, carry=None):
        """Outputs and carry for one batch of numpy arrays; nothing is dropped out."""
        put_rows, task = self.evaluator.put_rows, self.evaluator.task
        carry = put_rows(task.init_carry(batch)) if carry is None else carry
        return self.evaluator.apply(self.variables, put_rows(batch), carry)


class Evaluator:
    """Compiled once per run; evaluates any set with any variables."""

    def __init__(self, task: Task, devices: JitMesh):
        def apply(variables, batch, carry):
            out = task.model.apply(variables, *task.inputs(batch, carry), train=False)
            return task.split_outputs(out)

        def accumulate(variables, batch, carry, totals):
            outputs, carry = apply(variables, batch, carry)
            found = task.means(outputs, batch)
            return merge(totals, found) if totals else found, carry

        self.task, self.put_rows, self.everywhere = task, devices.put_rows, devices.everywhere
        # on every device, so that each process can look at them
        self.apply = jax.jit(apply, out_shardings=(devices.everywhere, None))
        self.accumulate = jax.jit(accumulate, out_shardings=(devices.everywhere, None))

    def of(self, task: Task) -> "Evaluator":
        """Return the same compiled programs, for a task that differs in its scores alone."""
        other = copy.copy(self)
        other.task = task
        return other

    def __call__(self, variables: Any, batches: Iterable[Batch]) -> dict[str, float]:
        """Every mean of the task over all batches, then its scores.

        The carry goes from each batch to the next. Raises ValueError when there is no example.
        """
        totals = carry = None
        for batch in batches:
            if totals is None:
                carry = self.put_rows(self.task.init_carry(batch))
                shapes, _ = jax.eval_shape(self.accumulate, variables, batch, carry, {})
                zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
                totals = put(zeros, self.everywhere)
            # on a CPU, devices that wait for one another hold the threads that the rest need: so
            # nothing else is under way when a program begins
            inputs = jax.block_until_ready((variables, self.put_rows(batch), carry, totals))
            totals, carry = self.accumulate(*inputs)
        if totals is None:
            raise ValueError("a held-out set must have at least one batch")
        fetched = jax.device_get(totals)
        found = {name: float(mean.total / mean.weight) for name, mean in fetched.items()}
        scores = self.task.scores(Predictor(variables, self), batches)
        return {**found, **self.task.summaries(found), **scores}
