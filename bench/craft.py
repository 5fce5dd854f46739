"""Draw what each training technique does: docs/craft.png.

    python -m bench.craft --runs=runs/craft_optimizers --picture=docs/craft.png

The panels show the results experiments/results/craft_*.json, the loss curves of the runs of the
optimizer table, and the sizes of the layers of networks that are not trained. The commands of the
results are in experiments/README.md.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.common.output import save
from experiments.craft import Config, make_network
from experiments.feedforward.layer_sizes import draw_sizes, layer_sizes
from experiments.feedforward.restarts import expected_of_best
from experiments.image.task import load_data
from experiments.report.intervals import mean_interval
from experiments.report.runs import group_runs, load_runs, mean_curve
from train.drawing import MARKERS, PALETTE, legend_below, limit_share, line_style, marker_style

RESULTS = Path(__file__).parents[1] / "experiments" / "results"
DEPTH = 20  # hidden layers of the networks that are not trained
STARTS: dict[str, dict[str, Any]] = {
    "N(0, 0.01²)": {"init": "small"},
    "Glorot": {"init": "glorot"},
    "He": {"init": "he"},
    "N(0, 1)": {"init": "large"},
    "Glorot, batch norm": {"init": "glorot", "batch_norm": True},
}


def rows_of(name: str) -> list[dict[str, Any]]:
    """Rows of a result."""
    return json.loads((RESULTS / f"craft_{name}.json").read_text(encoding="utf-8"))["rows"]


def draw_starts(left: Axes, right: Axes) -> None:
    """Draw the sizes of the activities and of the gradients before training."""
    config = Config()
    data = load_data(config, config.image_size)
    batch = data.train(0)
    x, key = batch["image"].reshape(len(batch["image"]), -1), jax.random.key(0)
    sizes = {}
    for name, settings in STARTS.items():
        model = make_network(Config(depth=DEPTH, **settings), len(data.classes))
        sizes[name] = layer_sizes(model, model.init(key, x), x, batch["label"], key)
    draw_sizes(left, {name: each.activities for name, each in sizes.items()}, 0, fontsize=6)
    draw_sizes(right, {name: each.gradients for name, each in sizes.items()}, 1)
    left.set(title="20 layers before training", xlabel="hidden layer")
    left.set_ylabel("activities, root mean square")
    right.set(title="20 layers before training", ylabel="gradients, root mean square")
    right.get_legend().remove()  # the same as on the left


def draw_losses(axis: Axes, folder: Path) -> None:
    """Draw the training loss of each optimizer."""
    groups = group_runs(load_runs(folder))
    for i, group in enumerate(groups):
        steps, means, _ = mean_curve(group, "train/loss")
        settings = group.settings
        label = f"{settings['optimizer']}, rate {settings['learning_rate']:g}"
        axis.plot(steps, means, **line_style(i), marker=MARKERS[i], ms=3, label=label)
    axis.set_yscale("log")
    axis.set(title="optimizers", xlabel="step", ylabel="training loss, in nats")
    legend_below(axis, fontsize=6, ncols=2)


def draw_rows(axis: Axes, names: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Draw one metric of some rows, test/accuracy, with its interval."""
    for i, row in enumerate(rows):
        mean, half = mean_interval(row["metrics"]["test/accuracy"])
        axis.errorbar(mean, i, xerr=half, color=PALETTE[0], marker="o", capsize=3)
    axis.set_yticks(range(len(rows)), names, fontsize=8)
    axis.invert_yaxis()
    axis.grid(axis="x", alpha=0.4)
    axis.set_xlabel("test accuracy")
    axis.set_xlim(right=min(1, axis.get_xlim()[1]))


def names_of(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Name each row by its settings that are on."""
    names = []
    for row in rows:
        used = [f"{name} {value:g}" for name, value in row["settings"].items() if value]
        names.append("\n".join(used).replace("weight_decay", "L2") or "none")
    return names


def draw_depths(axis: Axes) -> None:
    """Draw the accuracy against the number of hidden layers."""
    curves: dict[str, list[tuple[float, float, float]]] = {}
    for row in rows_of("depth"):
        settings = row["settings"]
        name = settings["init"] + ", batch norm" * settings["batch_norm"]
        values = mean_interval(row["metrics"]["test/accuracy"])
        curves.setdefault(name, []).append((settings["depth"], *values))
    for i, (name, points) in enumerate(sorted(curves.items())):
        depths, means, halves = zip(*sorted(points), strict=True)
        style = {**line_style(i), "marker": MARKERS[i]}
        axis.errorbar(depths, means, halves, **style, capsize=3, label=name)
    limit_share(axis, "test/accuracy", means)
    axis.set_xscale("log")
    axis.set_xticks(depths, depths)
    axis.minorticks_off()
    axis.set(title="depth", xlabel="hidden layers", ylabel="test accuracy")
    legend_below(axis, fontsize=6, ncols=2)


def draw_restarts(axis: Axes) -> None:
    """Draw each run, and the expected accuracy of the best of k."""
    (row,) = rows_of("restarts")
    losses, tests = (row["metrics"][name] for name in ("validation/loss", "test/accuracy"))
    counts = np.arange(1, len(tests) + 1)
    axis.plot(counts, sorted(tests), "o", color="tab:gray", label="all runs, sorted")
    best = expected_of_best(losses, tests)
    axis.plot(counts, best, **marker_style(1), label="best of k by validation loss")
    axis.set(title="random restarts", xlabel="number k of restarts", ylabel="test accuracy")
    legend_below(axis, fontsize=6, ncols=2)


def main() -> None:
    """Draw all panels."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=Path, required=True, help="folder of the optimizer table")
    parser.add_argument("--picture", required=True, help="image file to write")
    args = parser.parse_args()
    figure = Figure(figsize=(13, 6.5), layout="constrained")
    (first, second, third, fourth), (fifth, sixth, seventh, eighth) = figure.subplots(2, 4)
    rows = rows_of("activations")
    draw_rows(first, [row["settings"]["activation"] for row in rows], rows)
    first.set_title("activation functions")
    draw_losses(second, args.runs)
    draw_starts(third, fourth)
    rows = rows_of("init")
    draw_rows(fifth, [row["settings"]["init"] for row in rows], rows)
    fifth.set_title("5 hidden layers")
    draw_depths(sixth)
    rows = rows_of("regularisation")
    draw_rows(seventh, names_of(rows), rows)
    seventh.set_title("1,000 training images")
    draw_restarts(eighth)
    save(figure, args.picture)


if __name__ == "__main__":
    main()
