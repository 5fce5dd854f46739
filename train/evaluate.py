"""Evaluation: totals over every real example of a held-out set, fetched once."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from train.parallel import JitMesh
from train.task import Batch, Task, merge


@dataclass(frozen=True)
class Predictor:
    """The network with its variables: predict(batch, carry) -> (outputs, carry).

    Without a carry, the task's own initial one is used.
    """

    variables: Any
    task: Task
    put_rows: Callable[[Any], Any]
    apply: Callable

    def __call__(self, batch: Batch, carry=None):
        """Outputs and carry for one batch of numpy arrays; nothing is dropped out."""
        carry = self.put_rows(self.task.init_carry(batch)) if carry is None else carry
        return self.apply(self.variables, self.put_rows(batch), carry)


class Evaluator:
    """Compiled once per run; evaluates any set with any variables."""

    def __init__(self, task: Task, devices: JitMesh):
        """Make the two programs, neither compiled before it is used."""

        def apply(variables, batch, carry):
            out = task.model.apply(variables, *task.inputs(batch, carry), train=False)
            return task.split_outputs(out)

        def means(variables, batch, carry):
            outputs, carry = apply(variables, batch, carry)
            return task.means(outputs, batch), carry

        def accumulate(variables, batch, carry, totals):
            found, carry = means(variables, batch, carry)
            return merge(totals, found), carry

        self.task, self.devices, self.means = task, devices, means
        self.apply = jax.jit(apply)
        self.accumulate = jax.jit(accumulate)

    def predictor(self, variables: Any) -> Predictor:
        """Bind variables."""
        return Predictor(variables, self.task, self.devices.put_rows, self.apply)

    def __call__(self, variables: Any, batches: Iterable[Batch]) -> dict[str, float]:
        """Every mean of the task over all batches, then its scores.

        The carry goes from each batch to the next. Raises ValueError when there is no example.
        """
        totals = carry = None
        for batch in batches:
            if totals is None:
                carry = self.devices.put_rows(self.task.init_carry(batch))
                shapes, _ = jax.eval_shape(self.means, variables, batch, carry)
                zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
                totals = jax.device_put(zeros, self.devices.everywhere)
            rows = self.devices.put_rows(batch)
            totals, carry = self.accumulate(variables, rows, carry, totals)
        if totals is None:
            raise ValueError("a held-out set must have at least one batch")
        fetched = jax.device_get(totals)
        found = {name: float(mean.total / mean.weight) for name, mean in fetched.items()}
        return {**found, **self.task.scores(self.predictor(variables), batches)}
