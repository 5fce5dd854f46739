"""Placement of arrays and compilation of a step: one program over a mesh, or pmap.

Both give the rest of the code the same canonical state: that of a single device, with the rows of
the carry in order. Checkpoints and evaluation see nothing else, so a run may be continued on
another number of devices.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from .config import ConfigError
from .state import init_state
from .step import Canonical, MetricWindow, Step, make_train_step, several_steps
from .task import ALL, Batch, Experiment, Rows, Source

AXIS = "data"


def put(tree: Any, sharding: NamedSharding) -> Any:
    """Place arrays that every process holds in full; each fills only its own devices."""
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)
    return jax.tree.map(
        lambda x: jax.make_array_from_callback(x.shape, sharding, np.asarray(x).__getitem__), tree
    )


# YNN, XLA's newest CPU library, for everything except convolution, where it uses a single core
CPU_OPTIONS: dict[str, Any] = {
    "xla_cpu_experimental_ynn_fusion_type": ",".join(
        f"LIBRARY_FUSION_TYPE_{kind}" for kind in ("DOT", "INDIVIDUAL_DOT", "REDUCE")
    )
}


def compiler_options(
    devices: Sequence[jax.Device], options: dict[str, Any] = CPU_OPTIONS
) -> dict[str, Any]:
    """Compiler options of a step: `options` on a single CPU device whose XLA knows them, else none.

    They do not depend on the number of cores. On the same number of cores a program repeats its
    results bit for bit; on another number, sums are split differently and the last digits differ.
    Several CPU devices are threads of one CPU and get no options.
    """
    if len(devices) > 1 or devices[0].platform != "cpu":
        return {}
    try:
        jax.jit(lambda: 0, compiler_options=options).lower().compile()
    except jax.errors.JaxRuntimeError:
        return {}
    return dict(options)


class Placement:
    """jit over a one-dimensional mesh: parameters on every device, rows of the batch divided.

    Raises ConfigError when the batch size is not a multiple of the number of devices.
    """

    def __init__(self, batch_size: int, devices: Sequence[jax.Device] | None = None):
        self.devices = list(devices or jax.devices())
        count = len(self.devices)
        if batch_size % count:
            raise ConfigError(
                f"config.batch_size {batch_size} must be a multiple of the {count} devices"
            )
        # explicit axes, the default of make_mesh, break Linen's Embed and Dropout
        mesh = jax.make_mesh((count,), (AXIS,), (AxisType.Auto,), devices=self.devices)
        self.everywhere = NamedSharding(mesh, PartitionSpec())
        self.rows = NamedSharding(mesh, PartitionSpec(AXIS))

    def put_rows(self, tree: Any) -> Any:
        """Divide the rows of a batch, or of a carry, that every process holds in full."""
        return put(tree, self.rows)

    def own_rows(self, batch_size: int) -> Rows:
        """Rows of a batch that are on the devices of this process."""
        if jax.process_count() == 1:
            return ALL
        numbers = np.arange(batch_size)
        indices = self.rows.addressable_devices_indices_map((batch_size,)).values()
        return np.sort(np.concatenate([numbers[index] for index in indices]))

    def put_own_rows(self, tree: Any) -> Any:
        """Divide a batch, or a carry, of which every process holds its `own_rows` alone."""
        if jax.process_count() == 1:
            return jax.device_put(tree, self.rows)
        return jax.tree.map(lambda x: self._join(np.asarray(x)), tree)

    def _join(self, own: np.ndarray) -> jax.Array:
        """Array of all rows from those of this process; devices have equal numbers of rows."""
        here = len(self.rows.addressable_devices)
        shape = (len(own) // here * len(self.devices), *own.shape[1:])
        numbers = np.asarray(self.own_rows(shape[0]))

        def part(index: Any) -> np.ndarray:
            first = np.searchsorted(numbers, index[0].start or 0)
            return own[first : first + len(own) // here]

        return jax.make_array_from_callback(shape, self.rows, part)

    def initializer(self, experiment: Experiment, batch: Batch) -> Callable[[int], Canonical]:
        """Return seed -> canonical state and window before the first step, for batches like it."""

        def make(seed: ArrayLike, batch: Batch) -> Canonical:
            state = init_state(experiment, seed, batch)
            return state, MetricWindow.empty(experiment.task, state.variables, batch)

        state, _ = jax.eval_shape(make, 0, batch)
        shardings = jax.tree.map(lambda _: self.everywhere, state).replace(carry=self.rows)
        compiled = jax.jit(make, out_shardings=(shardings, self.everywhere))
        # the seed is an argument, not a constant of the program, so all seeds share one program
        return lambda seed: compiled(np.uint32(seed), batch)

    def init(self, experiment: Experiment, seed: int, batch: Batch) -> Canonical:
        """Build canonical state and window of one seed."""
        return self.initializer(experiment, batch)(seed)

    def compile(self, experiment: Experiment, parts: int = 1, several: bool = False) -> Step:
        """Compile the step, in parts of a batch; the state is donated.

        several: compile `several_steps` instead, as steps(state, window, batches, number) of a
        tuple of placed batches.
        """
        step = make_train_step(experiment, parts=parts)
        step = several_steps(step) if several else step
        options = compiler_options(self.devices)
        return jax.jit(step, donate_argnums=0, compiler_options=options)

    def make_batch(self, train: Source, step: int, batch_size: int) -> Any:
        """Make and place the rows of this process of the batch of a step."""
        return self.put_batch(train(step, self.own_rows(batch_size)))

    def put_batch(self, batch: Any) -> Any:
        """Place the `own_rows` of a batch for the step."""
        return self.put_own_rows(batch)

    def spread(self, state: Any) -> Any:
        """Convert the canonical state to the form of the step; inverse of `gather`."""
        return state

    def gather(self, state: Any) -> Any:
        """Return the canonical state."""
        return state

    copy, one = spread, gather  # the same for the metric window, which has no rows
