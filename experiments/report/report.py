"""Table, pictures and samples of a folder of runs, made from the run directories.

    python -m experiments.report --workdir=runs/demo --baseline=cell=lstm --format=markdown

--baseline adds the difference of every configuration from that one, on the same seeds. With another
format than text, stdout contains only the table, and all other lines go to stderr.
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
from experiments.report.runs import (
    NOT_SETTINGS,
    Group,
    Run,
    check_seeds,
    group_runs,
    load_runs,
    mean_interval,
)
from experiments.report.search import draw_search
from experiments.report.study import find_baseline, find_metric
from experiments.report.tables import FORMS, make_table
from train.process import open_standard_streams
from train.rundir import read_json


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
    folder: Path,
    *,
    save: str = "",
    command: str = "",
    baseline: str = "",
    metric: str = "",
    form: str = "text",
) -> tuple[str, str]:
    """Write pictures to the folder and the study's result to `save`; return (stdout, stderr).

    Raises ValueError when there is no finished run, when `save` is given and a run is unfinished,
    when `baseline` or `metric` matches nothing, when two runs are the same, and when the runs
    belong to several experiments.
    """
    runs = load_runs(folder)
    finished = [(run, run.result) for run in runs if run.result]
    unfinished = [run for run in runs if not run.result]
    if not finished:
        raise ValueError(f"there is no finished run in {folder}")
    if save and unfinished:
        how = "is not finished" if unfinished[0].begun else "has not started"
        raise ValueError(f"{unfinished[0].path} {how}: no result is written")
    if len({result["headline"] for _, result in finished}) > 1:
        raise ValueError(f"the runs in {folder} belong to several experiments")
    groups = group_runs(runs)
    check_seeds(groups)
    name = find_metric(metric, [result for _, result in finished])
    baseline_group = find_baseline(baseline, groups) if baseline else None
    best, result = min(finished, key=lambda pair: pair[1]["metrics"][pair[1]["objective"]])
    held_out = result["curve"].rpartition("/")[0] + "/" + name.rpartition("/")[2]
    curve = held_out if held_out in result["metrics"] else name
    curves, *others = draw(folder, groups, name, curve, result["objective"])
    table = FORMS[form](make_table(groups, name, baseline_group))
    notes = [run.state for run in unfinished]
    notes.append(f"curves: {curves}    pictures of the best run: {best.path / 'figures'}")
    notes += [f"metric by settings: {path}" for path in others]
    notes += [f"trials of the search: {path}" for path in draw_search(folder)]
    if save:
        text = json.dumps(summary(groups, result["headline"], command), indent=1)
        Path(save).parent.mkdir(parents=True, exist_ok=True)
        Path(save).write_text(text + "\n", encoding="utf-8")
        notes.append(f"result: {save}")
    if form == "text":
        return "\n\n".join(filter(None, (samples(best), table, *notes))), ""
    return table, "\n".join(notes)


def main(argv: list[str]) -> None:
    """Print the report of --workdir; on an error, print one line and exit with 2."""
    open_standard_streams()
    values = flags.FlagValues()
    for name, default, description in (
        ("workdir", None, "folder of one or more runs"),
        ("save", "", "file to write the study's result to"),
        ("command", "", "command of the study, recorded in its result"),
        ("baseline", "", "NAME=VALUE,... of the configuration to compare the others with"),
        ("metric", "", "metric of the table; default: the headline"),
    ):
        flags.DEFINE_string(name, default, description, flag_values=values)
    flags.DEFINE_enum("format", "text", list(FORMS), "format of the table", flag_values=values)
    flags.mark_flag_as_required("workdir", flag_values=values)
    try:
        if rest := values(argv)[1:]:
            raise ValueError(f"flags begin with --, got {rest[0]!r}")
        stdout, stderr = report(
            Path(os.path.expanduser(values.workdir)),
            save=os.path.expanduser(values.save),
            command=values.command,
            baseline=values.baseline,
            metric=values.metric,
            form=values.format,
        )
        print(stdout)
        print(stderr, end="\n" * bool(stderr), file=sys.stderr)
    except (flags.Error, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
