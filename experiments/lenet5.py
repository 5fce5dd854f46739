"""LeNet-5 on handwritten digits, with a softmax output.

Reproduces: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
recognition", 1998, in the variant of the lectures (see nets/lenet.py). Published: 0.95 % test error
on MNIST after 20 passes, 0.8 % with distorted training images.

    python -m experiments.lenet5 --workdir=runs/lenet5
    python -m experiments.lenet5 --workdir=runs/mnist --config.dataset=mnist --config.steps=4219
    python -m experiments.lenet5 --workdir=runs/plain --config.shift=0 --config.scale=0

The last one trains on the images as they are; by default each is shifted and scaled anew.

Data: digits (scikit-learn's, the default), mnist, fashion_mnist, or any other prepared dataset with
labelled images. A share of the training images is held out as "validation" and chooses the best
checkpoint; "test" is evaluated once, at the end. Measured: the rows of B2 in experiments/README.md.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from experiments._images import Classify, make_experiment
from experiments._images import Config as ImageConfig
from experiments._pictures import sheet
from nets.lenet import LeNet5
from train import cli
from train.config import option
from train.task import Experiment


@dataclass(slots=True, kw_only=True)
class Config(ImageConfig):
    """Settings of LeNet-5; those of the data are in experiments/_images.py."""

    steps: int = option(1500, "optimizer steps in the whole run", minimum=1)
    learning_rate: float = option(3e-3, "its highest value", above=0)


class ClassifyByFilters(Classify):
    """Mean of -log P(label given image); the pictures show what the first layer looks for, too."""

    def figures(self, predict, batches):
        """First-layer filters, the confusion matrix, and the mistakes made with most confidence."""
        filters = np.moveaxis(np.asarray(predict.variables["params"]["C1"]["kernel"]), -1, 0)
        titles = [f"C1 {i}" for i in range(len(filters))]
        shown = {"filters": sheet(filters, titles, "filters of C1")}
        return shown | super().figures(predict, batches)


def build(config: Config) -> Experiment:
    """Make the network for the classes of the data, and the rest of the experiment."""

    def make_task(classes):
        return ClassifyByFilters(LeNet5(len(classes), jnp.dtype(config.precision)), classes)

    return make_experiment(config, make_task)


if __name__ == "__main__":
    cli.run(Config, build)
