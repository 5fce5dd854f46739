"""Several runs in one program: vmap over the runs, a share of them on each device."""

import contextlib
import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from tqdm import tqdm

from .accumulate import check_parts
from .config import ConfigError, RunConfig
from .evaluate import Evaluator
from .loop import Start, compile_steps, train
from .placement import Placement, put
from .recorder import Due, NonFiniteError, Recorder, Run, due_at
from .rundir import check_config, finished, write_config, write_json
from .signals import stop_signals
from .start import first_states, opened
from .state import init_state
from .step import Canonical, Step, make_train_step, several_steps
from .task import Batch, Experiment


def train_replicas(
    build: Callable[[RunConfig], Experiment], config: RunConfig, workdir: Path
) -> None:
    """Train the runs that `replica_configs` lists, each in its own subfolder of `workdir`.

    Finished runs are not repeated.
    """
    check_parts(config)
    configs = {workdir / name: each for name, each in replica_configs(config).items()}
    for folder, each in configs.items():
        each.check()
        check_config(folder, each)
    count = replica_devices(len(configs))
    unfinished = {
        folder: each for folder, each in configs.items() if not finished(folder, each.steps)
    }
    runs = [Run(build(each), each, folder) for folder, each in unfinished.items()]
    check_shapes([run.experiment for run in runs])
    write_config(workdir, config)
    if runs:
        used = jax.devices()[: math.gcd(len(runs), count)]
        devices = MODES[config.parallel](varied_settings([run.config for run in runs]), used)
        fit_together(runs, devices)
        print(f"finished: {len(runs)} runs in {workdir}")
    write_json(workdir / "result.json", {"replicas": [folder.name for folder in configs]})


def fit_together(runs: Sequence[Run], devices: "Replicas") -> list[dict[str, Any]]:
    """Call `fit` for runs that take each step together; they differ in seed, scores and folder.

    `devices` holds the optimizer settings that differ, in the order of the runs. The wall-clock
    time is divided equally among the runs. A run that becomes non-finite does not stop the others:
    its error is raised after the last step.
    """
    experiment, config = runs[0].experiment, runs[0].config
    with opened(runs) as (folders, batch), stop_signals(config.stop_seconds) as received:
        began = time.perf_counter()
        make = devices.initializer(experiment, batch)
        initial = [make(run.config.seed) for run in runs]
        empty = devices.copy([initial[0][1]] * len(runs))
        step, canonical = first_states(runs, initial)
        states, windows = zip(*canonical, strict=True)
        start = Start(step, devices.spread(states), devices.copy(windows), empty)
        del initial, canonical, states, windows  # they would stay in the memory of the device
        recorder = ReplicaRecorder(runs, folders, devices, step)
        program = compile_steps(devices, experiment, config, batch)
        return recorder.write_results(train(recorder, program, config, start, received, began))


class ReplicaRecorder:
    """The recorders of several runs; the only place that knows which of them have failed."""

    ended = False  # an early end needs a single run

    def __init__(
        self, runs: Sequence[Run], folders: Sequence[Path], devices: "Replicas", start_step: int
    ):
        self.devices, self.config, self.folder = devices, runs[0].config, folders[0]
        evaluator = Evaluator(runs[0].experiment.task, devices)
        self.recorders = [
            Recorder(
                run,
                folder,
                devices,
                start_step,
                run.workdir.name if len(runs) > 1 else "",
                evaluator.with_task(run.experiment.task),
            )
            for run, folder in zip(runs, folders, strict=True)
        ]
        self.failures: list[NonFiniteError | None] = [None] * len(runs)

    def batch(self, step: int) -> Any:
        """Return the placed batches of a step."""
        return self.devices.put_batch([each.run.experiment.train(step) for each in self.recorders])

    def record(self, step: int, state: Any, window: Any, stopping: bool) -> None:
        """Evaluate, save and draw each run that has not failed, whichever is due.

        All runs are saved at the same step; at the last one, only those that have not failed.
        """
        due = due_at(self.config, step, stopping)
        if not (due.draw or due.save):
            return
        pairs = list(zip(self.devices.gather(state), self.devices.one(window), strict=True))
        objectives = [math.inf] * len(pairs)
        for i, recorder in self._running():
            with self._catch_failure(i):
                _, objectives[i] = recorder.measure(step, due, *pairs[i])
        if due.save:
            self._save(step, due, pairs, objectives)
        for i, recorder in self._running() if due.draw else ():
            recorder.draw(step, pairs[i][0], due.last)

    def draw_missing(self, step: int, state: Any) -> None:
        """Draw the figures of a restored step if a run was killed between saving and drawing."""
        lacking = [i for i, recorder in self._running() if recorder.lacks_figures(step)]
        states = self.devices.gather(state) if lacking else []
        for i in lacking:
            self.recorders[i].draw(step, states[i], step == self.config.steps)

    def _save(
        self, step: int, due: Due, pairs: Sequence[Canonical], objectives: Sequence[float]
    ) -> None:
        for recorder in self.recorders:  # no checkpoint is deleted before all have the next one
            recorder.checkpoints.wait()
        for i, (recorder, (state, window)) in enumerate(zip(self.recorders, pairs, strict=True)):
            if self.failures[i] is None:
                recorder.checkpoints.save(step, state, window, objectives[i])
            elif not due.last:  # marked, so that the run fails again when it is restored
                marked = window.replace(bad_step=jnp.full_like(window.bad_step, step))
                recorder.checkpoints.save(step, state, marked, objectives[i])

    def log(self, step: int, window: Any) -> None:
        """Write the means of the windows of all runs that have not failed."""
        windows = jax.device_get(self.devices.one(window))
        for i, recorder in self._running():
            with self._catch_failure(i):
                recorder.log_means(step, windows[i])

    def close(self, end: str, step: int, seconds: float) -> None:
        """Close every recorder, even when one raises."""
        with contextlib.ExitStack() as closing:
            for recorder, failure in zip(self.recorders, self.failures, strict=True):
                how = type(failure).__name__ if failure else end
                share = round(seconds / len(self.recorders), 2)
                closing.callback(recorder.close, how, step, share)

    def write_results(self, step: int) -> list[dict[str, Any]]:
        """Write the results of the runs that have not failed; raise the first failure."""
        results = [recorder.write_result(step) for _, recorder in self._running()]
        for failure in filter(None, self.failures):
            raise failure
        return results

    def _running(self) -> list[tuple[int, Recorder]]:
        return [(i, r) for i, r in enumerate(self.recorders) if self.failures[i] is None]

    @contextlib.contextmanager
    def _catch_failure(self, index: int) -> Iterator[None]:
        """Continue without a run that has become non-finite; raise when it was the last."""
        try:
            yield
        except NonFiniteError as error:
            self.failures[index] = error
            if all(self.failures):
                raise
            name = self.recorders[index].metrics.name
            tqdm.write(f"{name}: {error}; the other runs continue")


def replica_configs(config: RunConfig) -> dict[str, RunConfig]:
    """Config of each run by the name of its folder, which is the name that a sweep would use.

    The runs combine every seed from config.seed on with every value of `config.replica_axes()`.
    Each config is that of a single run.
    """
    varied = config.replica_axes()
    single: dict[str, Any] = {"replicas": 1, **{f"{name}s": () for name in varied}}
    axes = [[(name, x) for x in values] for name, values in varied.items() if values]
    seeds = [("seed", config.seed + i) for i in range(config.replicas)]
    configs = {}
    for chosen in itertools.product(*axes, seeds):
        name = ",".join(f"{name}={value}" for name, value in chosen)
        configs[name] = dataclasses.replace(config, **{**single, **dict(chosen)})
    return configs


def replica_devices(runs: int) -> int:
    """Return the number of devices; ConfigError when `runs` is not a multiple of it."""
    count = jax.device_count()
    if runs % count:
        raise ConfigError(
            f"{runs} runs (config.replicas times the number of learning_rates and weight_decays) "
            f"must be a multiple of the {count} devices"
        )
    return count


def check_shapes(experiments: Sequence[Experiment]) -> None:
    """Raise ConfigError when two networks differ in a shape, such as that of a vocabulary."""
    if any(other.task.model != experiments[0].task.model for other in experiments):
        shapes = [_shapes(experiment) for experiment in experiments]
        if differing := [other for other in shapes if other != shapes[0]]:
            name = next(name for name in shapes[0] if shapes[0][name] != differing[0].get(name))
            raise ConfigError(
                f"config.replicas needs networks of equal shapes, got {name} of shapes "
                f"{shapes[0][name]} and {differing[0].get(name)}"
            )


def _shapes(experiment: Experiment) -> dict[str, tuple[int, ...]]:
    """Shape of each parameter by its path."""
    state = jax.eval_shape(lambda: init_state(experiment, 0, experiment.train(0)))
    leaves = jax.tree_util.tree_leaves_with_path(state.params)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): x.shape for path, x in leaves}


def varied_settings(configs: Sequence[RunConfig]) -> list[dict[str, float]]:
    """Return for each config its values of the optimizer settings that differ between configs."""
    varied = configs[0].replica_axes()
    names = [name for name in varied if len({getattr(config, name) for config in configs}) > 1]
    return [{name: getattr(config, name) for name in names} for config in configs]


class Replicas(Placement):
    """jit of a vmapped step, separately on each device: every leaf has a leading axis of runs.

    settings: the optimizer settings of each run that differ between runs; the number of runs must
    be a multiple of the number of devices. A canonical state and the rows of its batches are
    replicated: all devices evaluate one run after the other.
    """

    def __init__(
        self,
        settings: Sequence[Mapping[str, float]],
        devices: Sequence[jax.Device] | None = None,
    ):
        super().__init__(len(settings), devices)
        self.run_sharding, self.rows = self.rows, self.everywhere
        self.leading_axes: tuple[int, ...] = (len(settings),)
        self.settings = {
            name: np.asarray([run[name] for run in settings], np.float32) for name in settings[0]
        }
        self._unstack = jax.jit(self._split_runs, out_shardings=self.everywhere)

    def compile(self, experiment: Experiment, parts: int = 1, several: bool = False) -> Step:
        """Compile the step, or `several_steps`, in parts of a batch; the state is donated."""
        step = make_train_step(experiment, parts=parts)
        axes: tuple[int | None, ...] = (0, 0, 0, 0)
        if several:  # the number of steps is that of all runs
            step, axes = several_steps(step), (0, 0, 0, None, 0)
        compiled, settings = self._divide_runs(step, axes), self._put_runs(self.settings)
        return lambda state, window, *rest: compiled(state, window, *rest, settings)

    def _divide_runs(self, step: Step, axes: tuple[int | None, ...]) -> Step:
        """Compile a step of one run for all; axes: those of the runs in its arguments."""
        # shard_map, since XLA's partitioner silently divides vmapped convolutions wrongly
        mesh, spec = self.run_sharding.mesh, self.run_sharding.spec
        specs = tuple(PartitionSpec() if axis is None else spec for axis in axes)
        divided = jax.shard_map(
            jax.vmap(step, in_axes=axes),
            mesh=mesh,
            in_specs=specs,
            out_specs=spec,
            check_vma=False,
        )
        return jax.jit(divided, donate_argnums=0)

    def put_batch(self, batch: Any) -> Any:
        """Stack the batches of the runs, a list; ConfigError when their shapes differ."""
        batches: list[Batch] = batch
        shapes = [{name: x.shape for name, x in batch.items()} for batch in batches]
        if differing := [other for other in shapes if other != shapes[0]]:
            raise ConfigError(
                f"config.replicas needs batches of equal shapes, got {shapes[0]} and {differing[0]}"
            )
        return self._put_runs({name: np.stack([b[name] for b in batches]) for name in batches[0]})

    def spread(self, state: Any) -> Any:
        """Stack the states of the runs, a list; inverse of `gather`."""
        return self._put_runs(jax.tree.map(lambda *leaves: jnp.stack(leaves), *state))

    def gather(self, state: Any) -> list[Any]:
        """Return the state of each run."""
        return self._unstack(state)

    copy, one = spread, gather

    def _put_runs(self, stacked: Any) -> Any:
        axes = self.leading_axes
        return put(
            jax.tree.map(lambda x: x.reshape(*axes, *x.shape[1:]), stacked), self.run_sharding
        )

    def _split_runs(self, tree: Any) -> list[Any]:
        axes = self.leading_axes
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[len(axes) :]), tree)
        return [jax.tree.map(lambda x, i=i: x[i], flat) for i in range(math.prod(axes))]


class PmapReplicas(Replicas):
    """jax.pmap of a vmapped step: a leading axis of devices, then one of runs per device."""

    def __init__(
        self,
        settings: Sequence[Mapping[str, float]],
        devices: Sequence[jax.Device] | None = None,
    ):
        super().__init__(settings, devices)
        self.leading_axes = (len(self.devices), len(settings) // len(self.devices))

    def _divide_runs(self, step: Step, axes: tuple[int | None, ...]) -> Step:
        each = jax.vmap(step, in_axes=axes)
        return jax.pmap(each, in_axes=axes, devices=self.devices, donate_argnums=0)


MODES = {"jit": Replicas, "pmap": PmapReplicas}
