"""A trained network from its run directory."""

from pathlib import Path

from train.checkpoint import Checkpoints
from train.config import Config, ConfigError
from train.evaluate import Evaluator, Predictor
from train.parallel import JitMesh
from train.task import Experiment


def load_predictor(experiment: Experiment, config: Config, workdir: Path) -> Predictor:
    """Return the network with the variables of the run's best checkpoint.

    Raises ConfigError when there is no checkpoint in `workdir`.
    """
    devices = JitMesh(config.batch_size)
    checkpoints = Checkpoints(workdir / "checkpoints", create=False)
    step = checkpoints.best_step
    if step is None:
        raise ConfigError(f"there is no checkpoint in {workdir}")
    like = devices.init(experiment, config.seed, experiment.train(0))
    state, _ = checkpoints.restore(step, *like)
    checkpoints.close()
    return Evaluator(experiment.task, devices).predictor(state.variables)
