"""Table, pictures and samples of folders of runs, made from the run directories.

    python -m experiments.report --workdir=runs/demo --baseline=cell=lstm --format=markdown
    python -m experiments.report --workdir=runs/demo,runs/wide --output=runs/both

--workdir names one folder or several. Runs of several experiments are compared by a metric that all
have: their headline if it is the same, else --metric. --output is the folder of the pictures and
of report.html: by default that of the runs; several folders have no default.

--baseline adds the difference of every configuration from that one, on the same seeds, and in words
whether it is significant: by the t-test for pairs, with Holm's correction for the number of
comparisons. --format=html writes all into one page, report.html, and prints its path. With the
other formats than text, stdout contains only the table, and all other lines go to stderr.
"""

import json
import os
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from absl import flags

from experiments.report.curves import draw
from experiments.report.intervals import mean_interval
from experiments.report.page import write_page
from experiments.report.runs import NOT_SETTINGS, Group, Run, evenly
from experiments.report.search import draw_search
from experiments.report.significance import LEVEL
from experiments.report.study import Study, read_study, split_folders
from experiments.report.tables import FORMS, make_table
from train.process import open_standard_streams
from train.rundir import read_json
from train.validity import hint

PAGE = "html"  # the format of a page, which is more than a table
COMPARISON = (
    f"difference: t-test for pairs of the same seed, with Holm's correction, at the level {LEVEL}"
)
POINTS = 20  # maximum points of a learning curve in the result of a study


def samples(run: Run) -> str:
    """Texts among the figures of a run, each below a line with its name and step."""
    texts = []
    for path in sorted((run.path / "figures").glob("[!.]*.txt")):
        name, step = path.stem.rsplit("-", 1)
        texts.append(f"--- {name}, step {int(step)} of {run.config['steps']} ---")
        texts.append(path.read_text(encoding="utf-8").strip("\n"))
    return "\n".join(texts)


def anonymized(value: Any) -> Any:
    """Return a setting or a command with DATA_DIR in place of absolute data folders.

    These follow a colon, as in pairs:FOLDER, or a comma.
    """
    if not isinstance(value, str):
        return value
    return re.sub(r"(?<=[:,])/(?:[^/,\s]+/)*", "DATA_DIR/", value)


def recorded_curve(group: Group) -> dict[str, Any]:
    """At most POINTS steps, evenly spread, at which all runs measured their curve, and its values.

    Runs of a benchmark that trains nothing have no curve.
    """
    metric = group.results[0].get("curve")
    if metric is None:
        return {}
    curves = [run.curve(metric) for run in group.runs]
    steps = evenly(sorted(set.intersection(*map(set, curves))), POINTS)
    values = [[curve[step] for curve in curves] for step in steps]
    return {"curve": {"metric": metric, "steps": steps, "values": values}}


def summary(groups: Sequence[Group], metric: str, command: str) -> dict[str, Any]:
    """Result of a finished study: metrics and seeds, command, date, machine, versions, commits."""
    runs = [run for group in groups for run in group.runs]
    environments = [read_json(run.path / "environment.json") for run in runs]
    rows = []
    for group in groups:
        mean, half = mean_interval(group.values(metric))
        results = group.results
        rows.append(
            {
                "settings": {k: anonymized(v) for k, v in group.settings.items()},
                "mean": mean,
                "interval": half,
                "seeds": [run.config["seed"] for run in group.runs],
                "metrics": {
                    name: [r["metrics"][name] for r in results] for name in results[0]["metrics"]
                },
                **recorded_curve(group),
                "seconds": [r["seconds"] for r in results],
            }
        )
    config = {k: anonymized(v) for k, v in runs[0].config.items() if k not in NOT_SETTINGS}
    return {
        "command": anonymized(command),
        "date": datetime.now(UTC).date().isoformat(),
        "metric": metric,
        "rows": rows,
        "config": {k: v for k, v in config.items() if k not in groups[0].settings},
        "data": {k: anonymized(v) for k, v in read_json(runs[0].path / "data.json").items()},
        **{key: environments[0][key] for key in ("machine", "devices", "python", "versions")},
        "commit": sorted({environment["commit"] for environment in environments}),
    }


def report(
    *folders: Path,
    save: str = "",
    command: str = "",
    baseline: str = "",
    metric: str = "",
    form: str = "text",
    output: str = "",
) -> tuple[str, str]:
    """Write the pictures, and the study's result to `save`; return (stdout, stderr).

    With form "html", one page takes the place of the table and the pictures. The files go to the
    folder `output`, by default to that of the runs; several folders without `output` have no
    pictures. Raises ValueError when there is no finished run, when `save` is given and a run is
    unfinished or there are several folders or experiments, when several folders have no `output`
    for a page, when `baseline` or `metric` matches nothing, when two runs are the same, and when
    experiments have no common metric.
    """
    study = read_study(folders, metric, baseline)
    if form == PAGE and len(folders) > 1 and not output:
        raise ValueError("--format=html of several folders needs --output=DIR for report.html")
    unfinished = [run for run in study.runs if not run.result]
    if save and (len(folders) > 1 or not study.headline):
        raise ValueError("--save writes the result of one folder with runs of one experiment")
    if save and unfinished:
        how = "is not finished" if unfinished[0].begun else "has not started"
        raise ValueError(f"{unfinished[0].path} {how}: no result is written")
    comparison = COMPARISON if study.baseline else ""
    notes = [comparison, *(run.state for run in unfinished)]
    if form == PAGE:
        table = str(write_page(study, Path(output or folders[0]), comparison))
    else:
        table = FORMS[form](make_table(study.groups, study.metric, study.baseline))
        notes += draw_all(study, output)
    if save:
        text = json.dumps(summary(study.groups, study.headline, command), indent=1)
        Path(save).parent.mkdir(parents=True, exist_ok=True)
        Path(save).write_text(text + "\n", encoding="utf-8")
        notes.append(f"result: {save}")
    if form == "text":
        texts = [samples(run) for run in study.best.values() if len(study.best) == 1]
        return "\n\n".join(filter(None, (*texts, table, *notes))), ""
    return table, "\n".join(filter(None, notes))


def draw_all(study: Study, output: str) -> list[str]:
    """Write the pictures of a study; return lines with their paths."""
    figures = ", ".join(str(run.path / "figures") for run in study.best.values())
    if not output and len(study.folders) > 1:
        return [f"--output=DIR writes the curves    pictures of the best run: {figures}"]
    folder = Path(output or study.folders[0])
    folder.mkdir(parents=True, exist_ok=True)
    curves, *others = draw(folder, study.groups, study.metric, study.curve, study.objective)
    searches = draw_search(study.folders[0], folder) if len(study.folders) == 1 else []
    return [
        f"curves: {curves}    pictures of the best run: {figures}",
        *(f"metric by settings: {path}" for path in others),
        *(f"trials of the search: {path}" for path in searches),
    ]


def main(argv: list[str]) -> None:
    """Print the report of --workdir; on an error, print one line and exit with 2."""
    open_standard_streams()
    values = flags.FlagValues()
    for name, default, description in (
        ("workdir", None, "folder of one or more runs, or several folders with commas"),
        ("save", "", "file to write the study's result to"),
        ("command", "", "command of the study, recorded in its result"),
        ("baseline", "", "NAME=VALUE,... of the configuration to compare the others with"),
        ("metric", "", "metric of the table; default: the headline"),
        ("output", "", "folder of the pictures or the page; default: the one folder of --workdir"),
    ):
        flags.DEFINE_string(name, default, description, flag_values=values)
    forms = [*FORMS, PAGE]
    flags.DEFINE_string("format", "text", f"one of {', '.join(forms)}", flag_values=values)
    flags.mark_flag_as_required("workdir", flag_values=values)
    try:
        if rest := values(argv)[1:]:
            raise ValueError(f"flags begin with --, got {rest[0]!r}")
        if (form := values.format) not in forms:
            listed = ", ".join(forms)
            raise ValueError(f"--format must be one of {listed}, got {form!r}{hint(form, forms)}")
        stdout, stderr = report(
            *split_folders(values.workdir),
            save=os.path.expanduser(values.save),
            command=values.command,
            baseline=values.baseline,
            metric=values.metric,
            form=form,
            output=os.path.expanduser(values.output),
        )
        print(stdout)
        print(stderr, end="\n" * bool(stderr), file=sys.stderr)
    except (flags.Error, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
