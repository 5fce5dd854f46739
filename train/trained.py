"""A trained network, opened from its run directory alone."""

import copy
import dataclasses
import sys
from collections.abc import Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax

from .config import ConfigError, RunConfig
from .evaluate import Evaluator, Predictor
from .placement import Placement
from .rundir import (
    check_config,
    data_changes,
    experiment_of,
    read_assets,
    read_example,
    read_json,
    restore_config,
)
from .task import Batch, Build, Experiment, MakeTask
from .validity import hint
from .weights import check_shapes, read_variables


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """A trained network with its task and its settings.

    predict(batch, carry=None) -> (outputs, carry); `predict.variables` are those of the best
    checkpoint. The data of training are read only when `held_out` or `experiment` asks for them.
    """

    config: Any
    workdir: Path
    task: Any
    predict: Predictor
    build: Build

    @property
    def example(self) -> Batch:
        """Batch of zeros in the shapes of training."""
        return read_example(self.workdir)

    @property
    def variables(self) -> Any:
        """Variables of the network at the best checkpoint."""
        return self.predict.variables

    def held_out(self, name: str) -> Any:
        """Held-out set of the experiment.

        Raises ConfigError when the data cannot be read, or have no such set.
        """
        sets = self._experiment(f"the held-out set {name!r}").evals
        if name not in sets:
            listed = ", ".join(sets)
            raise ConfigError(f"there is no held-out set {name!r}, only {listed}{hint(name, sets)}")
        return sets[name]

    def all_held_out(self) -> Mapping[str, Any]:
        """All held-out sets of the experiment; raises ConfigError when the data cannot be read."""
        return self._experiment("the held-out sets").evals

    def _experiment(self, needed: str) -> Experiment:
        try:
            return self.experiment
        except Exception as error:
            if not hasattr(error, "exit_code"):
                raise
            raise ConfigError(
                f"this mode needs {needed} of dataset {self.config.dataset!r}: {error}. If the "
                "data have moved, give their new place with --config.dataset or --config.data_dir"
            ) from None

    @cached_property
    def experiment(self) -> Experiment:
        """The experiment with its data; prints a warning if they are not those of training."""
        config = copy.copy(self.config)
        config.seed = read_json(self.workdir / "config.json")["seed"]  # it may choose the sets
        experiment = self.build(config)
        if changes := data_changes(self.workdir, experiment.provenance):
            print(f"warning: the data are not those of training: {changes}", file=sys.stderr)
        return experiment


def load_run(build: Build, make_task: MakeTask, config: RunConfig, workdir: Path) -> TrainedRun:
    """Open a run from its config, its assets and its best readable checkpoint.

    Raises ConfigError when there is no checkpoint, or when it is that of another network.
    """
    variables = read_variables(workdir, partial(print, "warning:", file=sys.stderr))
    task = make_task(config, read_assets(workdir))
    expected = jax.eval_shape(task.init, {"params": jax.random.key(0)}, read_example(workdir))
    check_shapes(variables, expected, f"the checkpoint in {workdir}")
    evaluator = Evaluator(task, Placement(1, jax.devices()[:1]))
    return TrainedRun(config, workdir, task, Predictor(variables, evaluator), build)


def open_folder(workdir: Path, settings: Mapping[str, Any]) -> TrainedRun:
    """Open the run in a folder, which names its experiment, with some settings changed.

    Raises ConfigError when it cannot be opened, or when a setting does not exist, has an invalid
    value, or is one that the network depends on.
    """
    module = experiment_of(workdir)
    config = module.Config()
    restore_config(config, workdir)
    names = [field.name for field in dataclasses.fields(config)]
    for name, value in settings.items():
        if name not in names:
            raise ConfigError(f"there is no setting {name}{hint(name, names)}")
        setattr(config, name, value)
    config.check()
    check_config(workdir, config, training=False)
    return load_run(module.build, module.make_task, config, workdir)
