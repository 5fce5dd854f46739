"""Modes of a classifier of rows: --mode=classify and --mode=regions."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from data.catalogue import DataError
from data.forms.files import read_text
from data.forms.readers import delimited
from data.tabular.columns import CategoryColumn, NumberColumn, encode_rows
from data.tabular.rows import cells_of
from experiments.common.output import picture_of, save_to
from experiments.common.stdin import lines_of_input
from experiments.feedforward.regions import Plane, draw_run, principal_plane
from train.config import ConfigError
from train.metrics import read_metrics
from train.trained import TrainedRun
from train.validity import hint


def classify(run: TrainedRun) -> None:
    """Print the most probable class of each row, and its probability.

    The rows have a header, and the form of the training data; other columns are ignored. Raises
    DataError when the input is not such a table, ConfigError when there is no such file.
    """
    path = (
        Path(os.path.expanduser(run.config.input))
        if run.config.input
        else Path("the standard input")
    )
    text = read_text(path) if run.config.input else "\n".join(lines_of_input())
    table = delimited(path, text, "tsv" if run.config.dataset.startswith("tsv:") else "csv")
    if not len(table):
        raise DataError(f"{path} has no rows")
    columns = run.task.columns
    rows = cells_of(table, [column.name for column in columns])
    x = encode_rows(columns, *map(list, zip(*rows, strict=True)))
    logits = np.asarray(run.predict({"x": x})[0], np.float64)
    probabilities = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    for row in probabilities:
        best = int(row.argmax())
        print(f"{run.task.classes[best]}\t{row[best]:.3f}", flush=True)


def regions(run: TrainedRun) -> None:
    """Draw the negative log-likelihood against steps, and the regions of the predicted classes.

    The regions are those of a plane: of the two columns of config.features, all other inputs being
    0, or of the first two principal components of the training rows. Raises ConfigError when there
    are no two such columns.
    """
    output = picture_of(run, "regions")
    test = list(run.held_out("test"))
    real = np.concatenate([batch["mask"] for batch in test]) > 0
    x, labels = (np.concatenate([batch[name] for batch in test])[real] for name in ("x", "label"))
    train: Any = run.experiment.train
    rows = train.arrays
    sets = {"training": (rows["x"], rows["label"]), "test": (x, labels)}
    plane = feature_plane(run) if run.config.features else principal_plane(rows["x"])
    lines = read_metrics(run.workdir)
    predicted = partial(run.task.predicted, run.predict)
    figure = draw_run(predicted, plane, sets, run.task.classes, lines)
    path = save_to(output, figure)
    for name, (inputs, classes) in sets.items():
        right = predicted(inputs) == classes
        print(f"{name}: {right.sum()} of {len(right)} rows right")
    print(f"wrote {path}")


def feature_plane(run: TrainedRun) -> Plane:
    """Plane of the two columns of config.features, in their own units."""
    columns, names = run.task.columns, [name.strip() for name in run.config.features.split(",")]
    numbers = {column.name: column for column in columns if isinstance(column, NumberColumn)}
    if len(set(names)) != 2 or not set(names) <= set(numbers):
        near = next((hint(name, numbers) for name in names if name not in numbers), "")
        raise ConfigError(
            f"config.features must be two of the columns {', '.join(numbers) or 'of numbers'}, "
            f"got {run.config.features!r}{near}"
        )
    width = {
        column.name: len(column.categories) if isinstance(column, CategoryColumn) else 1
        for column in columns
    }
    first = dict(zip(width, np.cumsum([0, *width.values()]), strict=False))
    axes = np.eye(sum(width.values()), dtype=np.float32)[[first[name] for name in names]]
    chosen = [numbers[name] for name in names]
    return Plane(
        origin=np.zeros(axes.shape[1], np.float32),
        axes=axes,
        offset=np.array([column.mean for column in chosen]),
        scale=np.array([column.deviation for column in chosen]),
        names=(names[0], names[1]),
    )
