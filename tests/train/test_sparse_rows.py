"""Gradients of the rows that a batch reads: the same step as with dense ones, and nothing dense."""

import jax
import numpy as np
import optax
import pytest
from flax import linen as nn

from tests.train.conftest import by_rows
from train.freezing import freezing, frozen
from train.placement import Placement
from train.pmap import Pmap
from train.step import make_train_step
from train.task import Experiment, Mean, Task

SIZE = 40


class Lookup(nn.Module):
    """y = bias + the mean entry of a row of a table."""

    @nn.compact
    def __call__(self, ids, *, train=False):
        table = self.param("table", nn.initializers.normal(), (SIZE, 3))
        bias = self.param("bias", nn.initializers.zeros, ())
        rows = (
            self.get_variable("rows", "table") if self.has_variable("rows", "table") else table[ids]
        )
        return bias + rows.mean(axis=(1, 2))


class Regression(Task):
    model = Lookup()

    def inputs(self, batch):
        return (batch["ids"],)

    def means(self, outputs, batch):
        return {"loss": Mean.from_values((outputs - batch["y"]) ** 2)}


class ByRows(Regression):
    def rows(self, batch):
        return {"table": batch["ids"]}


def batch_at(step):
    rng = np.random.default_rng(step)  # few ids, so that a row is read several times
    return {"ids": rng.integers(0, 6, (8, 2), dtype=np.int32), "y": np.float32(rng.random(8))}


def experiment_of(task):
    optimizer = optax.chain(optax.clip_by_global_norm(10.0), optax.sgd(0.5))
    return Experiment(task, optimizer, by_rows(batch_at), {})


def params_after(devices, task, steps=3):
    experiment = experiment_of(task)
    state, window = devices.init(experiment, 0, batch_at(0))
    step = devices.compile(experiment)
    state, window = devices.spread(state), devices.copy(window)
    for i in range(steps):
        state, window = step(state, window, devices.put_batch(batch_at(i)))
    return devices.gather(state).params


@pytest.mark.parametrize("make", [Placement, Pmap])
def test_steps_by_rows_are_those_with_dense_gradients(make):
    dense = params_after(Placement(8, jax.devices()[:1]), Regression())
    for devices in (make(8, jax.devices()[:1]), make(8)):
        found = params_after(devices, ByRows())
        for name, leaf in dense.items():
            np.testing.assert_allclose(found[name], leaf, atol=1e-6)


def test_rows_of_a_frozen_table_have_no_gradient():
    optimizer = optax.with_extra_args_support(optax.chain(frozen("table"), optax.sgd(0.5)))
    devices, norms = Placement(8, jax.devices()[:1]), []
    for task in (Regression(), ByRows()):
        experiment = Experiment(task, freezing(optimizer, "table"), by_rows(batch_at), {})
        state, window = devices.init(experiment, 0, batch_at(0))
        _, window = devices.compile(experiment)(state, window, devices.put_batch(batch_at(0)))
        norms.append(float(window.means["grad_norm"].value))
    assert norms[1] == pytest.approx(norms[0], rel=1e-5)


def primitives_of_table_size(jaxpr):
    """Names of what makes an array with the rows of the table, programs inside included."""
    for equation in jaxpr.eqns:
        if any(getattr(out.aval, "shape", ())[:1] == (SIZE,) for out in equation.outvars):
            yield equation.primitive.name
        for value in equation.params.values():
            if hasattr(value, "jaxpr"):
                yield from primitives_of_table_size(value.jaxpr)


def test_nothing_but_the_scatter_has_the_size_of_the_table():
    found = {}
    for task in (Regression(), ByRows()):
        devices = Placement(8, jax.devices()[:1])
        args = (*devices.init(experiment_of(task), 0, batch_at(0)), batch_at(0))
        jaxpr = jax.make_jaxpr(make_train_step(experiment_of(task)))(*args).jaxpr
        found[type(task)] = sorted(set(primitives_of_table_size(jaxpr)) - {"pjit", "jit"})
    assert found[ByRows] == ["scatter-add"]
    assert len(found[Regression]) > 3
