"""Accuracy of trained networks on perturbed test images: scaled, squeezed, rotated, noisy.

    python -m bench.robustness --runs runs/published/seed=* runs/distorted/seed=* \\
        --picture=docs/robustness.png --save=experiments/results/lenet5_robustness.json

The measurement of --mode=robustness for several runs of LeNet-5. The seeds of a preset share one
row of the result, and one line of the picture, which shows their mean. Seconds are those of the
measurement.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from bench.results import run_folders, write_result
from experiments import open_run
from experiments.common.pictures import save
from experiments.image.robustness import CHANGES, draw_curves, measure, print_curves
from experiments.report.runs import Group, Run, group_by
from train.rundir import read_json


def measure_run(folder: Path) -> Run:
    """Measure one run: one metric per perturbation and level."""
    run = open_run(folder)
    test = run.held_out("test")
    began = time.perf_counter()
    metrics: dict[str, float] = {}
    for change in CHANGES:
        levels, accuracy = measure(run.predict, test, change)
        names = (f"test/{change.name} {level:g}" for level in levels)
        metrics |= dict(zip(names, accuracy, strict=True))
    result = {"metrics": metrics, "seconds": time.perf_counter() - began}
    return Run(folder, read_json(folder / "config.json"), result, [])


def mean_curves(group: Group) -> dict[str, tuple[list[float], list[float]]]:
    """Levels and mean accuracy of each perturbation, by its name."""
    return {
        change.name: (
            list(change.levels),
            [float(np.mean(group.values(f"test/{change.name} {x:g}"))) for x in change.levels],
        )
        for change in CHANGES
    }


def main() -> None:
    """Print the curves; draw and save them if the options name files."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="run directories")
    parser.add_argument("--picture", default="", help="image file to write")
    parser.add_argument("--save", type=Path, help="result file to write")
    args = parser.parse_args()
    runs = [
        measure_run(folder) for folder in tqdm(run_folders(args.runs), unit="run", disable=None)
    ]
    groups = group_by(runs, ["preset"])
    curves = {group.label: mean_curves(group) for group in groups}
    for label, curve in curves.items():
        print(label)
        print_curves(curve)
    if args.picture:
        save(draw_curves(curves), args.picture)
    if args.save:
        write_result("robustness", groups, f"test/noise {CHANGES[-1].levels[-2]:g}", args.save)


if __name__ == "__main__":
    main()
