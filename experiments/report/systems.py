"""The results of all systems in experiments/README.md, made from the files of finished studies.

    python -m experiments.report.systems

replaces the text between the two markers of experiments/README.md, and writes
experiments/index.json, which `python -m experiments` shows.
"""

import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.report.index import make_index, mean_time
from experiments.report.intervals import mean_interval, paired_difference

BEGIN, END = "<!-- table: made by `make results` -->", "<!-- end of table -->"
MISSING = "not measured"
WIDTH = 96  # of a line of a command
LONG = 6  # a table with more rows is folded
GROUPS = {
    "A": "Units, feed-forward networks, representation",
    "B": "Convolution",
    "C": "Recurrence",
    "D": "Sequence to sequence",
    "E": "Properties of all runs",
}


def read_systems(folder: Path) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Each system of `folder`/systems.toml with those of its results that `folder`/results has.

    Raises ValueError when no system names a result.
    """
    systems = tomllib.loads((folder / "systems.toml").read_text(encoding="utf-8"))["system"]
    paths = {path.stem: path for path in sorted((folder / "results").glob("[!.]*.json"))}
    used = {name for system in systems for name in system.get("results", [])}
    if unused := sorted(set(paths) - used):
        raise ValueError(f"no system in systems.toml names the result {', '.join(unused)}")
    results = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items()}
    return [
        (system, [results[name] for name in system.get("results", []) if name in results])
        for system in systems
    ]


def make_table(folder: Path) -> str:
    """Markdown: a section for each group and system of `folder`/systems.toml, with its results.

    The title of a system is that of its page below docs/systems, if it has one. Raises ValueError
    when no system names a result, or when a result has no row of the baseline.
    """
    lines = []
    entries = read_systems(folder)
    for name in dict.fromkeys(system["id"] for system, _ in entries):
        if (group := f"## {name[0]}. {GROUPS[name[0]]}") not in lines:
            lines += [group, ""]
        page = folder.parent / "docs" / "systems" / f"{name.lower()}.md"
        if page.is_file():
            title = page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
            lines += [f"### {title}", "", f"[Equation and code](../docs/systems/{page.name})", ""]
        elif name not in GROUPS:
            lines += [f"### {name}", ""]
        for system, results in entries:
            if system["id"] == name:
                lines += system_lines(system, results)
                if "picture" in system:
                    lines += [f"[Picture]({system['picture']})", ""]
    return "\n".join(lines).strip()


def results_text(identifier: str, folder: Path) -> list[str]:
    """Lines of Markdown: published and measured values of a system, with the commands.

    Raises ValueError for an identifier that systems.toml does not have.
    """
    entries = [entry for entry in read_systems(folder) if entry[0]["id"] == identifier]
    if not entries:
        raise ValueError(f"experiments/systems.toml has no system {identifier!r}")
    return [line for system, results in entries for line in system_lines(system, results)]


def system_lines(system: dict[str, Any], results: list[dict[str, Any]]) -> list[str]:
    """Lines of Markdown: an entry of systems.toml, and each result with its command below it.

    An entry without results may list the tests that verify it, or a picture. `baseline` names one
    row of a result; the other rows then also show their difference from it in the first metric, on
    the same seeds. `chosen` says how the settings of the results were chosen.
    """
    published = system["published"]
    lines = [f"**{system['name']}**" + f"; published: {published}" * bool(published), ""]
    if system.get("tests"):
        tests = ", ".join(f"`{name}`" for name in system["tests"])
        lines += [f"Tests: {tests}.", ""]
    elif not results and "picture" not in system:
        lines += [f"{MISSING.capitalize()}.", ""]
    for result in results:
        header = (ours(result, system["show"]), "time a run")
        table = markdown(header, result_cells(result, system["show"], system.get("baseline", "")))
        if len(result["rows"]) > LONG:
            summary = f"<summary>{len(result['rows'])} rows</summary>"
            table = ["<details>", summary, "", *table, "", "</details>"]
        lines += [*table, "", f"Measured on {result['machine']}, with", ""]
        lines += ["```sh", *continued(result["command"]), "```", ""]
    if results and "chosen" in system:
        lines += [f"Chosen: {system['chosen']}", ""]
    return lines


def ours(result: dict[str, Any], show: list[str]) -> str:
    """Header of the measured values: in a sweep it says which parameters they belong to."""
    which = ""
    if result["command"].startswith("python launch.py"):
        best = all(metric.partition("/")[0].endswith("_best") for metric in show)
        which = ", best checkpoint" if best else ", last step"
    return f"ours{which}: mean, 95 % interval, n"


def continued(command: str) -> list[str]:
    """Lines of at most WIDTH characters, if its words allow, that are one command of the shell."""
    lines: list[str] = []
    for word in re.findall(r"""(?:'[^']*'|"[^"]*"|[^\s'"])+""", command):
        if lines and len(lines[-1]) + len(f"   {word} \\") <= WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return " \\\n  ".join(lines).split("\n")


def markdown(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lines of a table in Markdown."""
    return ["| " + " | ".join(row) + " |" for row in (header, ("---",) * len(header), *rows)]


def result_cells(result: dict[str, Any], show: list[str], baseline: str) -> list[tuple[str, str]]:
    """Measured values and time of each group of a result.

    Raises ValueError when no group is the baseline.
    """
    labels = [
        ", ".join(setting_text(name, value) for name, value in row["settings"].items())
        for row in result["rows"]
    ]
    if baseline and baseline not in labels:
        raise ValueError(f"no row is the baseline {baseline!r}; the rows are {'; '.join(labels)}")

    cells = []
    for row, label in zip(result["rows"], labels, strict=True):
        metrics = []
        for metric in show:
            mean, half = mean_interval(row["metrics"][metric])
            metrics.append(f"{metric} {figure(mean)}{plus_minus(half)}")
        if baseline and label != baseline:
            change = difference(row, result["rows"][labels.index(baseline)], show[0])
            metrics.append(f"{show[0]} minus that of {baseline} {change}")
        values = f"{label}: " * bool(label) + "; ".join(metrics) + f"; n = {len(row['seeds'])}"
        cells.append((values, mean_time(row["seconds"])))
    return cells


def setting_text(name: str, value: Any) -> str:
    """Name and value of a setting; an empty text is "none"."""
    return f"{name} {'none' if value == '' else value}"


def difference(row: dict[str, Any], other: dict[str, Any], metric: str) -> str:
    """Mean difference of a metric from that of another row on the same seeds, its interval, n."""
    values, baseline = (
        dict(zip(r["seeds"], r["metrics"][metric], strict=True)) for r in (row, other)
    )
    mean, half, pairs = paired_difference(values, baseline)
    return f"{mean:+.4f}{plus_minus(half)} ({pairs} pairs)" if mean is not None else "unknown"


def plus_minus(half: float | None) -> str:
    """Suffix with half the width of an interval, or "" without one."""
    return "" if half is None else f" ± {figure(half)}"


def figure(value: float) -> str:
    """Four decimals of a number below 100, or one of a larger one."""
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.1f}"


def fill(text: str, table: str) -> str:
    """Return the text with the sections between its two markers."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


if __name__ == "__main__":
    here = Path(__file__).parents[1]
    readme = here / "README.md"
    readme.write_text(fill(readme.read_text(encoding="utf-8"), make_table(here)), encoding="utf-8")
    (here / "index.json").write_text(make_index(here), encoding="utf-8")
