"""Classify rows of a table: softmax regression, and a deep network, on the iris flowers.

Reproduces: the classifier of the lectures with 10, 20 and 10 hidden units, trained for 2,000 steps
on 120 iris flowers; and softmax regression, P(Y = k given x) proportional to exp(w_k . x + b_k),
the same network without hidden layers. With two classes this is logistic regression, with the
difference of their weights.

    python -m experiments.iris --workdir=runs/iris
    python -m experiments.iris --workdir=runs/softmax --config.preset=softmax
    python -m experiments.iris --workdir=runs/iris --mode=regions
    python -m experiments.iris --workdir=runs/own --config.dataset=csv:FILE \\
        --config.label_column=NAME
    python -m experiments.iris --workdir=runs/own --mode=classify --config.input=ROWS.csv

--mode=regions draws the negative log-likelihood against steps, and which class the network predicts
where. --mode=classify reads rows with a header, from a file or the standard input.

Data: iris (the default: 150 flowers, scikit-learn's copy; the test set is that of TensorFlow's
tutorial, 30 flowers, or with --config.fold a fifth of each species), or tables with a header:
docs/own_data.md. Columns of numbers are standardised, others are one-hot.
Measured: the rows of A3 in experiments/README.md; see also docs/feedforward.md.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from data.tabular.batches import EvaluationArrays, TrainingArrays, padded, sha256_of
from data.tabular.columns import Column, encode_rows, fit_columns, from_values, to_values
from data.tabular.rows import FOLDS, Row, labels_of, load_rows
from experiments.common.assets import CLASSES, classes_of, to_json
from experiments.common.classification import Classify
from experiments.common.settings import picture, validation_fraction
from experiments.common.split import split_indices
from nets.feedforward.mlp import MLP
from train import cli
from train.config import OptimizerConfig, option
from train.optimizer import make_optimizer
from train.task import Assets, Experiment

MODES = {
    "classify": "experiments.feedforward.rows:classify",
    "regions": "experiments.feedforward.rows:regions",
}
COLUMNS = "columns.json"  # name of the asset with the constants and categories of the columns


@dataclass(slots=True, kw_only=True)
class Config(OptimizerConfig):
    """Settings of the rows and the network."""

    PRESETS: ClassVar = {
        "softmax": {"widths": (), "learning_rate": 3e-2, "weight_decay": 0.0},
    }
    TINY: ClassVar = {}

    dataset: str = OptimizerConfig.changed("dataset", "iris", "iris, csv:PATH or tsv:PATH")
    label_column: str = option(
        "",
        "column of the classes",
        note="default: the last one; only with csv:PATH and tsv:PATH",
        group="data",
    )
    fold: int = option(
        -1,
        "cross-validation fold that is the test set",
        note="-1: the test set of TensorFlow's tutorial; only with iris",
        group="data",
        minimum=-1,
        maximum=FOLDS - 1,
    )
    validation_fraction: float = validation_fraction()
    batch_size: int = OptimizerConfig.changed("batch_size", 32, "in rows")

    widths: tuple[int, ...] = option(
        (10, 20, 10), "units of each hidden layer", note="none: softmax regression", minimum=1
    )

    steps: int = OptimizerConfig.changed("steps", 2000)
    learning_rate: float = OptimizerConfig.changed("learning_rate", 3e-3)
    weight_decay: float = OptimizerConfig.changed("weight_decay", 0.01)
    eval_every: int = OptimizerConfig.changed("eval_every", 100)
    log_every: int = OptimizerConfig.changed("log_every", 100)
    figures_at: tuple[float, ...] = OptimizerConfig.changed("figures_at", (1.0,))

    input: str = option("", "input file", note="default: the standard input", modes=("classify",))
    picture: str = picture("regions")
    features: str = option(
        "",
        "two columns of numbers to draw, separated by a comma",
        note="default: the first two principal components",
        modes=("regions",),
    )


class ClassifyRows(Classify):
    """Mean of -log P(label given row), in nats; columns: how a row of texts becomes an input."""

    def __init__(self, config: Config, classes: tuple[str, ...], columns: tuple[Column, ...]):
        network = MLP(config.widths, len(classes), dtype=jnp.dtype(config.precision))
        super().__init__(network, classes)
        self.columns = columns

    def inputs(self, batch):
        """Return the encoded columns."""
        return (batch["x"],)

    def predicted(self, predict, x, multiple: int = 1) -> np.ndarray:
        """Most probable class int [N] of inputs [N, D], padded to a multiple of some rows."""
        batch = padded({"x": x}, -(-len(x) // multiple) * multiple)
        return np.argmax(predict(batch)[0], axis=1)[: len(x)]

    def figures(self, predict, batches):
        """Draw the confusion matrix, and the regions of the classes with the rows of the set."""
        from experiments.common.pictures import confusion_picture
        from experiments.feedforward.regions import principal_plane, regions_picture

        batches = list(batches)
        real = np.concatenate([batch["mask"] for batch in batches]) > 0
        x, labels = (
            np.concatenate([batch[name] for batch in batches])[real] for name in ("x", "label")
        )
        # every device computes a share of the rows
        classify = partial(self.predicted, predict, multiple=len(batches[0]["x"]))
        figures = {"confusion": confusion_picture(labels, classify(x), self.classes)}
        if x.shape[1] > 1:
            sets = {"held-out": (x, labels)}
            figures["regions"] = regions_picture(classify, principal_plane(x), sets, self.classes)
        return figures


def make_task(config: Config, assets: Assets) -> ClassifyRows:
    """Make the network for the classes and the columns."""
    return ClassifyRows(config, classes_of(assets), from_values(json.loads(assets[COLUMNS])))


def build(config: Config) -> Experiment:
    """Load the rows, encode them by the columns of the training rows, and make the network."""
    data = load_rows(config.dataset, config.label_column, config.fold)
    sets = dict(data.sets)
    if "validation" not in sets:
        train = sets["train"]
        parts = split_indices(len(train), config.validation_fraction, config.seed)
        sets["train"], sets["validation"] = ([train[i] for i in part] for part in parts)
    columns = fit_columns(data.names, *texts_of(sets["train"]))
    arrays = {
        name: {"x": encode_rows(columns, *texts_of(rows)), "label": labels_of(rows)}
        for name, rows in sets.items()
    }
    assets = {CLASSES: to_json(data.classes), COLUMNS: to_json(to_values(columns))}
    return Experiment(
        task=make_task(config, assets),
        optimizer=make_optimizer(config),
        train=TrainingArrays(arrays["train"], config.batch_size, config.seed),
        evals={
            name: EvaluationArrays(arrays[name], config.batch_size)
            for name in ("validation", "test")
        },
        provenance={
            "dataset": config.dataset.split(":")[0],
            **{name: len(rows) for name, rows in sets.items()},
            "sha256": sha256_of(
                *(array for of_set in arrays.values() for array in of_set.values())
            ),
        },
        assets=assets,
    )


def texts_of(rows: Sequence[Row]) -> tuple[list[tuple[str, ...]], list[str]]:
    """Texts of the columns of each row, and where the row is."""
    return [row.cells for row in rows], [row.place for row in rows]


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
