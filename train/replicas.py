"""Several runs in one program: vmap over what differs, a share of the runs on each device."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .config import ConfigError, RunConfig
from .loop import fit_all
from .placement import JitMesh, put
from .recorder import Run
from .rundir import check_config, finished, write_config, write_json
from .state import init_state
from .step import Step, make_train_step
from .task import Batch, Experiment


def train_replicas(
    build: Callable[[RunConfig], Experiment], config: RunConfig, workdir: Path
) -> None:
    """Train the runs of a config with replicas, each in a folder below `workdir`.

    Finished runs are left out.
    """
    configs = {workdir / name: each for name, each in replica_configs(config).items()}
    for folder, each in configs.items():
        each.check()
        check_config(folder, each)
    count = devices_of_replicas(len(configs))
    left = {folder: each for folder, each in configs.items() if not finished(folder)}
    runs = [Run(build(each), each, folder) for folder, each in left.items()]
    check_alike([run.experiment for run in runs])
    write_config(workdir, config)
    if runs:
        used = jax.devices()[: math.gcd(len(runs), count)]
        devices = MODES[config.parallel](varied_settings([run.config for run in runs]), used)
        fit_all(runs, devices)
        print(f"finished: {len(runs)} runs in {workdir}")
    write_json(workdir / "result.json", {"replicas": [folder.name for folder in configs]})


def replica_configs(config: RunConfig) -> dict[str, RunConfig]:
    """Config of each run, by the name of its folder, as a sweep would name it.

    The runs are every seed from config.seed on with each value of `config.replica_axes()`. Each
    config is that of a run on its own.
    """
    varied = config.replica_axes()
    alone: dict[str, Any] = {"replicas": 1, **{f"{name}s": () for name in varied}}
    axes = [[(name, x) for x in values] for name, values in varied.items() if values]
    seeds = [("seed", config.seed + i) for i in range(config.replicas)]
    configs = {}
    for chosen in itertools.product(*axes, seeds):
        name = ",".join(f"{name}={value}" for name, value in chosen)
        configs[name] = dataclasses.replace(config, **{**alone, **dict(chosen)})
    return configs


def devices_of_replicas(runs: int) -> int:
    """How many devices there are; ConfigError when they do not divide the runs."""
    count = jax.device_count()
    if runs % count:
        raise ConfigError(
            f"{runs} runs, which is config.replicas times the learning_rates and weight_decays, "
            f"must be a multiple of the {count} devices"
        )
    return count


def check_alike(experiments: Sequence[Experiment]) -> None:
    """Raise ConfigError when two networks differ in a shape, as of different vocabularies."""
    if any(other.task.model != experiments[0].task.model for other in experiments):
        shapes = [_shapes(experiment) for experiment in experiments]
        if differing := [other for other in shapes if other != shapes[0]]:
            name = next(name for name in shapes[0] if shapes[0][name] != differing[0].get(name))
            raise ConfigError(
                f"config.replicas needs networks of one shape, got {name} of shape "
                f"{shapes[0][name]} and {differing[0].get(name)}"
            )


def _shapes(experiment: Experiment) -> dict[str, tuple[int, ...]]:
    """Shape of each parameter by its name."""
    state = jax.eval_shape(lambda: init_state(experiment, 0, experiment.train(0)))
    leaves = jax.tree_util.tree_leaves_with_path(state.params)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): x.shape for path, x in leaves}


def varied_settings(configs: Sequence[RunConfig]) -> list[dict[str, float]]:
    """Return for each config the optimizer settings that are not the same in all of them."""
    varied = configs[0].replica_axes()
    names = [n for n in varied if len({getattr(config, n) for config in configs}) > 1]
    return [{name: getattr(config, name) for name in names} for config in configs]


class Replicas(JitMesh):
    """jit of a vmapped step, each device by itself: every leaf has a leading axis of runs.

    settings: the optimizer's numbers of each run that are not the same in all; the devices must
    divide the runs. A canonical state and the rows of its batches are whole on every device: all of
    them evaluate one run after the other.
    """

    def __init__(self, settings: Sequence[Mapping[str, float]], devices=None):
        super().__init__(len(settings), devices)
        self.by_run, self.rows = self.rows, self.everywhere
        self.lead: tuple[int, ...] = (len(settings),)
        self.settings = {
            name: np.asarray([each[name] for each in settings], np.float32) for name in settings[0]
        }
        self._unstack = jax.jit(self._runs_of, out_shardings=self.everywhere)

    def compile(self, experiment: Experiment) -> Step:
        """Compile the step; the state is donated."""
        compiled = self._over_devices(jax.vmap(make_train_step(experiment)))
        settings = self._place(self.settings)
        return lambda state, window, batch: compiled(state, window, batch, settings)

    def _over_devices(self, step: Step) -> Step:
        # shard_map: XLA's partitioner divides vmapped convolutions wrongly, without a word
        mesh, spec = self.by_run.mesh, self.by_run.spec
        divided = jax.shard_map(step, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
        return jax.jit(divided, donate_argnums=0)

    def put_batch(self, batches: Sequence[Batch]) -> Any:
        """Stack the batches; raises ConfigError when their shapes differ."""
        shapes = [{name: x.shape for name, x in batch.items()} for batch in batches]
        if differing := [other for other in shapes if other != shapes[0]]:
            raise ConfigError(
                f"config.replicas needs batches of one shape, got {shapes[0]} and {differing[0]}"
            )
        return self._place({name: np.stack([b[name] for b in batches]) for name in batches[0]})

    def spread(self, states: Sequence[Any]) -> Any:
        """Stack what belongs to the runs; `gather` undoes it."""
        return self._place(jax.tree.map(lambda *leaves: jnp.stack(leaves), *states))

    def gather(self, state: Any) -> list[Any]:
        """Return what belongs to each run."""
        return self._unstack(state)

    copy, one = spread, gather

    def _place(self, stacked: Any) -> Any:
        shaped = jax.tree.map(lambda x: x.reshape(*self.lead, *x.shape[1:]), stacked)
        return put(shaped, self.by_run)

    def _runs_of(self, tree: Any) -> list[Any]:
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[len(self.lead) :]), tree)
        return [jax.tree.map(lambda x, i=i: x[i], flat) for i in range(math.prod(self.lead))]


class PmapReplicas(Replicas):
    """jax.pmap of a vmapped step: leading axes of devices, and of runs on a device."""

    def __init__(self, settings: Sequence[Mapping[str, float]], devices=None):
        super().__init__(settings, devices)
        self.lead = (len(self.devices), len(settings) // len(self.devices))

    def _over_devices(self, step: Step) -> Step:
        return jax.pmap(step, devices=self.devices, donate_argnums=0)


MODES = {"jit": Replicas, "pmap": PmapReplicas}
