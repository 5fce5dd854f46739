"""One training step and the window of metrics that it fills."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from . import sparse_rows
from .accumulate import Gradient, in_parts
from .state import TrainState, stream
from .task import Batch, Experiment, Mean, Task, initial_carry, merge


class MetricWindow(struct.PyTreeNode):
    """Training metrics since the last logged line, kept on the device.

    bad_step: the first step whose loss or gradient was not finite; -1 if there is none.
    """

    means: dict[str, Mean]
    bad_step: jax.Array

    @classmethod
    def empty(cls, task: Task, variables: Any, batch: Batch) -> "MetricWindow":
        """Zeros for every metric of the task; call it under jit."""
        outputs, _ = task.apply(variables, batch, initial_carry(task, batch), train=False)
        means = task.means(outputs, batch)
        zeros = {name: Mean(jnp.float32(0), jnp.float32(0)) for name in (*means, "grad_norm")}
        return cls(zeros, jnp.int32(-1))


Canonical = tuple[TrainState, MetricWindow]
Step = Callable[..., Canonical]


def several_steps(step: Step) -> Step:
    """Return steps(state, window, batches, number, settings=None) -> (state, window).

    It takes one step with each of the first `number` batches, int32, of a sequence of batches of
    equal shapes. The steps are iterations of one loop, so the device does not wait for the host
    between them. Their results do not depend on how steps are divided into calls, since every
    division runs the same compiled iteration.
    """

    def steps(
        state: TrainState,
        window: MetricWindow,
        batches: Any,
        number: jax.Array,
        settings: Any = None,
    ) -> Canonical:
        stacked = jax.tree.map(lambda *rows: jnp.stack(rows), *batches)

        def body(i: jax.Array, before: Canonical) -> Canonical:
            return step(*before, jax.tree.map(lambda x: x[i], stacked), settings)

        return jax.lax.fori_loop(0, number, body, (state, window))

    return steps


def make_train_step(experiment: Experiment, axis_name: str | None = None, parts: int = 1) -> Step:
    """Return step(state, window, batch, settings=None) -> (state, window).

    settings: values of the optimizer's numeric settings by name, which override the config. The
    objective is the total loss over its weight in the whole batch, plus the scalars that a model
    sows into the collection "penalties". Of the tables that `task.rows` names, only the rows that
    the batch reads have a gradient. Under jit the batch is whole. With `axis_name` (pmap) each
    device holds a share: totals, weights and gradients are summed over devices before they are
    divided, which differs from the mean of the devices' means. The sum is outside the gradient,
    since the derivative of psum depends on JAX's version. parts: number of parts of the batch, or
    of a device's share, that are computed one after the other: train/accumulate.py.
    """
    task, optimizer = experiment.task, experiment.optimizer
    held = getattr(optimizer, "held", lambda params: params)  # train/freezing.py
    if axis_name:
        task = task.with_axis(axis_name)

    def total(tree: Any) -> Any:
        return jax.lax.psum(tree, axis_name) if axis_name else tree

    def average(leaf: jax.Array) -> jax.Array:  # statistics of a share differ; counts do not
        differs = axis_name and jnp.issubdtype(leaf.dtype, jnp.inexact)
        return jax.lax.pmean(leaf, axis_name) if differs else leaf

    def step(
        state: TrainState, window: MetricWindow, batch: Batch, settings: dict | None = None
    ) -> Canonical:
        dropout = stream(state.key, "dropout", state.step)
        if axis_name:
            dropout = jax.random.fold_in(dropout, jax.lax.axis_index(axis_name))

        def compute(model_state: Any, batch: Batch, carry: Any, key: jax.Array) -> Gradient:
            def objective(variables: Any) -> tuple[jax.Array, Any]:
                (outputs, after), changed = task.apply(
                    {**{name: held(tree) for name, tree in variables.items()}, **model_state},
                    batch,
                    carry,
                    train=True,
                    rngs={"dropout": key},
                    mutable=[*model_state, "penalties"],
                )
                penalty = sum(jax.tree.leaves(changed.get("penalties", {})))
                means = task.means(outputs, batch)
                loss = means["loss"]
                states = {name: changed[name] for name in model_state}
                return loss.total + loss.weight * penalty, (means, states, after)

            ids = task.rows(batch)
            (_, aux), gradient = sparse_rows.value_and_grad(objective, state.params, ids)
            return Gradient(*sparse_rows.partition(gradient, ids), ids, *aux)

        dense, rows, ids, means, model_state, carry = in_parts(
            compute, parts, state.model_state, batch, state.carry, key=dropout
        )
        means = total(means)
        gradient = {**dense, **rows} if rows else dense
        if axis_name:
            gradient, ids = sparse_rows.all_reduce(gradient, ids, axis_name)
        weight = jnp.where(means["loss"].weight == 0, 1.0, means["loss"].weight)
        gradient = jax.tree.map(lambda g: g / weight, gradient)
        model_state = jax.tree.map(average, model_state)

        settings = settings or {}
        gathered = sparse_rows.gather(state.params, ids)
        updates, opt_state = optimizer.update(gradient, state.opt_state, gathered, **settings)
        params = sparse_rows.scatter_add(state.params, ids, updates)
        norm = optax.tree.norm(gradient)
        finite = jnp.isfinite(means["loss"].value) & jnp.isfinite(norm)
        bad_step = jnp.where((window.bad_step < 0) & ~finite, state.step + 1, window.bad_step)
        means = merge(window.means, {**means, "grad_norm": Mean(norm, jnp.float32(1))})
        return (
            TrainState(state.step + 1, params, opt_state, model_state, carry, state.key),
            MetricWindow(means, bad_step),
        )

    return step
