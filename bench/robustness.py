"""Accuracy of trained networks on changed test images: scaled, squeezed, turned, noisy.

    python -m bench.robustness --runs runs/published/seed=* runs/distorted/seed=* \\
        --picture=docs/robustness.png --save=experiments/results/lenet5_robustness.json

What --mode=robustness measures, of several runs of LeNet-5: seeds of a preset are one row of
the result and one line of the picture, of their means. Seconds are those of the measurement.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from bench.results import trained, write_result
from experiments import lenet5
from experiments.common.pictures import save
from experiments.image.robustness import CHANGES, draw_curves, measure, print_curves
from experiments.report.runs import Group, Run, group_by
from train.rundir import read_json


def measured(folder: Path) -> Run:
    """Measure one run: a metric for every change and level."""
    _, experiment, predict = trained(lenet5, folder)
    began, metrics = time.perf_counter(), {}
    for change in CHANGES:
        levels, accuracy = measure(predict, experiment.evals["test"], change)
        names = (f"test/{change.name} {level:g}" for level in levels)
        metrics |= dict(zip(names, accuracy, strict=True))
    result = {"metrics": metrics, "seconds": time.perf_counter() - began}
    return Run(folder, read_json(folder / "config.json"), result, [])


def mean_curves(group: Group) -> dict[str, tuple[list[float], list[float]]]:
    """Levels and mean accuracy by the name of a change."""
    return {
        change.name: (
            list(change.levels),
            [float(np.mean(group.values(f"test/{change.name} {x:g}"))) for x in change.levels],
        )
        for change in CHANGES
    }


def main() -> None:
    """Print the curves; draw and write them where the options say."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=Path, nargs="+", required=True)
    parser.add_argument("--picture", default="")
    parser.add_argument("--save", type=Path)
    given = parser.parse_args()
    runs = [measured(folder) for folder in tqdm(given.runs, unit="run", disable=None)]
    groups = group_by(runs, ["preset"])
    curves = {group.label: mean_curves(group) for group in groups}
    for label, found in curves.items():
        print(label)
        print_curves(found)
    if given.picture:
        save(draw_curves(curves), given.picture)
    if given.save:
        write_result("robustness", groups, f"test/noise {CHANGES[-1].levels[-2]:g}", given.save)


if __name__ == "__main__":
    main()
