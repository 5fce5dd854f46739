"""Gradient health: how much of the gradient comes back through time, and what is learned by it.

Reproduces: vanishing and exploding gradients (Hochreiter 1991; Bengio et al. 1994), clipping by
global norm (Pascanu et al. 2013), the orthogonal start (Saxe et al. 2014), and the adding problem
of Hochreiter and Schmidhuber 1997: data/series/adding.py. Who always answers 1 has a loss of 0.167.

    python -m experiments.gradient_health --workdir=runs/rnn --config.cell=rnn \\
        --config.recurrent_init=lecun

The figure shows |dL/dh_t| / |dL/dh_T| against the distance T - t, where L is the last step's loss;
"log10_reach" is log10 of that ratio at t = 1. Both are medians over sequences, in float32; for an
LSTM h_t is c and h together. Measured: the rows of C2 in experiments/README.md.
"""

import math
from dataclasses import dataclass
from functools import cached_property, partial
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from data.series.adding import SHORTEST, EvaluationSequences, TrainingSequences
from nets.interpret.gradient_flow import gradient_norms
from nets.recurrent.cells import CELLS
from nets.recurrent.layers import RNN
from train import cli
from train.config import OptimizerConfig, option
from train.optimizer import make_optimizer
from train.state import stream
from train.task import Experiment, Mean, Task

STARTS = ("orthogonal", "lecun")
COLOURS = {"rnn": "tab:red", "gru": "tab:blue", "lstm": "tab:green"}
LINES = {"orthogonal": "-", "lecun": "--", "state": "-", "c": "--", "h": ":"}


@dataclass(slots=True, kw_only=True)
class Config(OptimizerConfig):
    """Settings of a run on the adding problem."""

    TINY: ClassVar = {"hidden": 8, "sequence_length": 12}

    dataset: str = option(
        "adding", "dataset to use", note="generated", group="data", choices=("adding",)
    )
    sequence_length: int = option(
        50,
        "sequence length T",
        note="the numbers to add are at least T/2 from the end",
        group="data",
        minimum=SHORTEST,
    )
    batch_size: int = OptimizerConfig.changed("batch_size", 64, "in sequences")

    cell: str = option("gru", "recurrent cell", choices=CELLS)
    hidden: int = option(32, "hidden units per layer", minimum=1)
    recurrent_init: str = option(
        "orthogonal", "initialisation of the recurrent kernel", choices=STARTS
    )
    init_gain: float = option(1.0, "factor of the initial recurrent kernel", above=0)
    forget_bias: float = option(3.0, "initial forget bias", note="cell=lstm")

    learning_rate: float = OptimizerConfig.changed("learning_rate", 5e-3)
    decay_factor: float = OptimizerConfig.changed("decay_factor", 0.1)
    clip_norm: float = OptimizerConfig.changed("clip_norm", 1.0)


class AddingNetwork(nn.Module):
    """y = V h_T + b, h_T the last output of a recurrent layer."""

    recurrent: RNN

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        """Answers float32 [B] to sequences [B, T, 2]."""
        _, outputs = self.recurrent(x, deterministic=not train)
        dense = nn.Dense(1, dtype=self.recurrent.cell.dtype, name="answer")
        return dense(outputs[:, -1])[:, 0].astype(jnp.float32)


def network(config: Config, cell: str, start: str) -> AddingNetwork:
    """Make the network of one of CELLS whose recurrent kernel begins as one of STARTS."""
    own = {"forget_bias": config.forget_bias} if cell == "lstm" else {}
    size = (config.hidden, jnp.dtype(config.precision))
    normal = nn.initializers.normal(config.init_gain * config.hidden**-0.5)
    init = normal if start == "lecun" else nn.initializers.orthogonal(config.init_gain)
    return AddingNetwork(RNN(CELLS[cell](*size, recurrent_init=init, **own)))


@partial(jax.jit, static_argnums=0)
def ratios(cell: str, params, x) -> dict[str, jax.Array]:
    """Medians over sequences of |dL/dh_t| / |dL/dh_T|, [T] by the part of h, nearest first."""
    weights, kernel = params["recurrent"]["cell"], params["answer"]["kernel"]
    layer = CELLS[cell](weights["recurrent_kernel"].shape[0])
    # dL/dy is a factor of both norms: the answers y may stand for the loss
    norms = gradient_norms(layer, weights, x, lambda h: (h @ kernel).sum())
    last = norms["state"][-1]
    return {part: jnp.median(norm / last, axis=1)[::-1] for part, norm in norms.items()}


class Add(Task):
    """Mean squared error of the sum of two marked numbers."""

    def __init__(self, config: Config, x):
        self.config, self.x = config, x
        self.model = network(config, config.cell, config.recurrent_init)

    def inputs(self, batch, carry):
        """Return the sequences."""
        return (batch["x"],)

    def means(self, outputs, batch):
        """Mean squared error, and the share of answers less than 0.04 away."""
        error = outputs - batch["target"]
        values = {"loss": error**2, "within_0.04": jnp.abs(error) < 0.04}
        return {name: Mean.from_values(value, batch.get("mask")) for name, value in values.items()}

    def scores(self, predict, batches):
        """Return log10 of the ratio at t = 1: 0 when nothing is lost, -38 when nothing is left."""
        last = ratios(self.config.cell, predict.variables["params"], self.x)["state"][-1]
        return {"log10_reach": math.log10(max(last, 1e-38))}

    @cached_property
    def at_the_start(self) -> dict[tuple[str, str], jax.Array]:
        """Ratios by (cell, start), with the random numbers of this run."""
        keys, found = {"params": stream(jax.random.key(self.config.seed), "params", 0)}, {}
        for pair in ((cell, start) for cell in CELLS for start in STARTS):
            variables = network(self.config, *pair).init(keys, self.x[:, :1])
            found[pair] = ratios(pair[0], variables["params"], self.x)["state"]
        return found

    def figures(self, predict, batches):
        """Draw the ratios of all cells at the start, and of this run's then and now."""
        from matplotlib.figure import Figure

        config, colour = self.config, COLOURS[self.config.cell]
        figure = Figure(figsize=(10, 4.2), layout="constrained")
        every, own = figure.subplots(1, 2, sharey=True)
        every.set_yscale("log", nonpositive="mask")
        for (cell, start), ratio in self.at_the_start.items():
            every.plot(ratio, LINES[start], color=COLOURS[cell], label=f"{cell}, {start}")
        every.set(title=f"at the start, gain {config.init_gain:g}", ylabel="|dL/dh_t| / |dL/dh_T|")
        own.plot(
            self.at_the_start[config.cell, config.recurrent_init],
            "grey",
            label="state, at the start",
        )
        for part, ratio in ratios(config.cell, predict.variables["params"], self.x).items():
            own.plot(ratio, LINES[part], color=colour, label=f"{part}, now")
        own.set(
            title=f"this run: {config.cell}, {config.recurrent_init}, clip {config.clip_norm:g}"
        )
        for axis in (every, own):
            axis.set_xlabel("distance T - t, steps")
            axis.legend(fontsize=8)
        own.set_ylim(bottom=max(1e-12, own.get_ylim()[0]))
        return {"gradient": figure}


def build(config: Config) -> Experiment:
    """Make the network and the sequences."""
    sizes = (1000, config.batch_size, config.sequence_length)
    evals = {name: EvaluationSequences(*sizes, i) for i, name in enumerate(("validation", "test"))}
    train = TrainingSequences(config.batch_size, config.sequence_length, config.seed)
    task = Add(config, next(iter(evals["validation"]))["x"])
    return Experiment(task, make_optimizer(config), train, evals, {"dataset": config.dataset})


if __name__ == "__main__":
    cli.run(Config, build)
