"""Runs from their directories, groups of runs, and statistics of a group."""

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit  # the quantile of Student's t; scipy.stats loads slowly

from train.metrics import read_metrics
from train.rundir import read_json

NOT_SETTINGS = ("seed", "data_dir")  # runs that differ only in these belong to one group


@dataclass(frozen=True)
class Run:
    """Contents of a run directory; `result` is None until the run is finished."""

    path: Path
    config: dict[str, Any]
    result: dict[str, Any] | None
    lines: list[dict[str, float]]

    @property
    def step(self) -> int:
        """Last step in metrics.jsonl."""
        return int(self.lines[-1]["step"]) if self.lines else 0

    def curve(self, metric: str) -> dict[int, float]:
        """Value of the metric at each step that measured it."""
        return {int(line["step"]): line[metric] for line in self.lines if metric in line}


@dataclass(frozen=True)
class Group:
    """Runs that differ only in the seed; statistics use those that are finished."""

    settings: dict[str, Any]
    runs: list[Run]

    @property
    def label(self) -> str:
        """Settings as one line."""
        return ", ".join(f"{k}={v}" for k, v in self.settings.items()) or "all runs"

    @property
    def results(self) -> list[dict[str, Any]]:
        """Results of the finished runs."""
        return [run.result for run in self.runs if run.result]

    def by_seed(self, metric: str) -> dict[int, float]:
        """Final value of the metric in every finished run that measured it, by seed."""
        return {
            run.config["seed"]: run.result["metrics"][metric]
            for run in self.runs
            if run.result and metric in run.result["metrics"]
        }

    def values(self, metric: str) -> list[float]:
        """Final value of the metric in every finished run that measured it."""
        return [r["metrics"][metric] for r in self.results if metric in r["metrics"]]


def load_runs(folder: Path) -> list[Run]:
    """Runs of a folder and of two levels below it (for replicas), by name; 20 before 100."""

    def by_number(path: Path) -> list[tuple[float, str]]:
        name = str(path.relative_to(folder))
        pieces = re.split(r"(\d+(?:\.\d+)?(?:e-?\d+)?)", name)  # every second one is a number
        return [(float(piece), "") if i % 2 else (-1, piece) for i, piece in enumerate(pieces)]

    configs = [path for level in ("", "*/", "*/*/") for path in folder.glob(f"{level}config.json")]
    paths = sorted((path.parent for path in configs), key=by_number)
    return [
        Run(p, read_json(p / "config.json"), read_json(p / "result.json"), read_metrics(p))
        for p in paths
    ]


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Groups of runs with equal settings except the seed; their names are the varying settings."""
    names = list(dict.fromkeys(name for run in runs for name in run.config))
    varying = [
        name
        for name in names
        if name not in NOT_SETTINGS and len({json.dumps(run.config.get(name)) for run in runs}) > 1
    ]
    return group_by(runs, varying)


def group_by(runs: Iterable[Run], names: Sequence[str]) -> list[Group]:
    """Groups of runs with equal values of the settings `names`, in order of their first runs."""
    groups: dict[str, Group] = {}
    for run in runs:
        settings = {name: run.config.get(name) for name in names}
        groups.setdefault(json.dumps(settings), Group(settings, [])).runs.append(run)
    return list(groups.values())


def check_seeds(groups: Sequence[Group]) -> None:
    """Raise ValueError when two runs have equal settings and seeds and would count twice."""
    for group in groups:
        paths: dict[int, Path] = {}
        for run in group.runs:
            other = paths.setdefault(run.config["seed"], run.path)
            if other is not run.path:
                raise ValueError(f"{other} and {run.path} have the same settings and seed")


def best_groups(groups: Sequence[Group], objective: str, most: int) -> list[Group]:
    """Return the `most` groups with the lowest mean objective, in their original order.

    Ties go to the earlier group. A group without a finished run, or with mean NaN, ranks last.
    """

    def mean_objective(i: int) -> float:
        mean = float(np.mean(groups[i].values(objective) or [math.inf]))
        return math.inf if math.isnan(mean) else mean

    best = sorted(range(len(groups)), key=mean_objective)[:most]
    return [groups[i] for i in sorted(best)]


def mean_interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and half its 95 % interval (Student's t), which is None for fewer than two values."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None
    with np.errstate(invalid="ignore"):  # an infinite perplexity has interval NaN
        error = float(np.std(values, ddof=1)) / len(values) ** 0.5
    return mean, float(stdtrit(len(values) - 1, 0.975)) * error


def paired_difference(
    values: Mapping[int, float], baseline: Mapping[int, float]
) -> tuple[float | None, float | None, int]:
    """Mean of values - baseline over common seeds, half its 95 % interval, and their number.

    The mean is None without common seeds, the interval (Student's t) with fewer than two.
    """
    differences = [values[seed] - baseline[seed] for seed in values if seed in baseline]
    if not differences:
        return None, None, 0
    return *mean_interval(differences), len(differences)


def mean_curve(group: Group, metric: str) -> tuple[list[int], list[float], list[float]]:
    """Steps, means over the finished runs, and half their 95 % intervals, NaN for a single run."""
    values: dict[int, list[float]] = {}
    for run in group.runs:
        for step, value in run.curve(metric).items() if run.result else ():
            values.setdefault(step, []).append(value)
    steps = sorted(values)
    pairs = [mean_interval(values[step]) for step in steps]
    halves = [math.nan if half is None else half for _, half in pairs]
    return steps, [mean for mean, _ in pairs], halves


def mean_seconds(results: Sequence[dict[str, Any]]) -> float | None:
    """Mean time of a run in seconds; None if a run was killed, which makes its time unknown."""
    seconds = [result["seconds"] for result in results]
    return None if None in seconds else float(np.mean(seconds))


def nearest(name: str, names: Iterable[str]) -> str:
    """The most similar of `names`."""
    return difflib.get_close_matches(name, list(names), n=1, cutoff=0.0)[0]
