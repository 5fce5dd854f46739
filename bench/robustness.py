"""Accuracy of trained networks on perturbed test images: scaled, squeezed, rotated, noisy.

    python -m bench.robustness --runs runs/published/seed=* runs/distorted/seed=* \\
        --save=experiments/results/lenet5_robustness.json
    python -m bench.robustness --results=experiments/results/lenet5_robustness.json \\
        --picture=docs/robustness.png

The measurement of --mode=robustness for several runs of LeNet-5. The seeds of a preset share one
row of the result, and one line of the picture, which shows their mean and its 95 % interval, or two
single runs. Seconds are those of the measurement. The second command draws a saved result.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from bench.results import run_folders, write_result
from experiments import open_run
from experiments.common.output import save
from experiments.image.robustness import CHANGES, Line, draw_curves, measure, print_curves
from experiments.report.intervals import mean_interval
from experiments.report.runs import Run, group_by
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


def lines_of(metrics: Mapping[str, Sequence[float]]) -> dict[str, Line]:
    """Line of each perturbation by its name, from the accuracies of the runs by metric."""
    lines = {}
    for change in CHANGES:
        runs = np.array([metrics[f"test/{change.name} {level:g}"] for level in change.levels])
        means, halves = zip(*map(mean_interval, runs.tolist()), strict=True)
        lines[change.name] = Line(list(change.levels), list(means), halves, runs.T)
    return lines


def main() -> None:
    """Print the curves; draw and save them if the options name files."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--runs", type=Path, nargs="+", help="run directories to measure")
    source.add_argument("--results", type=Path, help="result file to draw instead")
    parser.add_argument("--picture", default="", help="image file to write")
    parser.add_argument("--save", type=Path, help="result file to write")
    args = parser.parse_args()
    if args.results:
        rows = json.loads(args.results.read_text(encoding="utf-8"))["rows"]
        by_label = {f"preset={row['settings']['preset']}": row["metrics"] for row in rows}
    else:
        folders = tqdm(run_folders(args.runs), unit="run", disable=None)
        groups = group_by([measure_run(folder) for folder in folders], ["preset"])
        by_label = {
            group.label: {name: group.values(name) for name in group.results[0]["metrics"]}
            for group in groups
        }
    lines = {label: lines_of(metrics) for label, metrics in by_label.items()}
    for label, by_change in lines.items():
        print(label)
        print_curves({name: (line.levels, line.mean) for name, line in by_change.items()})
    if args.picture:
        save(draw_curves(lines), args.picture)
    if args.save and args.runs:
        write_result("robustness", groups, f"test/noise {CHANGES[-1].levels[-2]:g}", args.save)


if __name__ == "__main__":
    main()
