"""Techniques of training a multi-layer perceptron: each one is a setting.

Activation functions, initialisation, batch norm, optimizers, L2, dropout, jitter and random
restarts, on handwritten digits. The sources are in nets/feedforward and train/optimizer.py;
docs/craft.md tells what each technique does, with the commands of all tables.

    python -m experiments.craft --workdir=runs/craft
    python -m experiments.craft --workdir=runs/step --config.activation=step
    python -m experiments.craft --workdir=runs/deep --config.depth=20 --config.init=glorot \\
        --config.batch_norm=True
    python -m experiments.craft --workdir=runs/mnist --config.preset=mnist
    python -m experiments.craft --workdir=runs/few --config.preset=mnist_1000 --config.dropout=0.5

The figure "layers" shows the size of the activities and of the gradients of all layers, before
training and now.

    python -m experiments.craft --workdir=runs/restarts --config.replicas=20 --config.hidden=4
    python -m experiments.craft --workdir=runs/restarts/seed=0 --mode=restarts

The first command trains 20 networks that differ in the seed, the second one compares them and names
the best by its validation loss: random restarts.

Data: digits (scikit-learn's, the default), mnist, or any other prepared dataset with labelled
images; see experiments/lenet5.py. Measured: the rows of A8 in experiments/README.md.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from experiments.common.assets import classes_of
from experiments.common.classification import Classify
from experiments.image.task import ImageConfig, load_data, make_experiment
from nets.feedforward.activations import ACTIVATIONS
from nets.feedforward.initializers import INITIALIZERS
from nets.feedforward.mlp import MLP
from train import cli
from train.config import option
from train.state import initial_keys
from train.task import Assets, Experiment

MODES = {"restarts": "experiments.feedforward.restarts:restarts"}
MNIST: dict[str, Any] = {"dataset": "mnist", "image_size": 28, "steps": 4219, "eval_every": 4219}


@dataclass(slots=True, kw_only=True)
class Config(ImageConfig):
    """Settings of the network; those of the data are in experiments/image/task.py."""

    PRESETS: ClassVar = {
        "mnist": MNIST,  # 10 passes
        "mnist_1000": MNIST | {"train_examples": 1000, "steps": 1000},
    }
    TINY: ClassVar = {"hidden": 8}

    train_examples: int = option(
        0, "number of training examples", note="0: all", group="data", minimum=0
    )
    image_size: int = option(8, "side of the images, in pixels", group="data", minimum=2)
    shift: float = ImageConfig.changed("shift", 0.0)
    scale: float = ImageConfig.changed("scale", 0.0)

    depth: int = option(2, "number of hidden layers", minimum=0)
    hidden: int = option(100, "hidden units per layer", minimum=1)
    activation: str = option(
        "relu", "activation function of the hidden layers", choices=(*ACTIVATIONS, "maxout")
    )
    pieces: int = option(
        2, "affine functions per maxout unit", note="only with activation=maxout", minimum=1
    )
    init: str = option("he", "initialisation of the kernels", choices=INITIALIZERS)
    batch_norm: bool = option(False, "batch normalisation", note="before each activation function")
    dropout: float = option(0.0, "dropout probability", note="of hidden units", minimum=0, below=1)

    steps: int = ImageConfig.changed("steps", 1000)
    optimizer: str = ImageConfig.changed("optimizer", "momentum")
    learning_rate: float = ImageConfig.changed("learning_rate", 0.1)


class ClassifyByLayers(Classify):
    """Mean of -log P(label given image); the figures include the sizes of the layers."""

    model: MLP

    def __init__(self, model: MLP, classes: tuple[str, ...], seed: int):
        super().__init__(model, classes)
        self.seed = seed

    def inputs(self, batch):
        """Return the images as vectors."""
        return (batch["image"].reshape(len(batch["image"]), -1),)

    def figures(self, predict, batches):
        """Draw the layer sizes, the confusion matrix, and the most confident mistakes."""
        from experiments.feedforward.layer_sizes import layer_sizes, sizes_picture

        batch = next(iter(batches))
        real = {name: array[batch["mask"] > 0] for name, array in batch.items()}
        (x,), key = self.inputs(real), jax.random.key(self.seed)
        initial = self.init(initial_keys(self.seed), real)
        sizes = {
            name: layer_sizes(self.model, variables, x, real["label"], key)
            for name, variables in {"before training": initial, "now": predict.variables}.items()
        }
        return {"layers": sizes_picture(sizes)} | super().figures(predict, batches)


def make_network(config: Config, classes: int) -> MLP:
    """Network of the settings."""
    return MLP(
        widths=(config.hidden,) * config.depth,
        outputs=classes,
        activation=config.activation,
        kernel_init=INITIALIZERS[config.init],
        dtype=jnp.dtype(config.precision),
        pieces=config.pieces,
        dropout=config.dropout,
        batch_norm=config.batch_norm,
    )


def make_task(config: Config, assets: Assets) -> ClassifyByLayers:
    """Make the network for the classes of the images."""
    classes = classes_of(assets)
    return ClassifyByLayers(make_network(config, len(classes)), classes, config.seed)


def build(config: Config) -> Experiment:
    """Load the images; make the task and the batches."""
    data = load_data(config, config.image_size, config.train_examples or None)
    return make_experiment(config, make_task, data)


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
