"""Autoencoder: images reconstructed from a code of a few numbers.

Reproduces: Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks",
Science 2006. Published, for test images of MNIST reconstructed from 30 numbers: a squared error per
image of 3.00, where logistic PCA has 8.01 and PCA 13.87. The networks are in
nets/feedforward/autoencoder.py, the machines that pretrain the layers in nets/feedforward/rbm.py.

    python -m experiments.autoencoder --workdir=runs/autoencoder
    python -m experiments.autoencoder --workdir=runs/conv --config.architecture=convolutional \\
        --config.widths="(16,32)"
    python -m experiments.autoencoder --workdir=runs/denoising --config.corruption=0.2
    python -m experiments.autoencoder --workdir=runs/plane --config.code=2
    python -m experiments.autoencoder --workdir=runs/mnist --config.preset=mnist

With --config.pretrain_steps=N a run begins with N steps for each layer of a dense network, in which
the layer is trained as a restricted Boltzmann machine, as published. --mode=features measures how
well a linear classifier with few labels reads the code.

Data: digits (scikit-learn's, the default), mnist, fashion_mnist, or any other prepared dataset with
labelled images; the labels are used by --mode=features and the figures alone. Measured: the rows of
A7 in experiments/README.md; see also docs/autoencoder.md.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax.numpy as jnp

from data.images.augment import Augmentation
from data.images.labelled import EvaluationBatches, TrainingBatches
from experiments.common.settings import validation_fraction
from experiments.feedforward.linear import Components, principal_components
from experiments.feedforward.reconstruction import PretrainAndReconstruct, Reconstruct
from experiments.feedforward.stages import (
    LINEAR_RATE,
    StagedBatches,
    staged_optimizer,
    staged_schedule,
)
from experiments.image.task import load_splits
from nets.feedforward.activations import ACTIVATIONS
from nets.feedforward.autoencoder import LINEAR, ConvolutionalAutoencoder, DenseAutoencoder
from train import cli
from train.config import ConfigError, OptimizerConfig, option
from train.optimizer import make_optimizer, make_schedule
from train.task import Assets, Experiment

MODES = {"features": "experiments.feedforward.features:features"}
COMPONENTS = "components.npz"  # name of the asset with the principal components
NETWORKS = {"dense": DenseAutoencoder, "convolutional": ConvolutionalAutoencoder}
MNIST = {
    "dataset": "mnist",
    "image_size": 28,
    "validation_fraction": 1 / 12,
    "widths": (1000, 500, 250),
    "code": 30,
}
PASS = 550  # batches of 100 in the training images


@dataclass(slots=True, kw_only=True)
class Config(OptimizerConfig):
    """Settings of the images, the network and its pretraining."""

    PRESETS: ClassVar = {
        "mnist": MNIST
        | {
            "loss": "squared_error",
            "batch_size": 250,
            "learning_rate": 1.5e-3,
            "steps": 11000,
            "eval_every": 2200,
        },
        "published": MNIST
        | {
            "activation": "sigmoid",
            "batch_size": 100,
            "pretrain_steps": 50 * PASS,
            "steps": (4 * 50 + 200) * PASS,
            "log_every": PASS,
            "eval_every": 10 * PASS,
        },
    }
    TINY: ClassVar = {"widths": (16,)}

    dataset: str = OptimizerConfig.changed(
        "dataset", "digits", "digits, mnist, fashion_mnist or another of labelled images"
    )
    validation_fraction: float = validation_fraction()
    image_size: int = option(8, "side of the images, in pixels", group="data", minimum=2)

    architecture: str = option("dense", "network architecture", choices=tuple(NETWORKS))
    widths: tuple[int, ...] = option(
        (128, 64),
        "units of each hidden layer",
        note="of the encoder; channels of a convolutional network",
        minimum=1,
    )
    code: int = option(8, "number of code units", minimum=1)
    activation: str = option(
        "relu", "activation function of the hidden layers", choices=tuple(ACTIVATIONS)
    )
    code_activation: str = option(
        LINEAR, "activation function of the code", choices=(LINEAR, *ACTIVATIONS)
    )
    tie_weights: bool = option(
        False,
        "decoder kernels are the transposed encoder kernels",
        note="only with architecture=dense",
    )
    corruption: float = option(
        0.0,
        "probability of replacing a pixel of a training input by 0",
        minimum=0,
        below=1,
    )
    sparsity_penalty: float = option(
        0.0,
        "weight of the divergence of the mean code activity from sparsity_target",
        note="only with code_activation=sigmoid",
        minimum=0,
    )
    sparsity_target: float = option(
        0.1, "mean activity of a code unit that is not penalised", above=0, below=1
    )
    loss: str = option(
        "cross_entropy",
        "reconstruction error that is minimised",
        choices=("cross_entropy", "squared_error"),
    )
    pretrain_steps: int = option(
        0,
        "steps that pretrain each layer as a restricted Boltzmann machine",
        note="the first of `steps`; only with architecture=dense and activation=sigmoid",
        group="optimizer",
        minimum=0,
    )
    pretrain_learning_rate: float = option(
        0.1,
        "learning rate of pretraining",
        note="a hundredth of it for a linear code",
        group="optimizer",
        above=0,
    )
    batch_size: int = OptimizerConfig.changed("batch_size", 100)
    steps: int = OptimizerConfig.changed("steps", 3000)
    eval_every: int = OptimizerConfig.changed("eval_every", 500)
    figures_at: tuple[float, ...] = OptimizerConfig.changed("figures_at", (1.0,))

    label_counts: tuple[int, ...] = option(
        (100, 1000),
        "numbers of labelled images that train a linear classifier",
        modes=("features",),
        minimum=2,
    )

    @property
    def layers(self) -> int:
        """Number of layers of the encoder of a dense network."""
        return len(self.widths) + 1

    def check(self) -> None:
        """Raise ConfigError also when the pretraining or the penalty does not fit the network."""
        super(Config, self).check()
        if self.sparsity_penalty and self.code_activation != "sigmoid":
            raise ConfigError("config.sparsity_penalty needs config.code_activation=sigmoid")
        dense = self.architecture == "dense"
        if self.tie_weights and not dense:
            raise ConfigError("config.tie_weights needs config.architecture=dense")
        if not self.pretrain_steps:
            return
        if not dense or self.activation != "sigmoid":
            raise ConfigError(
                "config.pretrain_steps needs config.architecture=dense and activation=sigmoid"
            )
        if self.code_activation not in (LINEAR, "sigmoid"):
            raise ConfigError(
                "config.pretrain_steps needs config.code_activation linear or sigmoid"
            )
        if self.layers * self.pretrain_steps >= self.steps:
            raise ConfigError(
                f"config.pretrain_steps={self.pretrain_steps} for each of {self.layers} layers "
                f"leaves none of the {self.steps} steps of config.steps"
            )
        for name, value in (("ema_decay", self.ema_decay), ("freeze", self.freeze)):
            if value:
                raise ConfigError(f"config.pretrain_steps cannot be combined with config.{name}")


def make_task(config: Config, assets: Assets) -> Reconstruct:
    """Make the network for images of the size of the components."""
    components = Components.from_bytes(assets[COMPONENTS])
    size = config.image_size
    shape = (size, size, len(components.mean) // size**2)
    tied = {"tie_weights": config.tie_weights} if config.architecture == "dense" else {}
    model = NETWORKS[config.architecture](
        shape,
        config.widths,
        config.code,
        activation=config.activation,
        code_activation=config.code_activation,
        corruption=config.corruption,
        sparsity_penalty=config.sparsity_penalty,
        sparsity_target=config.sparsity_target,
        dtype=jnp.dtype(config.precision),
        **tied,
    )
    kind = PretrainAndReconstruct if config.pretrain_steps else Reconstruct
    return kind(model, config.loss, components)


def build(config: Config) -> Experiment:
    """Load the images; make the task, the stages and the batches."""
    images, held_out, provenance = load_splits(config, config.image_size)
    components = principal_components(images.images.reshape(len(images), -1), config.code)
    assets = {COMPONENTS: components.to_bytes()}
    train: Any = TrainingBatches(images, config.batch_size, config.seed, Augmentation())
    optimizer, schedule = make_optimizer(config), None
    if config.pretrain_steps:
        steps, layers = config.pretrain_steps, config.layers
        rates = {f"layer_{i}": config.pretrain_learning_rate for i in range(layers)}
        if config.code_activation == LINEAR:
            rates[f"layer_{layers - 1}"] *= LINEAR_RATE
        fine_tuning = replace(config, steps=config.steps - layers * steps)
        optimizer = staged_optimizer(make_optimizer(fine_tuning), rates, steps)
        schedule = staged_schedule(make_schedule(fine_tuning), rates, steps)
        train = StagedBatches(train, layers, steps)
    return Experiment(
        task=make_task(config, assets),
        optimizer=optimizer,
        train=train,
        evals={name: EvaluationBatches(each, config.batch_size) for name, each in held_out.items()},
        provenance=provenance,
        assets=assets,
        schedule=schedule,
    )


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
