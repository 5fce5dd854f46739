"""Table, pictures and samples of a folder of runs, from the run directories alone.

python -m experiments.report --workdir=runs/demo --baseline=cell=lstm --format=markdown

--baseline adds the difference of every configuration from one of them on the same seeds. A form
other than text prints the table alone; what else there is to say then goes to stderr.
"""

import contextlib
import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from absl import flags

from experiments.report.curves import draw
from experiments.report.runs import (
    NOT_SETTINGS,
    Group,
    Run,
    check_seeds,
    group_runs,
    load_runs,
    mean_interval,
    nearest,
)
from experiments.report.search import draw_search
from experiments.report.tables import FORMS, make_table
from train.rundir import read_json


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
        "data": {k: elsewhere(v) for k, v in read_json(runs[0].path / "data.json").items()},
        **{key: environments[0][key] for key in ("machine", "devices", "python", "versions")},
        "commit": sorted({environment["commit"] for environment in environments}),
    }


def find_metric(name: str, results: Sequence[dict[str, Any]]) -> str:
    """Return the metric `name`, or the headline for ""; ValueError when no run measured it."""
    names = sorted({metric for result in results for metric in result["metrics"]})
    if name and name not in names:
        raise ValueError(
            f"--metric={name} is not measured by these runs (did you mean {nearest(name, names)}?)"
        )
    return name or results[0]["headline"]


def find_baseline(text: str, groups: Sequence[Group]) -> Group:
    """Return the group that has all the settings of NAME=VALUE,NAME=VALUE.

    Raises ValueError, with the most similar settings, when it is not exactly one of several.
    """
    if len(groups) < 2:
        raise ValueError(f"--baseline={text}: there is one configuration alone")
    wanted = [part.partition("=")[::2] for part in re.split(r",\s*(?=\w+=)", text)]

    def fits(group: Group) -> bool:
        config = {k: v for k, v in group.runs[0].config.items() if k not in NOT_SETTINGS}
        return all(name in config and is_value(config[name], value) for name, value in wanted)

    found = [group for group in groups if fits(group)]
    if len(found) != 1:
        labels = [
            ",".join(f"{name}={value}" for name, value in group.settings.items())
            for group in found or groups
        ]
        raise ValueError(
            f"--baseline={text} picks {len(found)} of {len(groups)} configurations, not one "
            f"(did you mean {nearest(text, labels)}?)"
        )
    return found[0]


def is_value(value: Any, text: str) -> bool:
    """True when the text stands for the value of a setting: as in the table, or its JSON."""
    with contextlib.suppress(ValueError):
        if json.loads(text) == value:  # 1e-3 is 0.001, true is True, [1,2] is [1, 2]
            return True
    return text == str(value)


def never_begun(folder: Path) -> list[Path]:
    """Folders of the runs of a sweep that wrote nothing, such as those that had no data."""
    runs = (read_json(folder / "sweep.json") or {}).get("runs", [])
    return [folder / r["name"] for r in runs if not any((folder / r["name"]).rglob("config.json"))]


def report(
    folder: Path,
    *,
    save: str = "",
    command: str = "",
    baseline: str = "",
    metric: str = "",
    form: str = "text",
) -> tuple[str, str]:
    """Write pictures into the folder, and the study's result to `save`; return what to print.

    That is for stdout and for stderr. Raises ValueError when there is no finished run, when `save`
    is given and one is unfinished, when `baseline` or `metric` is not to be found, and when two
    runs are the same or of several experiments.
    """
    runs = load_runs(folder)
    finished = [(run, run.result) for run in runs if run.result]
    waiting = [run for run in runs if not run.result]
    if not finished:
        raise ValueError(f"there is no finished run in {folder}")
    if save and waiting:
        raise ValueError(f"{waiting[0].path} is not finished: no result is written")
    if save and (never := never_begun(folder)):
        raise ValueError(f"{never[0]} has not begun: no result is written")
    if len({result["headline"] for _, result in finished}) > 1:
        raise ValueError(f"the runs in {folder} are of several experiments")
    groups = group_runs(runs)
    check_seeds(groups)
    shown = find_metric(metric, [result for _, result in finished])
    chosen = find_baseline(baseline, groups) if baseline else None
    best, result = min(finished, key=lambda pair: pair[1]["metrics"][pair[1]["objective"]])
    held_out = result["curve"].rpartition("/")[0] + "/" + shown.rpartition("/")[2]
    curve = held_out if held_out in result["metrics"] else shown
    curves, *others = draw(folder, groups, shown, curve, result["objective"])
    table = FORMS[form](make_table(groups, shown, chosen))
    notes = [
        f"not finished: {run.path}, step {run.step} of {run.config['steps']}" for run in waiting
    ]
    notes.append(f"curves: {curves}    pictures of the best run: {best.path / 'figures'}")
    notes += [f"by settings: {path}" for path in others]
    notes += [f"trials of the search: {path}" for path in draw_search(folder)]
    if save:
        text = json.dumps(summary(groups, result["headline"], command), indent=1)
        Path(save).parent.mkdir(parents=True, exist_ok=True)
        Path(save).write_text(text + "\n", encoding="utf-8")
        notes.append(f"result: {save}")
    if form == "text":
        return "\n\n".join(part for part in (samples(best), table, *notes) if part), ""
    return table, "\n".join(notes)


def main(argv: list[str]) -> None:
    """Print the report of --workdir; one line and exit 2 when there is nothing to report."""
    values = flags.FlagValues()
    for name, default, meaning in (
        ("workdir", None, "folder of one run or of several"),
        ("save", "", "file for the study's result"),
        ("command", "", "what made the runs, for the result"),
        ("baseline", "", "NAME=VALUE,... of the configuration to compare the others with"),
        ("metric", "", "metric of the table instead of the headline"),
    ):
        flags.DEFINE_string(name, default, meaning, flag_values=values)
    flags.DEFINE_enum("format", "text", list(FORMS), "form of the table", flag_values=values)
    flags.mark_flag_as_required("workdir", flag_values=values)
    try:
        if rest := values(argv)[1:]:
            raise ValueError(f"flags begin with --, got {rest[0]!r}")
        out, aside = report(
            Path(values.workdir),
            save=values.save,
            command=values.command,
            baseline=values.baseline,
            metric=values.metric,
            form=values.format,
        )
        print(out)
        print(aside, end="\n" * bool(aside), file=sys.stderr)
    except (flags.Error, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
