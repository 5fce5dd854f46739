"""What a report is about: the runs of one or several folders, their metric and their baseline."""

import contextlib
import dataclasses
import difflib
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.report.runs import (
    NOT_SETTINGS,
    Group,
    Run,
    check_seeds,
    group_runs,
    load_runs,
    with_later_settings,
)

LISTED = 4  # configurations that an error names


@dataclass(frozen=True)
class Study:
    """Runs with what is compared of them.

    best: for each experiment, the finished run with the lowest objective. headline: "" when the
    runs have several or belong to several experiments. metric: of the table.
    curve: the metric of the learning curves. objective: the metric that ranks configurations.
    """

    folders: Sequence[Path]
    groups: list[Group]
    best: dict[str, Run]
    headline: str
    metric: str
    curve: str
    objective: str
    baseline: Group | None

    @property
    def runs(self) -> list[Run]:
        """All runs, those of a group together."""
        return [run for group in self.groups for run in group.runs]

    @property
    def title(self) -> str:
        """Names of the folders."""
        return ", ".join(map(str, self.folders))


def read_study(folders: Sequence[Path], metric: str = "", baseline: str = "") -> Study:
    """Read the runs of the folders.

    Raises ValueError when a folder has no run, or none is finished; when `baseline` or `metric`
    matches nothing; when several experiments have no common metric; and when two runs are the same.
    """
    runs = load_folders(folders)
    results: dict[str, list[tuple[Run, dict[str, Any]]]] = {}
    for run in runs:
        if run.result:
            results.setdefault(run.experiment, []).append((run, run.result))
    if not results:
        raise ValueError(f"there is no finished run in {', '.join(map(str, folders))}")
    groups = group_experiments(runs)
    check_seeds(groups)
    name = find_metric(metric, {key: [r for _, r in pairs] for key, pairs in results.items()})
    best = [
        min(pairs, key=lambda pair: pair[1]["metrics"].get(pair[1]["objective"], math.inf))
        for pairs in results.values()
    ]
    first = best[0][1]
    headlines = {result["headline"] for pairs in results.values() for _, result in pairs}
    held_out = first["curve"].rpartition("/")[0] + "/" + name.rpartition("/")[2]
    return Study(
        folders=folders,
        groups=groups,
        best=dict(zip(results, (run for run, _ in best), strict=True)),
        headline=first["headline"] if len(results) == len(headlines) == 1 else "",
        metric=name,
        curve=held_out if all(held_out in result["metrics"] for _, result in best) else name,
        objective=first["objective"],
        baseline=find_baseline(baseline, groups) if baseline else None,
    )


def split_folders(text: str) -> list[Path]:
    """Folders of a list with commas; the names of folders that exist may contain commas."""
    pieces, folders = text.split(","), []
    while pieces:
        names = {n: ",".join(pieces[:n]) for n in range(len(pieces), 0, -1)}
        paths = {n: Path(os.path.expanduser(name)) for n, name in names.items()}
        length = next((n for n, path in paths.items() if path.is_dir()), 1)
        folders.append(paths[length])
        del pieces[:length]
    return folders


def load_folders(folders: Sequence[Path]) -> list[Run]:
    """Runs of all folders, each once.

    The settings of several folders include the `folder`, and those of several experiments the
    `experiment`. A run that does not name its experiment belongs to that of the first run in its
    folder. Raises ValueError when one of several folders has no run.
    """
    runs: dict[Path, Run] = {}
    for folder in folders:
        found = load_runs(folder)
        if not found and len(folders) > 1:
            raise ValueError(f"there is no run in {folder}")
        usual = next((run.experiment for run in found if run.experiment), "")
        for run in found:
            config = {"folder": str(folder), **run.config} if len(folders) > 1 else run.config
            named = dataclasses.replace(run, config=config, experiment=run.experiment or usual)
            runs.setdefault(run.path.resolve(), named)
    of_experiments = by_experiment(runs.values())
    if len(folders) > 1:
        of_experiments = {key: with_later_settings(own) for key, own in of_experiments.items()}
    several = len(of_experiments) > 1
    return [
        dataclasses.replace(run, config={"experiment": name, **run.config}) if several else run
        for name, own in of_experiments.items()
        for run in own
    ]


def by_experiment(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Runs of each experiment, in order of their first runs."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.experiment, []).append(run)
    return found


def group_experiments(runs: Sequence[Run]) -> list[Group]:
    """Groups of the runs of all experiments.

    With several, the first setting is the experiment; the others are those that vary within at
    least one of them, None where an experiment lacks them.
    """
    of_experiments = by_experiment(runs)
    groups = [group for own in of_experiments.values() for group in group_runs(own)]
    if len(of_experiments) < 2:
        return groups
    names = dict.fromkeys(["experiment", *(name for group in groups for name in group.settings)])
    return [
        Group({name: group.runs[0].config.get(name) for name in names}, group.runs)
        for group in groups
    ]


def find_metric(name: str, results: Mapping[str, Sequence[dict[str, Any]]]) -> str:
    """Return the metric `name`, or the headline for "".

    results: those of each experiment. Raises ValueError when no run has the metric, when not all
    experiments have it, and when there are several headlines.
    """
    measured = {
        experiment: {metric for result in own for metric in result["metrics"]}
        for experiment, own in results.items()
    }
    common = set.intersection(*measured.values())
    every = sorted(set.union(*measured.values()))
    headlines = sorted({result["headline"] for own in results.values() for result in own})
    if name and name not in every:
        raise ValueError(
            f"--metric={name} is not measured by these runs (did you mean {nearest(name, every)}?)"
        )
    if name in common or (not name and len(headlines) == 1):
        return name or headlines[0]
    lacking = ", ".join(key for key, metrics in measured.items() if name not in metrics)
    problem = f"--metric={name} is not measured by {lacking}"
    problem = problem if name else f"the runs have several headlines: {', '.join(headlines)}"
    choices = f"choose --metric from {', '.join(sorted(common))}"
    raise ValueError(f"{problem}; {choices if common else 'there is no common metric'}")


def find_baseline(text: str, groups: Sequence[Group]) -> Group:
    """Return the only group with all settings of NAME=VALUE,NAME=VALUE.

    Raises ValueError, with the most similar settings, when there is not exactly one, or when there
    is only one group.
    """
    if len(groups) < 2:
        raise ValueError(f"--baseline={text} needs several configurations, there is only one")
    conditions = [item.partition("=")[::2] for item in re.split(r",\s*(?=\w+=)", text)]

    def matches(group: Group) -> bool:
        config = {k: v for k, v in group.runs[0].config.items() if k not in NOT_SETTINGS}
        return all(name in config and is_value(config[name], value) for name, value in conditions)

    matching = [group for group in groups if matches(group)]
    if len(matching) != 1:
        labels = [
            ",".join(f"{k}={v}" for k, v in group.settings.items() if v is not None)
            for group in matching or groups
        ]
        hint = (
            f"add settings that only one of them has: {'; '.join(labels[:LISTED])}"
            if matching
            else f"did you mean {nearest(text, labels)}?"
        )
        raise ValueError(
            f"--baseline={text} matches {len(matching)} of {len(groups)} configurations, not one "
            f"({hint})"
        )
    return matching[0]


def nearest(name: str, names: Iterable[str]) -> str:
    """The most similar of `names`."""
    return difflib.get_close_matches(name, list(names), n=1, cutoff=0.0)[0]


def is_value(value: Any, text: str) -> bool:
    """Whether `text` denotes this value of a setting, as printed in the table or in JSON."""
    with contextlib.suppress(ValueError):
        if json.loads(text) == value:  # 1e-3 is 0.001, true is True, [1,2] is [1, 2]
            return True
    return text == str(value)
