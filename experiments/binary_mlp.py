"""Boolean functions by networks of one hidden layer: built with many units, or trained with few.

Reproduces: every Boolean function of D inputs in {-1, +1} is computed exactly by a network with one
hidden sign unit for each input whose value is +1: nets/feedforward/boolean.py. Parity thus takes
2^(D-1) units, while D units are enough: Rumelhart, Hinton and Williams, "Learning internal
representations by error propagation", 1986. This experiment trains a network of a few tanh units on
the same function.

    python -m experiments.binary_mlp --workdir=runs/parity
    python -m experiments.binary_mlp --workdir=runs/parity --mode=construction
    python -m experiments.binary_mlp --workdir=runs/majority --config.dataset=majority \\
        --config.inputs=8 --config.batch_size=64
    python -m experiments.binary_mlp --workdir=runs/xor --config.dataset=0110 --config.inputs=2 \\
        --config.batch_size=4 --config.hidden=2

Data: all 2^D inputs, which are both the training and the test set; the run ends when every value is
right. The function is parity (the default), majority, random (drawn from the seed), or its values
as 2^D digits. Measured: the rows of A2 in experiments/README.md; see docs/perceptron.md.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from data.tabular.batches import EvaluationArrays, TrainingArrays, sha256_of
from data.tabular.boolean import all_inputs, function_values
from experiments.common.settings import picture
from experiments.feedforward.construction import built_network, describe, tables_picture
from nets.feedforward.boolean import MAX_INPUTS
from nets.feedforward.mlp import MLP
from train import cli
from train.config import OptimizerConfig, option
from train.optimizer import make_optimizer
from train.task import Assets, Experiment, Mean, Task

MODES = {"construction": "experiments.feedforward.construction:construction"}
VALUES = "values.txt"  # asset with the values of the function as digits 0 and 1


@dataclass(slots=True, kw_only=True)
class Config(OptimizerConfig):
    """Settings of the function, the network and its training."""

    TINY: ClassVar = {"inputs": 3}

    dataset: str = OptimizerConfig.changed(
        "dataset", "parity", "parity, majority, random, or 2^inputs digits 0 and 1"
    )
    inputs: int = option(
        4, "inputs of the Boolean function", group="data", minimum=1, maximum=MAX_INPUTS
    )
    batch_size: int = OptimizerConfig.changed("batch_size", 16)
    hidden: int = option(8, "hidden units per layer", note="tanh", minimum=1)
    init_scale: float = option(
        1.0, "standard deviation of the initial weights times the root of their inputs", above=0
    )
    steps: int = OptimizerConfig.changed("steps", 5000)
    learning_rate: float = OptimizerConfig.changed("learning_rate", 1e-2)
    log_every: int = OptimizerConfig.changed("log_every", 500)
    eval_every: int = OptimizerConfig.changed("eval_every", 500)
    figures_at: tuple[float, ...] = OptimizerConfig.changed("figures_at", (1.0,))
    picture: str = picture("construction")


class LearnFunction(Task):
    """Mean of -log P(value given inputs), P(+1) = 1 / (1 + exp(-f)), in nats.

    values: float32 [2^D] in {-1, +1}, of all inputs.
    """

    headline = "accuracy"

    def __init__(self, model: MLP, values: np.ndarray):
        self.model, self.values = model, values

    def inputs(self, batch):
        """Return the inputs."""
        return (batch["x"],)

    def means(self, outputs, batch):
        """Loss and accuracy."""
        agreement = outputs[:, 0] * batch["t"]
        values = {"loss": jax.nn.softplus(-agreement), "accuracy": agreement > 0}
        return {name: Mean.from_values(value, batch.get("mask")) for name, value in values.items()}

    def summaries(self, values):
        """Return 1 when every value is right, else 0; the mean over seeds is how many succeed."""
        return {"exact": float(values["accuracy"] == 1)}

    def solved(self, values):
        """True when every value is right."""
        return values["exact"] == 1

    def scores(self, predict, batches):
        """Return the number of hidden units of the network that is built for the function."""
        return {"built_units": float((self.values > 0).sum())}

    def figures(self, predict, batches):
        """Draw the function, the built network and the trained one."""
        inputs = next(iter(batches))["x"].shape[1]
        outputs = np.concatenate(
            [np.asarray(predict(batch)[0])[batch["mask"] > 0, 0] for batch in batches]
        )
        built = built_network(all_inputs(inputs), self.values)
        tables = {"function": self.values}
        if built.values is not None:
            tables[f"built: {built.units} hidden units"] = built.values
        tables[f"trained: {self.model.widths[0]} hidden units"] = np.tanh(outputs / 2)
        return {"tables": tables_picture(tables, inputs)}


def make_task(config: Config, assets: Assets) -> LearnFunction:
    """Make the network for a function."""
    values = np.array(list(assets[VALUES].decode())) == "1"
    initial = nn.initializers.variance_scaling(config.init_scale**2, "fan_in", "normal")
    model = MLP((config.hidden,), 1, "tanh", initial, dtype=jnp.dtype(config.precision))
    return LearnFunction(model, np.where(values, 1, -1).astype(np.float32))


def build(config: Config) -> Experiment:
    """List the values of the function, print the network that is built for it, make the task."""
    x = all_inputs(config.inputs)
    t = function_values(config.dataset, x, config.seed)
    print(f"{config.dataset}: {describe(x, t)}")
    assets = {VALUES: "".join("1" if value > 0 else "0" for value in t).encode()}
    arrays = {"x": x, "t": t}
    return Experiment(
        task=make_task(config, assets),
        optimizer=make_optimizer(config),
        train=TrainingArrays(arrays, config.batch_size, config.seed),
        evals={"all": EvaluationArrays(arrays, config.batch_size)},
        provenance={"dataset": config.dataset, "train": len(t), "sha256": sha256_of(x, t)},
        assets=assets,
    )


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
