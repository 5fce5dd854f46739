"""A report as one HTML file, which needs no other file, no server and no network.

    python -m experiments runs/lenet5 --mode=report
    python launch.py --report --workdir=runs/rates --format=html

page.html is the template, page.css its style, and page.js draws the curves from the numbers in the
file. Every text is escaped, and the policy of the file allows no other script, style or address.
"""

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template
from typing import Any

from experiments.report.curves import MOST, mean_with_interval
from experiments.report.provenance import (
    command_of,
    differing,
    flat,
    flat_environment,
    read_object,
    settings_of,
    shared,
)
from experiments.report.runs import Group, Run, best_groups, evenly
from experiments.report.study import Study, read_study
from experiments.report.tables import make_table
from train.config import ConfigError
from train.files import replace_file

HERE = Path(__file__).parent
POINTS = 300  # maximum points of a curve
STEPS = 10  # maximum steps of a figure


def report(workdir: Path) -> None:
    """Write WORKDIR/report.html: results, curves and figures of a finished run as one page."""
    try:
        print(write_page(read_study([workdir]), workdir))
    except ValueError as error:
        raise ConfigError(str(error)) from error


def write_page(study: Study, folder: Path, comparison: str = "") -> Path:
    """Write report.html to a folder and return its path; comparison: how rows are compared."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / "report.html", page(study, comparison))
    return folder / "report.html"


def page(study: Study, comparison: str = "") -> str:
    """Text of the HTML file about a study."""
    style, script = ((HERE / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    curves = curve_data(study)
    finished = sum(run.result is not None for run in study.runs)
    names = [name for name in study.best if name]
    thinned = f" At most {POINTS} points of each curve are drawn."
    fewer = f" At first, the best {MOST} configurations by {study.objective} are shown."
    environments = [flat_environment(run) for run in study.runs if run.begun]
    settings = [settings_of(run) for run in study.runs]
    data = [flat(read_object(run.path / "data.json")) for run in study.runs if run.begun]
    common = [
        ("setting", shared(settings)),
        ("data", shared(data)),
        ("environment", shared(environments)),
    ]
    table = make_table(study.groups, study.metric, study.baseline)
    cells = table.cells()
    return Template((HERE / "page.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(f"{', '.join(names) or 'Runs'}: {study.title}"),
        counts=f"{plural(len(study.runs), 'run')}, {finished} finished; "
        f"{plural(len(study.groups), 'configuration')}",
        style=style,
        style_hash=source_hash(style),
        script=script,
        script_hash=source_hash(script),
        data=embedded(curves),
        curves_note=thinned + fewer * (len(study.groups) > MOST),
        results=table_of(cells[0], cells[1:], len(table.settings)) + paragraph(comparison),
        figures="".join(figures_of(name, run) for name, run in study.best.items()),
        differing=differences_of(settings, environments) if len(settings) > 1 else "",
        runs=runs_table(study),
        shared="".join(table_of((kind, "value"), rows, 2) for kind, rows in common if rows),
        commands=commands_of(study.best.values()),
    )


def source_hash(text: str) -> str:
    """Hash by which the policy of the file allows exactly this script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def embedded(value: Any) -> str:
    """JSON for a script element, which no text in it can close."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def plural(count: int, noun: str) -> str:
    """Count with its noun."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def paragraph(text: str) -> str:
    """Paragraph of small print, "" without text."""
    return f'<p class="note">{html.escape(text)}</p>' if text else ""


def table_of(header: Sequence[str], rows: Iterable[Sequence[str]], texts: int) -> str:
    """Table in a box that scrolls; the first `texts` columns are left-aligned."""

    def row(tag: str, cells: Sequence[str]) -> str:
        made = []
        for i, cell in enumerate(cells):
            kind = "number" if i >= texts else "long" if len(cell) > 40 else ""
            text = html.escape(re.sub(r"^\+-", "±", cell))
            made.append(f"<{tag}{kind and f' class={kind}'}>{text}</{tag}>")
        return f"<tr>{''.join(made)}</tr>"

    label = html.escape(f"Table: {header[0]}", quote=True)
    body = "\n".join(row("td", cells) for cells in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table>'
        f"<thead>{row('th', header)}</thead>\n<tbody>{body}</tbody></table></div>"
    )


def curve_data(study: Study) -> dict[str, Any]:
    """Labels of the groups, which of them are shown at first, and the curves of each metric.

    The mean of a group is [steps, means, half intervals], a run is [steps, values].
    """
    best = best_groups(study.groups, study.objective, MOST)
    metrics = []
    candidates = [study.curve, study.objective]
    candidates += ["train/" + name.rpartition("/")[2] for name in candidates]
    for name in dict.fromkeys(candidates):
        groups = [
            {
                "mean": series(*mean_with_interval(group, name, POINTS)),
                "runs": [series(*zip(*points, strict=True)) for points in curves_of(group, name)],
            }
            for group in study.groups
        ]
        if any(group["runs"] for group in groups):
            metrics.append({"name": name, "groups": groups})
    return {
        "labels": [group.label for group in study.groups],
        "shown": [any(group is each for each in best) for group in study.groups],
        "metrics": metrics,
    }


def curves_of(group: Group, metric: str) -> list[list[tuple[int, float]]]:
    """Points (step, value) of the runs that have measured the metric, at most POINTS of each."""
    curves = (run.curve(metric) for run in group.runs)
    return [evenly(list(curve.items()), POINTS) for curve in curves if curve]


def series(steps: Sequence[int], *values: Sequence[float]) -> list[list[Any]]:
    """Steps and values of a curve as JSON can express them."""
    return [list(steps), *([rounded(value) for value in each] for each in values)]


def rounded(value: float) -> float | None:
    """Value with six digits; None if it is not finite, which JSON cannot express."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def figures_of(name: str, run: Run) -> str:
    """Section with the figures and texts of a run, each with a slider for its steps."""
    found: dict[str, dict[int, Path]] = {}
    for path in sorted((run.path / "figures").glob("[!.]*")):
        figure, _, step = path.stem.rpartition("-")
        if path.suffix in (".png", ".txt") and figure and step.isdecimal():
            found.setdefault(figure, {})[int(step)] = path
    if not found:
        return ""
    of_name = f" of {name}" * bool(name)
    figures = "\n".join(figure_of(figure, paths) for figure, paths in found.items())
    return (
        f"<section><h2>Figures of the best run{html.escape(of_name)}</h2>\n"
        f"{paragraph(str(run.path))}\n"
        f'<div class="figures">{figures}</div></section>\n'
    )


def figure_of(name: str, paths: dict[int, Path]) -> str:
    """Figure with all of its steps, of which the last is shown; a script lets its slider choose."""
    steps = evenly(list(paths), STEPS)
    label = html.escape(name)
    parts = []
    for step in steps:
        attributes = f'data-step="{step}"{" hidden" if step != steps[-1] else ""}'
        content = paths[step].read_bytes()
        if paths[step].suffix == ".txt":
            text = html.escape(content.decode("utf-8", "replace").strip("\n"))
            parts.append(f'<pre class="wrap" tabindex="0" {attributes}>\n{text}</pre>')
        else:
            source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
            parts.append(f'<img {attributes} alt="{label} at step {step}" src="{source}">')
    last = len(steps) - 1
    slider = f'<input type="range" max="{last}" value="{last}" aria-label="step of {label}" hidden>'
    caption = f"<figcaption>{label} <output>step {steps[-1]}</output></figcaption>"
    return f"<figure>{caption}{slider if last else ''}{''.join(parts)}</figure>"


def differences_of(
    settings: Sequence[dict[str, Any]], environments: Sequence[dict[str, Any]]
) -> str:
    """Section with the settings and parts of the environment that are not the same in all runs."""
    found = (("setting", differing(settings)), ("environment", differing(environments)))
    tables = "".join(table_of((kind, "values"), rows, 2) for kind, rows in found if rows)
    tables = tables or "<p>Nothing: settings and environments are the same.</p>"
    return f"<section><h2>What differs between the runs</h2>\n{tables}</section>"


def runs_table(study: Study) -> str:
    """Table of all runs: folder, state, settings that vary between groups, seed and results."""
    settings = list(study.groups[0].settings)
    rows = []
    for group in study.groups:
        for run in group.runs:
            result = run.result or {}
            value, seconds = result.get("metrics", {}).get(study.metric), result.get("seconds")
            varying = ["-" if v is None else str(v) for v in group.settings.values()]
            rows.append(
                [
                    shown_path(study, run),
                    "finished" if run.result else run.state.replace(f": {run.path}", ""),
                    *varying,
                    str(run.config["seed"]),
                    "-" if value is None else f"{value:.4f}",
                    str(result.get("best_step", "-")),
                    "-" if seconds is None else f"{seconds:.0f}",
                ]
            )
    header = ["run", "state", *settings, "seed", study.metric, "best step", "seconds"]
    return table_of(header, rows, 2 + len(settings))


def shown_path(study: Study, run: Run) -> str:
    """Path of a run, below the folder of the study if there is only one."""
    below = len(study.folders) == 1 and run.path != study.folders[0]
    return str(run.path.relative_to(study.folders[0]) if below else run.path)


def commands_of(runs: Iterable[Run]) -> str:
    """Section with the commands that repeat the best runs."""
    found = map(html.escape, filter(None, map(command_of, runs)))
    commands = "\n".join(f'<pre class="wrap" tabindex="0">{command}</pre>' for command in found)
    heading = "<h2>Command of the best run</h2>"
    return f"<section>{heading}\n{commands}\n</section>" if commands else ""
