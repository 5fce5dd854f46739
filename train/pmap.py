"""Data parallelism by jax.pmap, the other mode of train/placement.py."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from .config import ConfigError
from .placement import AXIS, Placement
from .step import Step, make_train_step, several_steps
from .task import Experiment


class Pmap(Placement):
    """jax.pmap: every leaf of the step's state has a leading axis of devices.

    Raises ConfigError also when there are several processes.
    """

    def __init__(self, batch_size: int, devices: Sequence[jax.Device] | None = None):
        super().__init__(batch_size, devices)
        if jax.process_count() > 1:
            raise ConfigError("config.parallel=pmap needs a single process; several need jit")

    def compile(self, experiment: Experiment, parts: int = 1, several: bool = False) -> Step:
        """Compile as `Placement.compile` does, with pmap, in parts of a device's share."""
        step = make_train_step(experiment, AXIS, parts)
        axes: tuple[int | None, ...] = (0, 0, 0)
        if several:
            step, axes = several_steps(step), (*axes, None)
        return jax.pmap(step, AXIS, in_axes=axes, devices=self.devices, donate_argnums=0)

    def put_batch(self, batch: Any) -> Any:
        """Give the rows a leading axis of devices."""
        return self._divide(batch)

    def copy(self, window: Any) -> Any:
        """Copy the window to every device, along a leading axis of devices."""
        return self._repeat(window)

    def one(self, window: Any) -> Any:
        """Take one copy of the window; inverse of `copy`."""
        return self._first(window)

    def spread(self, state: Any) -> Any:
        """Copy the state to every device; divide the rows of the carry."""
        return self._repeat(state.replace(carry=())).replace(carry=self._divide(state.carry))

    def gather(self, state: Any) -> Any:
        """Take one copy of the state; join the rows of the carry."""
        carry = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), state.carry)
        return self._first(state.replace(carry=())).replace(carry=self.put_rows(carry))

    def _divide(self, rows: Any) -> Any:
        count = len(self.devices)
        return self.put_rows(jax.tree.map(lambda x: x.reshape(count, -1, *x.shape[1:]), rows))

    def _repeat(self, tree: Any) -> Any:
        count = len(self.devices)
        return self.put_rows(jax.tree.map(lambda x: jnp.stack([x] * count), tree))

    def _first(self, tree: Any) -> Any:
        first = jax.tree.map(lambda x: x.addressable_shards[0].data[0], tree)
        return jax.device_put(first, self.everywhere)
