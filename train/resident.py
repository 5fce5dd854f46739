"""Training data that stay on the devices: the host sends only the numbers that define a batch."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental.multihost_utils import process_allgather
from jax.sharding import PartitionSpec

from .config import ConfigError
from .placement import AXIS, Placement, compiler_options, put
from .step import Canonical, Step, make_train_step, several_steps
from .task import Batch, Experiment, InMemory, Source

SHARE = 8  # data are kept on a device if they fill at most 1 / SHARE of its memory


def fits(source: InMemory, devices: Sequence[jax.Device]) -> bool:
    """Whether the arrays of a source fill only a small part of the memory of each device.

    False for a device that does not report the size of its memory, such as a CPU, which has the
    data in its memory anyway. A process knows only the memory of its own devices; nevertheless, all
    processes of a run return the same value.
    """
    size = sum(array.nbytes for array in source.resident().values())
    several = jax.process_count() > 1
    own = [d for d in devices if d.process_index == jax.process_index()] if several else devices
    limits = [(device.memory_stats() or {}).get("bytes_limit", 0) for device in own]
    fit = size <= min(limits) // SHARE and not too_long(source)
    return bool(process_allgather(np.asarray(fit)).all()) if several else fit


def too_long(source: InMemory) -> bool:
    """Whether an array has more entries along its first axis than an int32 index can count."""
    return any(len(array) > np.iinfo(np.int32).max for array in source.resident().values())


class Resident(Placement):
    """jit over a mesh, with the arrays of the training data on every device.

    The compiled step gathers and augments the batches. The values of augmented images differ from
    those that the host computes, but only in the last digits.
    """

    def __init__(
        self, batch_size: int, source: InMemory, devices: Sequence[jax.Device] | None = None
    ):
        super().__init__(batch_size, devices)
        if too_long(source):
            raise ConfigError("config.resident must not be always: the training data are too long")
        self.source = source

    def make_batch(self, train: Source, step: int, batch_size: int) -> Any:
        """Return the plan of the rows of this process, on the devices."""
        plan = self.source.plan(step, self.own_rows(batch_size))
        types = {name: jax.dtypes.canonicalize_dtype(x.dtype) for name, x in plan.items()}
        return self.put_own_rows({name: x.astype(types[name]) for name, x in plan.items()})

    def compile(self, experiment: Experiment, parts: int = 1, several: bool = False) -> Step:
        """Compile like `Placement.compile`, with plans in place of batches."""
        plain = make_train_step(experiment, parts=parts)
        mesh, rows = self.rows.mesh, PartitionSpec(AXIS)
        # each device reads its own rows from its own copy
        gather = jax.shard_map(
            self.source.gather,
            mesh=mesh,
            in_specs=(PartitionSpec(), rows),
            out_specs=rows,
            check_vma=False,
        )

        def step(state: Any, window: Any, plan: Batch, arrays: Any) -> Canonical:
            return plain(state, window, gather(arrays, plan))

        arrays = put(dict(self.source.resident()), self.everywhere)
        whole = several_steps(step) if several else step
        compiled = jax.jit(whole, donate_argnums=0, compiler_options=compiler_options(self.devices))
        return lambda state, window, *rest: compiled(state, window, *rest, arrays)
