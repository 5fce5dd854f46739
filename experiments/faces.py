"""Faces: which way a person looks, who it is, and whether the eyes are covered.

Reproduces: T. Mitchell, "Machine Learning", 1997, section 4.7, and lecture 10-601 (CMU): a network
with one hidden layer of sigmoid units reads a face of 32 x 30 pixels. Published: 90 % of the test
images for the pose, with three hidden units (2,899 parameters).

    python -m experiments.faces --workdir=runs/turned
    python -m experiments.faces --workdir=runs/pose --config.dataset=faces:DIR \\
        --config.preset=published
    python -m experiments.faces --workdir=runs/pose --mode=weights
    python -m experiments.faces --workdir=runs/who --config.dataset=faces:DIR \\
        --config.preset=identity
    python -m experiments.faces --workdir=runs/unseen --config.dataset=faces:DIR \\
        --config.preset=convnet --config.split=person

--mode=weights draws the weights of the hidden units before and after training: docs/faces.md.

Data: faces:DIR, the CMU face images (20 people, 624 images) as unzipped, see data/images/faces.py;
by default scikit-learn's digits, each turned in one of four directions, which is its pose. A fifth
of the images, or of the people (split=person), is the test set; seeds 0 to 4 test every image once.
Measured: the rows of A5 in experiments/README.md.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from data.images.faces import FACTORS, REDUCTIONS, Faces, load_faces
from data.images.labelled import EvaluationBatches, Images, TrainingBatches
from experiments.common.assets import CLASSES, classes_of, to_json
from experiments.common.classification import Classify
from experiments.common.settings import picture, validation_fraction
from experiments.common.split import split_indices
from experiments.image.task import AugmentationConfig, make_augmentation
from nets.feedforward.mlp import MLP
from nets.image.resnet import ConvNet
from train import cli
from train.config import ConfigError, option
from train.optimizer import make_optimizer
from train.rundir import read_json
from train.state import initial_keys
from train.task import Assets, Experiment
from train.trained import TrainedRun

MODES = {"weights": f"{__name__}:weights"}
FOLDS = 5  # test sets, of which config.seed chooses one


@dataclass(slots=True, kw_only=True)
class Config(AugmentationConfig):
    """Settings of the data and the two networks; augmentation: experiments/image/task.py."""

    PRESETS: ClassVar = {
        "published": {"widths": (3,)},
        "identity": {"label": "identity"},
        "convnet": {
            "architecture": "convnet",
            "steps": 600,
            "learning_rate": 3e-3,
            "weight_decay": 0.05,
            "warmup_steps": 100,
            "channels": 8,
            "stages": 3,
            "mirror": True,
            "shift": 2.0,
            "scale": 0.1,
        },
    }
    TINY: ClassVar = {"architecture": "convnet", "channels": 4, "stages": 1, "dropout": 0.0}

    dataset: str = AugmentationConfig.changed("dataset", "digits", "digits or faces:DIR")
    reduction: str = option(
        "4",
        "how many times smaller the images are",
        note="than 128 x 120 pixels; only with faces:DIR",
        group="data",
        choices=REDUCTIONS,
    )
    label: str = option(
        "pose", "what the network recognises", group="data", choices=("identity", *FACTORS)
    )
    split: str = option(
        "image",
        "what the test set shares with no other set: its images, or also their people",
        group="data",
        choices=("image", "person"),
    )
    validation_fraction: float = validation_fraction()
    mirror: bool = option(
        False, "add mirror images for training, with left and right exchanged", group="data"
    )
    batch_size: int = AugmentationConfig.changed("batch_size", 32)
    shift: float = AugmentationConfig.changed("shift", 0.0)
    scale: float = AugmentationConfig.changed("scale", 0.0)

    architecture: str = option("mlp", "network architecture", choices=("mlp", "convnet"))
    widths: tuple[int, ...] = option(
        (20,), "units of each hidden layer", note="only with architecture=mlp", minimum=1
    )
    channels: int = option(
        16, "channels of the first layer", note="each stage doubles them", minimum=1
    )
    stages: int = option(2, "number of stages", note="each halves the image", minimum=1, maximum=8)
    blocks: int = option(1, "residual blocks per stage", minimum=1)
    dropout: float = option(
        0.1, "dropout probability", note="of the convnet, before the last layer", minimum=0, below=1
    )

    steps: int = AugmentationConfig.changed("steps", 3000)
    optimizer: str = AugmentationConfig.changed("optimizer", "adamw")
    learning_rate: float = AugmentationConfig.changed("learning_rate", 5e-3)
    weight_decay: float = AugmentationConfig.changed("weight_decay", 0.3)
    eval_every: int = AugmentationConfig.changed("eval_every", 500)
    figures_at: tuple[float, ...] = AugmentationConfig.changed("figures_at", (1.0,))
    picture: str = picture("weights")


class ClassifyFaces(Classify):
    """Mean of -log P(label given image); the figures include the weights of the first layer."""

    def first_layer(self, variables, sides: tuple[int, ...]):
        """Weights [H, W, U] of the U units of the first layer, and [U, classes] or None.

        The latter are those to the outputs. sides: height and width of the images.
        """
        del sides
        return np.asarray(variables["params"]["conv"]["kernel"])[:, :, 0], None

    def figures(self, predict, batches):
        """Draw the weights of the first layer, the confusion matrix and the worst mistakes."""
        from experiments.image.weights import weights_picture

        batches = list(batches)
        layer = self.first_layer(predict.variables, batches[0]["image"].shape[1:3])
        weights = weights_picture({"": layer}, self.classes)
        return {"weights": weights} | super().figures(predict, batches)


class ClassifyPixels(ClassifyFaces):
    """The same for a multi-layer perceptron, which reads the pixels as a vector."""

    def inputs(self, batch):
        """Return the pixels [B, H * W], those of each image with mean 0 and variance 1."""
        pixels = batch["image"].reshape(len(batch["image"]), -1)
        return (jax.nn.standardize(pixels, epsilon=1e-6),)

    def first_layer(self, variables, sides):
        """Weights of the hidden units; those to the outputs if there is no other layer."""
        hidden, *deeper, output = (np.asarray(each["kernel"]) for each in layers_of(variables))
        return hidden.reshape(*sides, -1), None if deeper else output


def layers_of(variables) -> list[Any]:
    """Parameters of the layers of an MLP in their order."""
    params = variables["params"]
    return [params[f"hidden{i}"] for i in range(len(params) - 1)] + [params["output"]]


def make_task(config: Config, assets: Assets) -> ClassifyFaces:
    """Make the network for the classes."""
    classes, dtype = classes_of(assets), jnp.dtype(config.precision)
    if config.architecture == "mlp":
        if not config.widths:
            raise ConfigError("config.widths must name at least one hidden layer")
        model = MLP(config.widths, len(classes), activation="sigmoid", dtype=dtype)
        return ClassifyPixels(model, classes)
    sizes = (config.channels, config.stages, config.blocks)
    return ClassifyFaces(ConvNet(len(classes), *sizes, config.dropout, dtype), classes)


def split_faces(faces: Faces, config: Config) -> dict[str, np.ndarray]:
    """Indices of the images for training, validation and test.

    The test set is one of FOLDS parts of all images, or those of a part of the people.
    """
    by_person = config.split == "person"
    groups = faces.labels["identity"] if by_person else np.arange(len(faces))
    order = np.random.default_rng(0).permutation(np.unique(groups))
    in_test = np.arange(len(order)) % FOLDS == config.seed % FOLDS
    test, rest = order[in_test], order[~in_test]
    train, validation = split_indices(len(rest), config.validation_fraction, config.seed)
    parts = {"train": rest[train], "validation": rest[validation], "test": test}
    return {name: np.flatnonzero(np.isin(groups, part)) for name, part in parts.items()}


def build(config: Config) -> Experiment:
    """Load the faces, split them, and make the network."""
    faces = load_faces(config.dataset, config.reduction, config.data_dir)
    if config.label not in faces.labels:
        raise ConfigError(
            f"config.label={config.label} is unknown in dataset {config.dataset}, "
            f"which has {', '.join(faces.labels)}"
        )
    if config.label == "identity" and config.split == "person":
        raise ConfigError("config.label=identity needs config.split=image: all people in training")
    classes = faces.classes[config.label]
    parts = {name: faces.subset(part) for name, part in split_faces(faces, config).items()}
    if config.mirror:
        parts["train"] = parts["train"].with_mirrored()
    sets = {
        name: Images(part.images, part.labels[config.label], classes)
        for name, part in parts.items()
    }
    assets, train = {CLASSES: to_json(classes)}, sets.pop("train")
    missing = {"missing": faces.missing} if faces.missing else {}
    return Experiment(
        task=make_task(config, assets),
        optimizer=make_optimizer(config),
        train=TrainingBatches(train, config.batch_size, config.seed, make_augmentation(config)),
        evals={name: EvaluationBatches(each, config.batch_size) for name, each in sets.items()},
        provenance={
            "dataset": config.dataset.split(":")[0],
            "train": len(train),
            **{name: len(each) for name, each in sets.items()},
            "sha256": faces.sha256,
            **missing,
        },
        assets=assets,
    )


def weights(run: TrainedRun) -> None:
    """Draw the weights of the first layer before and after training."""
    from experiments.common.output import picture_of, save_to
    from experiments.image.weights import weights_picture

    task, example, output = run.task, run.example, picture_of(run, "weights")
    seed = read_json(run.workdir / "config.json")["seed"]
    states = {"before": task.init(initial_keys(seed), example), "after": run.variables}
    sides = example["image"].shape[1:3]
    layers = {
        f"{when} training": task.first_layer(variables, sides) for when, variables in states.items()
    }
    path = save_to(output, weights_picture(layers, task.classes))
    print(f"weights of {layers['after training'][0].shape[-1]} units: {path}")


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
