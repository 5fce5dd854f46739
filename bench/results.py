"""Finished runs that a benchmark measures again; its result has the format of a sweep."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from experiments import open_run
from experiments.report.report import summary
from experiments.report.runs import Group, Run, group_by
from train.environment import machine
from train.rundir import read_json
from train.trained import TrainedRun

Scores = Mapping[str, float]


def run_folders(paths: Iterable[Path]) -> list[Path]:
    """Folders among paths; the pattern seed=* of a shell also matches the log files beside them."""
    return [path for path in paths if path.is_dir()]


def measure_variants(
    folders: Iterable[Path], measure: Callable[[TrainedRun], Mapping[Any, Scores]], setting: str
) -> list[Group]:
    """Groups of runs that are measured several times, by the value of a setting.

    measure: run -> scores by value. setting: name of the setting. The seconds of each measurement
    are those of all values together.
    """
    found = []
    for folder in tqdm(run_folders(folders), unit="run", disable=None):
        began = time.perf_counter()
        variants = measure(open_run(folder))
        seconds = time.perf_counter() - began
        config = read_json(folder / "config.json")
        found += [
            Run(folder, config | {setting: value}, {"metrics": scores, "seconds": seconds}, [])
            for value, scores in variants.items()
        ]
    return group_by(found, [setting])


def main(
    name: str,
    description: str,
    measure: Callable[[TrainedRun], Mapping[Any, Scores]],
    setting: str,
    metric: str,
) -> None:
    """Measure the runs of the command line; print a metric, and with --save write the result.

    The other arguments are those of `measure_variants` and `write_result`.
    """
    parser = argparse.ArgumentParser(description=description.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="run directories")
    parser.add_argument("--save", type=Path, help="result file to write")
    args = parser.parse_args()
    groups = measure_variants(args.runs, measure, setting)
    for group in groups:
        print(group.label, *(f"{value:.4f}" for value in group.values(metric)), sep="\t")
    if args.save:
        write_result(name, groups, metric, args.save)


def write_result(name: str, groups: Sequence[Group], metric: str, save: Path) -> None:
    """Write the results of the benchmark `name` for groups of runs to a file, with its command.

    A run is in the folder of its sweep; of an absolute path, only these two names are recorded.
    """
    folders = {str(run.path) for group in groups for run in group.runs}
    words = [
        "/".join(["runs", *Path(word).parts[-2:]])
        if word in folders and Path(word).is_absolute()
        else word
        for word in sys.argv[1:]
    ]
    command = " ".join([f"python -m bench.{name}", *words])
    result = summary(groups, metric, command) | {"machine": machine()}
    save.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
