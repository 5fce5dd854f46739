"""Runs from their directories, groups of runs, and statistics of a group."""

import ast
import contextlib
import dataclasses
import json
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np

from experiments.report.intervals import mean_interval
from train.config import ConfigError, RunConfig
from train.metrics import read_metrics
from train.rundir import experiment_of, read_environment, read_json, read_result

NOT_SETTINGS = ("seed", "data_dir")  # runs that differ only in these belong to one group
Item = TypeVar("Item")
TAIL = 2**16  # bytes at the end of a file in which its last line is sought


class Lines(Sequence[dict[str, float]]):
    """Lines of the metrics.jsonl in a folder, read when they are first used.

    The curves of 10,000 runs would fill the memory, and only those of the best are drawn. Damaged
    metrics are no lines; a warning names the file.
    """

    def __init__(self, path: Path):
        self.path = path

    @cached_property
    def _lines(self) -> list[dict[str, float]]:
        try:
            return read_metrics(self.path)
        except ConfigError as error:
            print(f"warning: {error}", file=sys.stderr)
            return []

    def __iter__(self) -> Iterator[dict[str, float]]:
        return iter(self._lines)  # that of Sequence calls __getitem__ for each line

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, index: int) -> dict[str, float]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, float]]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self._lines[index]


@dataclass(frozen=True)
class Run:
    """Contents of a run directory; `result` is None until the run is finished.

    state: how a run that is not finished ended, in words. begun: False when it left no files; its
    config is then that of another run with its own settings of the sweep. experiment: "" when the
    folder does not name it.
    """

    path: Path
    config: dict[str, Any]
    result: dict[str, Any] | None
    lines: Sequence[dict[str, float]]
    state: str = ""
    begun: bool = True
    experiment: str = ""

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
        """Settings as one line, without those that an experiment lacks."""
        lacks = [k for k, v in self.settings.items() if v is None and "experiment" in self.settings]
        return (
            ", ".join(f"{k}={v}" for k, v in self.settings.items() if k not in lacks) or "all runs"
        )

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
    """Runs of a folder and of two levels below it (for replicas), by name; 20 before 100.

    Runs of the folder's sweep that left no files come last. A run whose config is damaged is left
    out, with a warning.
    """

    def by_number(path: Path) -> list[tuple[float, str]]:
        name = str(path.relative_to(folder))
        pieces = re.split(r"(\d+(?:\.\d+)?(?:e-?\d+)?)", name)  # every second one is a number
        return [(float(piece), "") if i % 2 else (-1, piece) for i, piece in enumerate(pieces)]

    configs = [path for level in ("", "*/", "*/*/") for path in folder.glob(f"{level}config.json")]
    paths = sorted((path.parent for path in configs), key=by_number)
    runs = with_later_settings([run for run in map(load_run, paths) if run])
    return [*runs, *runs_not_begun(folder, runs)]


def with_later_settings(runs: Sequence[Run]) -> list[Run]:
    """Return the runs with the defaults of settings that were added after some of them were made.

    A run without a setting is continued with its default: it belongs to the group that has it.
    """
    names = {name for run in runs for name in run.config}

    def completed(run: Run) -> Run:
        missing = names - run.config.keys()
        defaults = defaults_of(run) if missing else {}
        later = {name: defaults[name] for name in missing & defaults.keys()}
        return dataclasses.replace(run, config=run.config | later) if later else run

    return [completed(run) for run in runs]


def defaults_of(run: Run) -> dict[str, Any]:
    """Return the default of each setting of a run's experiment; none if it is unknown."""
    try:
        config_class = experiment_of(run.path).Config
    except ConfigError:
        return {}
    return {field.name: field.default for field in dataclasses.fields(config_class)}


def load_run(path: Path) -> Run | None:
    """Run in a folder; None, with a warning, when its config is damaged."""
    config, experiment = None, ""
    try:
        config = read_json(path / "config.json")
        experiment = str(read_environment(path).get("experiment", "")).rpartition(".")[2]
    except ConfigError as error:
        print(f"warning: {error}", file=sys.stderr)
    if not isinstance(config, dict):
        return None
    result = read_result(path)
    state = "" if result else state_of(path, config)
    return Run(path, config, result, Lines(path), state, experiment=experiment)


def state_of(path: Path, config: Mapping[str, Any]) -> str:
    """How the run in a folder that is not finished ended, and its step."""
    metrics, last = (last_object(path / name) for name in ("metrics.jsonl", "attempts.jsonl"))
    event, step = last.get("event"), max(int(metrics.get("step", 0)), last.get("step", 0))
    words = {"NonFiniteError": "diverged", "PreemptedError": "stopped"}
    failed = event not in (None, "start", "finished")
    word = words.get(str(event), f"failed ({event})" if failed else "not finished")
    return f"{word}: {path}, step {step} of {config['steps']}"


def runs_not_begun(folder: Path, runs: Sequence[Run]) -> list[Run]:
    """Runs of the sweep in a folder that have no files, for example because of missing data."""
    sweep = None
    try:
        sweep = read_json(folder / "sweep.json")
    except ConfigError as error:
        print(f"warning: {error}", file=sys.stderr)
    listed = sweep.get("runs", []) if isinstance(sweep, dict) else []
    listed = [entry for entry in listed if isinstance(entry, dict) and "name" in entry]
    exits = {line.get("name"): line.get("exit") for line in objects(folder / "exits.jsonl")}
    found = []
    for entry in listed if runs else ():
        path = folder / entry["name"]
        if not any(path.rglob("config.json")):
            code = exits.get(entry["name"])
            how = "not started" if code is None else f"failed before it began (exit code {code})"
            config = with_overrides(runs[0].config, entry.get("overrides", []))
            found.append(Run(path, config, None, [], f"{how}: {path}", begun=False))
    return found


def with_overrides(config: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Settings changed by overrides NAME=VALUE, with values of JSON's types."""
    changed = dict(config)
    for text in overrides:
        name, _, value = text.partition("=")
        changed[name] = value
        if not isinstance(config.get(name), str):
            with contextlib.suppress(SyntaxError, ValueError):
                changed[name] = json.loads(json.dumps(ast.literal_eval(value)))
    return changed


def objects(path: Path, tail: int = 0) -> list[dict[str, Any]]:
    """Objects of a file with one per line, without damaged lines; empty when there is none.

    tail: number of bytes at the end of the file in which to look for them; 0: everywhere.
    """
    lines: list[Any] = []
    with contextlib.suppress(OSError), open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - tail) if tail else 0)
        for text in file.read().split(b"\n"):
            with contextlib.suppress(ValueError):
                lines.append(json.loads(text))
    return [line for line in lines if isinstance(line, dict)]


def last_object(path: Path) -> dict[str, Any]:
    """Last of the `objects` of a file; empty when there is none."""
    return (objects(path, TAIL) or [{}])[-1]


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Groups of runs with equal settings except the seed; their names are the varying settings.

    Settings that cannot change the result, such as save_every, count only if the runs would
    otherwise be the same; so does the folder.
    """
    names = list(dict.fromkeys(name for run in runs for name in run.config))
    varying = [
        name
        for name in names
        if name not in NOT_SETTINGS and len({json.dumps(setting(run, name)) for run in runs}) > 1
    ]
    volatile = {"folder", *volatile_settings(runs[0])} if varying else set()
    groups = group_by(runs, [name for name in varying if name not in volatile])
    seeds = [[run.config["seed"] for run in group.runs] for group in groups]
    if any(len(set(each)) < len(each) for each in seeds):
        return group_by(runs, varying)
    return groups


def volatile_settings(run: Run) -> set[str]:
    """Names of the settings of a run's experiment that cannot change the result."""
    try:
        config_class = experiment_of(run.path).Config
    except ConfigError:  # a run that names no experiment, or one that is gone
        config_class = RunConfig
    fields = dataclasses.fields(config_class)
    return {field.name for field in fields if field.metadata["volatile"]}


def setting(run: Run, name: str) -> Any:
    """Value of a setting; a text that names the run's own seed, as in runs/a/seed=0, has seed=*.

    So seeds that start from different runs (`config.init_from`) belong to one group.
    """
    value = run.config.get(name)
    if not isinstance(value, str):
        return value
    return re.sub(rf"\bseed={run.config['seed']}\b", "seed=*", value)


def group_by(runs: Iterable[Run], names: Sequence[str]) -> list[Group]:
    """Groups of runs with equal values of the settings `names`, in order of their first runs."""
    groups: dict[str, Group] = {}
    for run in runs:
        settings = {name: setting(run, name) for name in names}
        groups.setdefault(json.dumps(settings), Group(settings, [])).runs.append(run)
    return list(groups.values())


def check_seeds(groups: Sequence[Group]) -> None:
    """Raise ValueError when two runs have equal settings and seeds and would count twice."""
    for group in groups:
        paths: dict[int, Path] = {}
        for run in filter(lambda run: run.begun, group.runs):
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


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """At most `most` of the items at even distances, among them the first and the last."""
    kept = np.linspace(0, len(items) - 1, min(len(items), most)).round().astype(int)
    return [items[i] for i in kept]


def mean_curve(
    group: Group, metric: str, most: int = sys.maxsize
) -> tuple[list[int], list[float], list[float]]:
    """At most `most` steps, means of the finished runs, half their 95 % intervals, NaN for one."""
    values: dict[int, list[float]] = {}
    for run in group.runs:
        for step, value in run.curve(metric).items() if run.result else ():
            values.setdefault(step, []).append(value)
    steps = evenly(sorted(values), most)
    pairs = [mean_interval(values[step]) for step in steps]
    halves = [math.nan if half is None else half for _, half in pairs]
    return steps, [mean for mean, _ in pairs], halves
