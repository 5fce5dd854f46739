"""Rosenblatt's perceptron: online learning, its convergence theorem, and where it never stops.

Reproduces: Rosenblatt, "The perceptron: a probabilistic model for information storage and
organization in the brain", 1958; the bound of Novikoff, "On convergence proofs for perceptrons",
1962. On samples with features phi that some w* of unit norm separates with margin delta, at most
M / delta^2 updates are made from w = 0 on, where M is the largest squared norm of phi.

    python -m experiments.perceptron --workdir=runs/perceptron
    python -m experiments.perceptron --workdir=runs/perceptron --mode=bound
    python -m experiments.perceptron --workdir=runs/xor --config.preset=xor
    python -m experiments.perceptron --workdir=runs/iris --config.preset=iris
    python -m experiments.perceptron --workdir=runs/digits --config.preset=digits

Each step presents one sample; a mistake adds learning_rate * t * phi to the weights. The run ends
when an evaluation finds no mistake on the training set, and prints the updates beside the bound.
With config.batch_size > 1 each step adds the mean over the mistakes and other samples of a batch
(the batch form of the rule, up to scale), and the bound is multiplied by the batch size.

Data: points in the plane (the default), xor, iris:CLASS (one species against the rest),
digits:A,B (two of scikit-learn's digits, on a retina of 20 x 20 points), or csv:PATH with a column
"label" of two classes. Measured: the rows of A1 in experiments/README.md; see docs/perceptron.md.
"""

import json
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from data.tabular.batches import EvaluationArrays, TrainingArrays
from data.tabular.two_classes import (
    DATASETS,
    FixedOrder,
    TwoClasses,
    load_two_classes,
    points_with_margin,
)
from experiments.common.assets import CLASSES, classes_of, to_json
from experiments.common.settings import picture
from experiments.common.split import split_indices
from experiments.feedforward.history import History
from experiments.feedforward.margin import updates_bound, widest_separator
from experiments.feedforward.perceptron_task import SeparateTwoClasses
from nets.feedforward.perceptron import Perceptron
from train import cli
from train.config import ConfigError, OptimizerConfig, RunConfig, option
from train.state import initial_keys
from train.task import Assets, Experiment

MODES = {"bound": "experiments.feedforward.perceptron_bound:bound"}
BOUND = "bound.json"  # asset with the bound on the updates, null if there is none
TEST_POINTS, TEST_FRACTION = 1000, 0.2  # of generated points, of other data
EVALUATED = 256  # samples per batch of an evaluation, at least


@dataclass(slots=True, kw_only=True)
class Config(RunConfig):
    """Settings of the data, their order and the associative units."""

    PRESETS: ClassVar = {
        "xor": {"dataset": "xor", "order": "fixed", "steps": 40, "eval_every": 4, "log_every": 4},
        "iris": {"dataset": "iris:setosa", "eval_every": 120},
        "digits": {"dataset": "digits:3,8", "associative_units": 512, "eval_every": 286},
    }
    TINY: ClassVar = {"points": 24}

    dataset: str = RunConfig.changed("dataset", "points", ", ".join(DATASETS))
    points: int = option(100, "number of generated training points", group="data", minimum=2)
    margin: float = option(
        0.1,
        "smallest distance of generated points from the line between the classes",
        note="only with dataset=points",
        group="data",
        above=0,
        maximum=0.5,
    )
    order: str = option(
        "shuffled",
        "order in which the samples of a pass are presented",
        group="data",
        choices=("shuffled", "fixed"),
    )
    allow_inseparable: bool = option(
        False, "train although no margin separates the data", note="xor always is", group="data"
    )
    batch_size: int = RunConfig.changed("batch_size", 1, "1: the online rule")
    associative_units: int = option(
        0, "associative units", note="0: the inputs themselves and a constant 1", minimum=0
    )
    fan_in: int = option(
        8,
        "random inputs of each associative unit",
        note="only with associative_units > 0",
        minimum=1,
    )
    learning_rate: float = OptimizerConfig.changed("learning_rate", 1.0, "constant")
    steps: int = RunConfig.changed("steps", 20000)
    log_every: int = RunConfig.changed("log_every", 100)
    eval_every: int = RunConfig.changed("eval_every", 100, "the run ends at one without a mistake")
    figures_at: tuple[float, ...] = RunConfig.changed("figures_at", (1.0,))
    picture: str = picture("bound")


def make_task(config: Config, assets: Assets, history: History | None = None) -> SeparateTwoClasses:
    """Make the network and its bound; history: the weights of the run, for its figures."""
    bound = json.loads(assets[BOUND])
    bound = math.inf if bound is None else bound
    negative, positive = classes_of(assets)
    return SeparateTwoClasses(make_network(config), (negative, positive), bound, history)


def make_network(config: Config) -> Perceptron:
    """Make the network."""
    dtype = jnp.dtype(config.precision)
    return Perceptron(config.associative_units, config.fan_in, dtype=dtype)


def load_data(config: Config) -> tuple[TwoClasses, TwoClasses]:
    """Training and test samples; ConfigError when a unit has more wires than there are inputs."""
    if config.dataset == "points":
        rows = config.points + TEST_POINTS
        data = points_with_margin(rows, config.margin, config.seed)
        split = np.arange(config.points), np.arange(config.points, rows)
    else:
        data = load_two_classes(config.dataset)
        split = split_indices(len(data.t), TEST_FRACTION, config.seed)
        if config.dataset == "xor":
            split = np.arange(4), np.arange(4)
    if config.associative_units and config.fan_in > data.x.shape[1]:
        raise ConfigError(
            f"config.fan_in {config.fan_in} is more than the {data.x.shape[1]} inputs of "
            f"dataset {config.dataset}"
        )
    train, test = (data.subset(rows) for rows in split)
    return train, test


def features_of(config: Config, x: np.ndarray) -> np.ndarray:
    """Features float32 [N, M] of the network that training with the seed of the config starts."""
    network = make_network(config)
    keys = initial_keys(config.seed)

    @jax.jit
    def compute(x: jax.Array) -> Any:
        return network.apply(network.init(keys, x), x, method="features")

    return np.asarray(compute(x))


def find_bound(config: Config, phi: np.ndarray, t: np.ndarray) -> float | None:
    """Print and return the bound on the updates, None if no margin separates the features.

    Raises ConfigError if there is none, but the setting does not allow it.
    """
    separator = widest_separator(phi, t)
    if separator:
        bound = config.batch_size * updates_bound(phi, separator.margin)
        largest = float((phi.astype(np.float64) ** 2).sum(axis=1).max())
        factor = f"{config.batch_size} " if config.batch_size > 1 else ""
        print(
            f"margin {separator.margin:.4g}, M {largest:.4g}: at most "
            f"{factor}M / margin^2 = {bound:.1f} updates"
        )
        return bound
    text = f"no margin separates the {len(t)} training samples of dataset {config.dataset}"
    if not (config.allow_inseparable or config.dataset == "xor"):
        raise ConfigError(f"{text}; config.allow_inseparable=True trains all the same")
    print(f"{text}: the rule does not stop before the last step")
    return None


def build(config: Config) -> Experiment:
    """Load the data, find the bound on the updates, and make the task."""
    if config.init_from:
        raise ConfigError("config.init_from must be empty: the bound is that of a start at w = 0")
    train, test = load_data(config)
    phi = features_of(config, train.x)
    bound = find_bound(config, phi, train.t)
    assets = {CLASSES: to_json(train.classes), BOUND: to_json(bound)}
    passes = config.steps // len(train.t) if config.batch_size == 1 else 0
    history = History(train, phi, config.order, config.seed, passes, config.learning_rate)
    evaluated = config.batch_size * math.ceil(EVALUATED / config.batch_size)
    batches = (
        FixedOrder(train, config.batch_size)
        if config.order == "fixed"
        else TrainingArrays(train.arrays, config.batch_size, config.seed)
    )
    return Experiment(
        task=make_task(config, assets, history),
        optimizer=optax.sgd(config.learning_rate),
        train=batches,
        evals={
            "training": EvaluationArrays(train.arrays, evaluated),
            "test": EvaluationArrays(test.arrays, evaluated),
        },
        provenance={
            "dataset": config.dataset.split(":")[0],
            "train": len(train.t),
            "test": len(test.t),
            "sha256": train.sha256,
        },
        assets=assets,
        schedule=optax.constant_schedule(config.learning_rate),
    )


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
