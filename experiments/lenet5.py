"""LeNet-5 on handwritten digits, with a softmax output or as it was published.

Reproduces: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
recognition", 1998, by default in the variant of the lectures (see nets/image/lenet.py). Published:
0.95 % test error on MNIST after 20 passes, 0.8 % with distorted training images.

    python -m experiments.lenet5 --workdir=runs/lenet5
    python -m experiments.lenet5 --workdir=runs/mnist --config.dataset=mnist --config.steps=4219
    python -m experiments.lenet5 --workdir=runs/plain --config.shift=0 --config.scale=0

The last one trains on the images as they are; by default each is shifted and scaled anew.

    python -m experiments.lenet5 --workdir=runs/published --config.preset=published
    python -m experiments.lenet5 --workdir=runs/distorted --config.preset=distorted
    python -m experiments.lenet5 --workdir=runs/distorted --mode=robustness

train the published network on MNIST, without and with distortions, and look at what it recognises
of test images that are scaled, squeezed, turned, drawn thinner or thicker, or noisy. --mode=inside
draws what its units look for: docs/convolution.md.

Data: digits (scikit-learn's, the default), mnist, fashion_mnist, or any other prepared dataset with
labelled images. A share of the training images is held out as "validation" and chooses the best
checkpoint; "test" is evaluated once, at the end. Measured: the rows of B2 in experiments/README.md.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from experiments.common.classification import Classify
from experiments.image.task import MODES, make_experiment
from experiments.image.task import Config as ImageConfig
from nets.image.lenet import LeNet5, PublishedLeNet5
from train import cli
from train.config import ConfigError, option
from train.task import Experiment

PUBLISHED: dict[str, Any] = {
    "dataset": "mnist",
    "variant": "published",
    "steps": 36750,
    "batch_size": 32,
    "learning_rate": 4e-3,
    "ema_decay": 0.999,
    "rubbish_penalty": 2.0,
    "validation_fraction": 0.02,
    "shift": 0.0,
    "scale": 0.0,
    "eval_every": 3675,
}


@dataclass(slots=True, kw_only=True)
class Config(ImageConfig):
    """Settings of LeNet-5; those of the data are in experiments/image/task.py."""

    PRESETS: ClassVar = {
        "published": PUBLISHED,
        "distorted": {**PUBLISHED, "steps": 73500, "distort": True, "shift": 2.0, "scale": 0.1},
    }
    TINY: ClassVar = {}

    variant: str = option("softmax", "output of the network", choices=("softmax", "published"))
    criterion: str = option(
        "map",
        "training criterion: equation 8 (mle) or 9 (map) of the paper",
        note="variant=published",
        choices=("mle", "map"),
    )
    rubbish_penalty: float = option(
        40.0, "penalty j of the rubbish class", note="criterion=map", minimum=0
    )
    steps: int = ImageConfig.changed("steps", 1500)
    learning_rate: float = ImageConfig.changed("learning_rate", 3e-3)


class ClassifyByFilters(Classify):
    """Mean of -log P(label given image); the pictures show what the first layer looks for, too."""

    def figures(self, predict, batches):
        """First-layer filters, the confusion matrix, and the mistakes made with most confidence."""
        from experiments.common.pictures import filters_picture

        shown = {"filters": filters_picture(predict.variables["params"]["C1"]["kernel"])}
        return shown | super().figures(predict, batches)


class ClassifyByPenalties(ClassifyByFilters):
    """The losses of the paper on penalties y_i, of which the model returns the negative.

    mle, equation 8: y of the label. map, equation 9: that + log(exp(-j) + sum_i exp(-y_i)).
    """

    config: Config

    def losses(self, outputs, labels):
        """Loss [B] of negative penalties [B, 10]."""
        own = -jnp.take_along_axis(outputs, labels[:, None], axis=1)[:, 0]
        if self.config.criterion == "mle":
            return own
        rubbish = jnp.full_like(own, -self.config.rubbish_penalty)[:, None]
        return own + jax.nn.logsumexp(jnp.concatenate([rubbish, outputs], axis=1), axis=1)


def build(config: Config) -> Experiment:
    """Make the network for the classes of the data, and the rest of the experiment."""

    def make_task(classes):
        if config.variant == "softmax":
            return ClassifyByFilters(LeNet5(len(classes), jnp.dtype(config.precision)), classes)
        if len(classes) != 10:
            raise ConfigError(
                f"config.variant=published has codes for 10 classes, "
                f"dataset {config.dataset} has {len(classes)}"
            )
        return ClassifyByPenalties(PublishedLeNet5(jnp.dtype(config.precision)), classes)

    experiment = make_experiment(config, make_task)
    shape = experiment.train(0)["image"].shape[1:]
    if config.variant == "published" and shape != (32, 32, 1):
        raise ConfigError(
            f"config.variant=published reads grey images (32, 32, 1), "
            f"those of dataset {config.dataset} are {shape}"
        )
    return experiment


if __name__ == "__main__":
    cli.run(Config, build, MODES)
