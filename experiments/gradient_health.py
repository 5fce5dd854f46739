"""Gradient health: how much of the gradient survives backpropagation through time.

Reproduces: vanishing and exploding gradients (Hochreiter 1991; Bengio et al. 1994), clipping by
global norm (Pascanu et al. 2013), orthogonal initialisation (Saxe et al. 2014), and the adding
problem of Hochreiter and Schmidhuber 1997.

    python -m experiments.gradient_health --workdir=runs/rnn --config.cell=rnn \\
        --config.recurrent_init=lecun

The figure shows |dL/dh_t| / |dL/dh_T| against the distance T - t, where L is the loss at the last
step; "log10_reach" is log10 of that ratio at t = 1. Both are medians over sequences, in float32;
for an LSTM, h_t is c and h together.

Data: the adding problem, generated: data/series/adding.py. The constant answer 1 has a loss of
0.167. Measured: the rows of C2 in experiments/README.md.
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
from train.state import initial_keys
from train.task import Assets, Experiment, Mean, Task

INITIALIZERS = ("orthogonal", "lecun")
HELD_OUT_SEQUENCES = 1000
NUMBERS = {"rnn": 0, "gru": 1, "lstm": 2}  # of the colours and markers of the cells
LINES = {"orthogonal": "-", "lecun": "--", "state": "-", "c": "--", "h": ":"}


@dataclass(slots=True, kw_only=True)
class Config(OptimizerConfig):
    """Settings of the sequences and of the recurrent layer."""

    TINY: ClassVar = {"hidden": 8, "sequence_length": 12}

    dataset: str = option(
        "adding",
        "name of the dataset",
        note="the adding problem, generated",
        group="data",
        choices=("adding",),
    )
    sequence_length: int = option(
        50,
        "sequence length T",
        note="both numbers to add are in the first half",
        group="data",
        minimum=SHORTEST,
    )
    batch_size: int = OptimizerConfig.changed("batch_size", 64, "in sequences")

    cell: str = option("gru", "recurrent cell", choices=CELLS)
    hidden: int = option(32, "hidden units per layer", minimum=1)
    recurrent_init: str = option(
        "orthogonal", "initialisation of the recurrent kernel", choices=INITIALIZERS
    )
    init_gain: float = option(1.0, "gain of the initial recurrent kernel", above=0)
    forget_bias: float = option(3.0, "initial forget bias", note="only with cell=lstm")

    learning_rate: float = OptimizerConfig.changed("learning_rate", 5e-3)
    decay_factor: float = OptimizerConfig.changed("decay_factor", 0.1)
    clip_norm: float = OptimizerConfig.changed("clip_norm", 1.0)


class AddingNetwork(nn.Module):
    """y = V h_T + b, where h_T is the last output of a recurrent layer."""

    recurrent: RNN

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        """Predicted sums float32 [B] of sequences [B, T, 2]."""
        _, outputs = self.recurrent(x, train=train)
        dense = nn.Dense(1, dtype=self.recurrent.cell.dtype, name="answer")
        return dense(outputs[:, -1])[:, 0].astype(jnp.float32)


def make_network(config: Config, cell: str, initializer: str) -> AddingNetwork:
    """Network with one of CELLS, whose recurrent kernel has one of INITIALIZERS."""
    options = {"forget_bias": config.forget_bias} if cell == "lstm" else {}
    if initializer == "lecun":
        recurrent_init = nn.initializers.normal(config.init_gain * config.hidden**-0.5)
    else:
        recurrent_init = nn.initializers.orthogonal(config.init_gain)
    layer = CELLS[cell](
        features=config.hidden,
        dtype=jnp.dtype(config.precision),
        recurrent_init=recurrent_init,
        **options,
    )
    return AddingNetwork(RNN(layer))


@partial(jax.jit, static_argnums=0)
def gradient_ratios(cell: str, params, x) -> dict[str, jax.Array]:
    """Median over sequences of |dL/dh_t| / |dL/dh_T|, [T] from t = T to 1, by state component.

    The components are named as by `nets.interpret.gradient_flow.gradient_norms`.
    """
    weights, kernel = params["recurrent"]["cell"], params["answer"]["kernel"]
    layer = CELLS[cell](weights["recurrent_kernel"].shape[0])
    # dL/dy is a factor of both norms and cancels, so the outputs y can replace the loss
    norms = gradient_norms(layer, weights, x, lambda h: (h @ kernel).sum())
    last = norms["state"][-1]
    return {name: jnp.median(norm / last, axis=1)[::-1] for name, norm in norms.items()}


class AddNumbers(Task):
    """Mean squared error of the sum of two marked numbers."""

    axes: ClassVar = {"x": "b, t, ..."}

    def __init__(self, config: Config, x):
        self.config, self.x = config, x
        self.model = make_network(config, config.cell, config.recurrent_init)

    def inputs(self, batch):
        """Return the sequences."""
        return (batch["x"],)

    def means(self, outputs, batch):
        """Mean squared error, and the fraction of errors below 0.04."""
        error = outputs - batch["target"]
        values = {"loss": error**2, "within_0.04": jnp.abs(error) < 0.04}
        return {name: Mean.from_values(value, batch.get("mask")) for name, value in values.items()}

    def scores(self, predict, batches):
        """Return log10 of the ratio at t = 1: 0 if the norm is preserved, -38 if it vanishes."""
        ratios = gradient_ratios(self.config.cell, predict.variables["params"], self.x)
        return {"log10_reach": math.log10(max(ratios["state"][-1], 1e-38))}

    @cached_property
    def initial_ratios(self) -> dict[tuple[str, str], jax.Array]:
        """Ratios before training by (cell, initializer), with the random numbers of this run."""
        keys = initial_keys(self.config.seed)
        ratios = {}
        for cell in CELLS:
            for initializer in INITIALIZERS:
                model = make_network(self.config, cell, initializer)
                params = model.init(keys, self.x[:, :1])["params"]
                ratios[cell, initializer] = gradient_ratios(cell, params, self.x)["state"]
        return ratios

    def figures(self, predict, batches):
        """Draw the ratios of all cells before training, and of this run before training and now."""
        from matplotlib.figure import Figure

        from train.drawing import legend_below, marker_style

        config = self.config
        styles = {
            cell: {**marker_style(number), "markevery": 0.1, "markersize": 4}
            for cell, number in NUMBERS.items()
        }
        figure = Figure(figsize=(10, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        left.set_yscale("log", nonpositive="mask")
        for (cell, initializer), ratio in self.initial_ratios.items():
            label = f"{cell}, {initializer}"
            left.plot(ratio, LINES[initializer], **styles[cell], label=label)
        left.set(
            title=f"before training, gain {config.init_gain:g}", ylabel="|dL/dh_t| / |dL/dh_T|"
        )
        right.plot(
            self.initial_ratios[config.cell, config.recurrent_init],
            "grey",
            label="state, before training",
        )
        ratios = gradient_ratios(config.cell, predict.variables["params"], self.x)
        for name, ratio in ratios.items():
            right.plot(ratio, LINES[name], **styles[config.cell], label=f"{name}, now")
        right.set(
            title=f"this run: {config.cell}, {config.recurrent_init}, clip {config.clip_norm:g}"
        )
        for axis in (left, right):
            axis.set_xlabel("distance T - t, in steps")
            legend_below(axis, fontsize=8, ncols=3)
        right.set_ylim(bottom=max(1e-12, right.get_ylim()[0]))
        return {"gradient": figure}


def held_out(config: Config, number: int) -> EvaluationSequences:
    """Held-out set by its number."""
    return EvaluationSequences(
        count=HELD_OUT_SEQUENCES,
        batch_size=config.batch_size,
        length=config.sequence_length,
        number=number,
    )


def make_task(config: Config, assets: Assets) -> AddNumbers:
    """Make the network; the sequences are generated, so there are no assets."""
    return AddNumbers(config, next(iter(held_out(config, 0)))["x"])


def build(config: Config) -> Experiment:
    """Make the sequences and the network."""
    return Experiment(
        task=make_task(config, {}),
        optimizer=make_optimizer(config),
        train=TrainingSequences(config.batch_size, config.sequence_length, config.seed),
        evals={"validation": held_out(config, 0), "test": held_out(config, 1)},
        provenance={"dataset": config.dataset},
    )


if __name__ == "__main__":
    cli.run(Config, build, make_task)
