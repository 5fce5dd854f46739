"""The table of all systems in experiments/README.md, made from the results of finished studies.

    python -m experiments.report.systems

replaces the text between the two markers of experiments/README.md.
"""

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.report.runs import mean_interval, paired_difference

BEGIN, END = "<!-- table: made by `make results` -->", "<!-- end of table -->"
HEADER = ("", "system", "published", "ours: mean, 95 % interval, n", "time a run", "machine")
MISSING = "not measured"


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
    """Markdown table of `folder`/systems.toml, filled from `folder`/results/*.json.

    A system without results may list the tests that verify it, or a picture. `baseline` names one
    row of a result; the other rows then also show their difference from it in the first metric, on
    the same seeds.

    Raises ValueError when no system names a result, or when a result has no row of the baseline.
    """
    rows = []
    commands = []
    for system, results in read_systems(folder):
        first = (system["id"], system["name"], system["published"] or "-")
        if not results:
            evidence = f"[picture]({system['picture']})" if "picture" in system else MISSING
            rows.append((*first, tests_of(system) or evidence, "", ""))
        for result in results:
            for cells in result_cells(result, system["show"], system.get("baseline", "")):
                rows.append((*first, *cells))
                first = ("", "", "")  # the following rows belong to the same system
            commands.append(f"    {result['command']}")
    lines = markdown(HEADER, rows)
    return "\n".join([*lines, "", "The commands, in the order of the rows:", "", *commands])


def markdown(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lines of a table in Markdown."""
    return ["| " + " | ".join(row) + " |" for row in (header, ("---",) * len(header), *rows)]


def tests_of(system: dict[str, Any]) -> str:
    """Text that names the tests of a system, "" if it names none."""
    tests = ", ".join(f"`{name}`" for name in system.get("tests", []))
    return f"tests: {tests}" if tests else ""


def result_cells(
    result: dict[str, Any], show: list[str], baseline: str
) -> list[tuple[str, str, str]]:
    """Last three cells of the table row of each group of a result.

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
            metrics.append(f"{metric} {mean:.4f}{plus_minus(half)}")
        if baseline and label != baseline:
            change = difference(row, result["rows"][labels.index(baseline)], show[0])
            metrics.append(f"{show[0]} minus that of {baseline} {change}")
        ours = f"{label}: " * bool(label) + "; ".join(metrics) + f"; n = {len(row['seeds'])}"
        cells.append((ours, mean_time(row["seconds"]), result["machine"]))
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
    return "" if half is None else f" ± {half:.4f}"


def mean_time(seconds: list[float | None]) -> str:
    """Mean time of a run; "-" if a run was killed, which makes its time unknown."""
    known = [value for value in seconds if value is not None]
    if len(known) < len(seconds):
        return "-"
    mean = sum(known) / len(known)
    return f"{mean:.0f} s" if mean < 100 else f"{mean / 60:.1f} min"


def fill(text: str, table: str) -> str:
    """Return the text with the table between its two markers."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


if __name__ == "__main__":
    here = Path(__file__).parents[1]
    readme = here / "README.md"
    readme.write_text(fill(readme.read_text(encoding="utf-8"), make_table(here)), encoding="utf-8")
