"""Where arrays live and how a step is compiled: one program over a mesh, or pmap.

Both modes give one canonical state to the rest: the one that a single device would have, with
the carry's rows in order. Checkpoints and evaluation see nothing else, so a run may go on on
another number of devices.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from train.config import ConfigError
from train.state import TrainState, init_state
from train.step import Step, Window, make_train_step
from train.task import Batch, Experiment

AXIS = "data"


class JitMesh:
    """jit over a one-dimensional mesh: parameters on every device, rows of the batch divided.

    Raises ConfigError when the devices do not divide the batch.
    """

    def __init__(self, batch_size: int, devices=None):
        self.devices = list(devices or jax.devices())
        count = len(self.devices)
        if batch_size % count:
            raise ConfigError(
                f"config.batch_size {batch_size} must be a multiple of the {count} devices"
            )
        # make_mesh's default, explicit axes, breaks Linen's Embed and Dropout
        mesh = jax.make_mesh((count,), (AXIS,), (AxisType.Auto,), devices=self.devices)
        self.everywhere = NamedSharding(mesh, PartitionSpec())
        self.rows = NamedSharding(mesh, PartitionSpec(AXIS))

    def put_rows(self, tree: Any) -> Any:
        """Divide the rows of a batch, or of a carry, over the devices."""
        return jax.device_put(tree, self.rows)

    def init(self, experiment: Experiment, seed: int, batch: Batch) -> tuple[TrainState, Window]:
        """Build canonical state and window before the first step, from the shapes of `batch`."""

        def make(batch):
            state = init_state(experiment, seed, batch)
            return state, Window.empty(experiment.task, state.variables, batch)

        state, _ = jax.eval_shape(make, batch)
        shardings = jax.tree.map(lambda _: self.everywhere, state).replace(carry=self.rows)
        return jax.jit(make, out_shardings=(shardings, self.everywhere))(batch)

    def compile(self, experiment: Experiment) -> Step:
        """Compile the step; the state is donated."""
        return jax.jit(make_train_step(experiment), donate_argnums=0)

    def copy(self, tree: Any) -> Any:
        """Turn what is the same on every device into the step's own form; `one` undoes it."""
        return tree

    def spread(self, state: TrainState) -> TrainState:
        """Turn a canonical state into the step's own form; `gather` undoes it."""
        return state

    put_batch = put_rows
    one = copy
    gather = spread


class Pmap(JitMesh):
    """jax.pmap: every leaf of the step's state has a leading axis of devices."""

    def compile(self, experiment: Experiment) -> Step:
        """Compile the step with pmap; the state is donated."""
        step = make_train_step(experiment, axis_name=AXIS)
        return jax.pmap(step, axis_name=AXIS, devices=self.devices, donate_argnums=0)

    def put_batch(self, batch: Batch) -> Any:
        """Give the rows a leading axis of devices."""
        count = len(self.devices)
        return self.put_rows(jax.tree.map(lambda x: x.reshape(count, -1, *x.shape[1:]), batch))

    def copy(self, tree: Any) -> Any:
        """Give every leaf a leading axis of devices."""
        count = len(self.devices)
        return self.put_rows(jax.tree.map(lambda x: jnp.stack([x] * count), tree))

    def one(self, tree: Any) -> Any:
        """Take the first device's copy, and put it everywhere."""
        first = jax.tree.map(lambda x: x.addressable_shards[0].data[0], tree)
        return jax.device_put(first, self.everywhere)

    def spread(self, state: TrainState) -> TrainState:
        """Copy the state to every device; divide the rows of the carry."""
        return self.copy(state.replace(carry=())).replace(carry=self.put_batch(state.carry))

    def gather(self, state: TrainState) -> TrainState:
        """Take one copy of the state; join the rows of the carry."""
        carry = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), state.carry)
        return self.one(state.replace(carry=())).replace(carry=self.put_rows(carry))


MODES = {"jit": JitMesh, "pmap": Pmap}
