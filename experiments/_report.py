"""One table, the curves and the samples of a folder of runs, from the run directories alone.

python -m experiments._report --workdir=runs/demo
"""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from matplotlib.figure import Figure
from scipy import stats

from train.metrics import read_metrics
from train.rundir import read_json

NOT_SETTINGS = ("seed", "data_dir")  # runs that differ in these alone are of one group


@dataclass(frozen=True)
class Run:
    """What one run directory says; `result` is None until the run is finished."""

    path: Path
    config: dict[str, Any]
    result: dict[str, Any] | None
    lines: list[dict[str, float]]

    @property
    def step(self) -> int:
        """Last step that metrics.jsonl knows."""
        return int(self.lines[-1]["step"]) if self.lines else 0


@dataclass(frozen=True)
class Group:
    """Runs that differ in the seed alone, and those of them that are finished."""

    settings: dict[str, Any]
    runs: list[Run]

    @property
    def label(self) -> str:
        """Settings in one line."""
        return ", ".join(f"{k}={v}" for k, v in self.settings.items()) or "all runs"

    @property
    def results(self) -> list[dict[str, Any]]:
        """Results of the finished runs."""
        return [run.result for run in self.runs if run.result]

    def values(self, metric: str) -> list[float]:
        """The metric at the end of every finished run."""
        return [result["metrics"][metric] for result in self.results]


def load_runs(folder: Path) -> list[Run]:
    """Runs in a folder or directly below it, in the order of their names, 20 before 100."""

    def by_number(path: Path) -> list[tuple[int, str]]:
        parts = re.split(r"(\d+)", path.name)
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]

    below = sorted(folder.iterdir(), key=by_number)
    paths = [path for path in (folder, *below) if (path / "config.json").is_file()]
    return [
        Run(p, read_json(p / "config.json"), read_json(p / "result.json"), read_metrics(p))
        for p in paths
    ]


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Groups of runs that agree in everything but the seed, named by what varies between groups."""
    names = list(dict.fromkeys(name for run in runs for name in run.config))
    varying = [
        name
        for name in names
        if name not in NOT_SETTINGS and len({json.dumps(run.config.get(name)) for run in runs}) > 1
    ]
    groups: dict[str, Group] = {}
    for run in runs:
        settings = {name: run.config.get(name) for name in varying}
        groups.setdefault(json.dumps(settings), Group(settings, [])).runs.append(run)
    return list(groups.values())


def mean_interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and half its 95 % interval (Student's t), None for fewer than two values."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None
    error = float(np.std(values, ddof=1)) / len(values) ** 0.5
    return mean, float(stats.t.ppf(0.975, len(values) - 1)) * error


def mean_seconds(results: Sequence[dict[str, Any]]) -> str:
    """Mean time of a run in seconds; - when one was killed, so that its time is not known."""
    seconds = [result["seconds"] for result in results]
    return "-" if None in seconds else f"{np.mean(seconds):.0f}"


def table(groups: Sequence[Group], metric: str) -> str:
    """Aligned table of the groups: settings, mean, interval, n, seconds a run."""
    rows = [[*(groups[0].settings), metric, "95 % interval", "n", "seconds a run"]]
    for group in groups:
        settings = [str(value) for value in group.settings.values()]
        values = group.values(metric)
        if not values:
            rows.append([*settings, "-", "-", "0", "-"])
            continue
        mean, half = mean_interval(values)
        seconds = mean_seconds(group.results)
        interval = "-" if half is None else f"+- {half:.4f}"
        rows.append([*settings, f"{mean:.4f}", interval, str(len(values)), seconds])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    count = len(groups[0].settings)

    def line(row):
        cells = (
            cell.ljust(width) if i < count else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    return "\n".join([line(rows[0]), "  ".join("-" * w for w in widths), *map(line, rows[1:])])


def curves(groups: Sequence[Group], metric: str) -> Figure:
    """Held-out metric against steps, a line a run, a colour a group; the training loss is faint."""
    train = "train/" + metric.rpartition("/")[2]
    figure = Figure(figsize=(8, 5), layout="constrained")
    axis = figure.subplots()
    for i, group in enumerate(groups):
        for j, run in enumerate(group.runs):
            for name, style in ((metric, {"marker": "."}), (train, {"alpha": 0.3, "linewidth": 1})):
                points = [(line["step"], line[name]) for line in run.lines if name in line]
                label = group.label if name == metric and j == 0 else None
                axis.plot(*zip(*points, strict=True), color=f"C{i}", label=label, **style)
    runs = [run for group in groups for run in group.runs]
    late = [
        line[metric]
        for run in runs
        for line in run.lines
        if metric in line and line["step"] >= run.config["steps"] / 20
    ]
    if late:  # untrained networks would press all that follows into a line
        low, high = min(late), max(late)
        axis.set_ylim(low - 0.1 * (high - low) - 1e-3, high + 0.25 * (high - low) + 1e-3)
    axis.set_xlabel("steps")
    axis.set_ylabel(metric.rpartition("/")[2].replace("_", " "))
    axis.set_title(f"{metric} (dots), {train} (faint)")
    axis.grid(alpha=0.3)
    axis.legend()
    return figure


def samples(run: Run) -> str:
    """Texts that a run wrote among its figures, each under its step."""
    parts = []
    for path in sorted((run.path / "figures").glob("*.txt")):
        name, step = path.stem.rsplit("-", 1)
        parts.append(f"--- {name}, step {int(step)} of {run.config['steps']} ---")
        parts.append(path.read_text(encoding="utf-8").strip("\n"))
    return "\n".join(parts)


def elsewhere(value: Any) -> Any:
    """Return a setting or a command with DATA_DIR in place of the folders of this machine's data.

    Such a folder follows the name of a form, as in pairs:FOLDER, or a comma.
    """
    if not isinstance(value, str):
        return value
    return re.sub(r"(?<=[:,])/(?:[^/,\s]+/)*", "DATA_DIR/", value)


def summary(groups: Sequence[Group], metric: str, command: str) -> dict[str, Any]:
    """Result of a finished study: figures with seeds, command, machine, versions, commit, time."""
    runs = [run for group in groups for run in group.runs]
    environments = [read_json(run.path / "environment.json") for run in runs]
    rows = []
    for group in groups:
        mean, half = mean_interval(group.values(metric))
        results = group.results
        rows.append(
            {
                "settings": {k: elsewhere(v) for k, v in group.settings.items()},
                "mean": mean,
                "interval": half,
                "seeds": [run.config["seed"] for run in group.runs],
                "metrics": {
                    name: [r["metrics"][name] for r in results] for name in results[0]["metrics"]
                },
                "seconds": [r["seconds"] for r in results],
            }
        )
    config = {k: elsewhere(v) for k, v in runs[0].config.items() if k not in NOT_SETTINGS}
    return {
        "command": elsewhere(command),
        "date": datetime.now(UTC).date().isoformat(),
        "metric": metric,
        "rows": rows,
        "config": {k: v for k, v in config.items() if k not in groups[0].settings},
        "data": read_json(runs[0].path / "data.json"),
        **{key: environments[0][key] for key in ("machine", "devices", "python", "versions")},
        "commit": sorted({environment["commit"] for environment in environments}),
    }


def report(folder: Path, save: str = "", command: str = "") -> str:
    """Write curves.png into the folder, and the study's result to `save`; return what to print.

    Raises ValueError when there is no finished run, or when `save` is given and one is unfinished.
    """
    runs = load_runs(folder)
    finished = [(run, run.result) for run in runs if run.result]
    waiting = [run for run in runs if not run.result]
    if not finished:
        raise ValueError(f"there is no finished run in {folder}")
    if save and waiting:
        raise ValueError(f"{waiting[0].path} is not finished: no result is written")
    if len({result["headline"] for _, result in finished}) > 1:
        raise ValueError(f"the runs in {folder} are of several experiments")
    groups = group_runs(runs)
    best, result = min(finished, key=lambda pair: pair[1]["metrics"][pair[1]["objective"]])
    curves(groups, result["curve"]).savefig(folder / "curves.png", dpi=120)
    parts = [samples(best), table(groups, result["headline"])]
    parts += [
        f"not finished: {run.path}, step {run.step} of {run.config['steps']}" for run in waiting
    ]
    parts.append(
        f"curves: {folder / 'curves.png'}    pictures of the best run: {best.path / 'figures'}"
    )
    if save:
        text = json.dumps(summary(groups, result["headline"], command), indent=1)
        Path(save).parent.mkdir(parents=True, exist_ok=True)
        Path(save).write_text(text + "\n", encoding="utf-8")
        parts.append(f"result: {save}")
    return "\n\n".join(part for part in parts if part)


def main(argv: list[str]) -> None:
    """Print the report of --workdir; one line and exit 2 when there is nothing to report."""
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "folder of one run or of several", flag_values=values)
    flags.DEFINE_string("save", "", "file for the study's result", flag_values=values)
    flags.DEFINE_string("command", "", "what made the runs, for the result", flag_values=values)
    flags.mark_flag_as_required("workdir", flag_values=values)
    try:
        values(argv)
        print(report(Path(values.workdir), values.save, values.command))
    except (flags.Error, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main(sys.argv)
