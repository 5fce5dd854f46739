"""Evaluation: totals over every real example of a held-out set, fetched once."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import jax

from train.parallel import JitMesh
from train.task import Batch, Task, merge


@dataclass(frozen=True)
class Predictor:
    """The network with its variables: predict(batch, carry) -> (outputs, carry).

    Without a carry, the task's own initial one is used.
    """

    variables: Any
    task: Task
    put_batch: Callable[[Batch], Any]
    apply: Callable

    def __call__(self, batch: Batch, carry=None):
        """Outputs and carry for one batch of numpy arrays; nothing is dropped out."""
        carry = self.task.init_carry(batch) if carry is None else carry
        return self.apply(self.variables, self.put_batch(batch), carry)


class Evaluator:
    """Compiled once per run; evaluates any set with any variables."""

    def __init__(self, task: Task, devices: JitMesh):
        def apply(variables, batch, carry):
            out = task.model.apply(variables, *task.inputs(batch, carry), train=False)
            return task.split_outputs(out)

        def accumulate(variables, batch, carry, totals):
            outputs, carry = apply(variables, batch, carry)
            means = task.means(outputs, batch)
            return (means if totals is None else merge(totals, means)), carry

        self.task, self.devices = task, devices
        self.apply = jax.jit(apply)
        self.accumulate = jax.jit(accumulate)

    def predictor(self, variables: Any) -> Predictor:
        """Bind variables."""
        return Predictor(variables, self.task, self.devices.put_batch, self.apply)

    def __call__(self, variables: Any, batches: Iterable[Batch]) -> dict[str, float]:
        """Every mean of the task over all batches, then its scores.

        The carry goes from each batch to the next. Raises ValueError when there is no example.
        """
        totals, carry = None, None
        for batch in batches:
            carry = self.task.init_carry(batch) if carry is None else carry
            totals, carry = self.accumulate(variables, self.devices.put_batch(batch), carry, totals)
        if totals is None:
            raise ValueError("a held-out set must have at least one batch")
        fetched = jax.device_get(totals)
        means = {name: float(mean.total / mean.weight) for name, mean in fetched.items()}
        return {**means, **self.task.scores(self.predictor(variables), batches)}
