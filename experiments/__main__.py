"""The table of all systems, made from the results of finished studies.

    python -m experiments

rewrites the part of experiments/README.md between its two markers.
"""

import json
import tomllib
from pathlib import Path
from typing import Any

from experiments.report.runs import mean_interval, paired_difference

BEGIN, END = "<!-- table: made by `make results` -->", "<!-- end of table -->"
HEADER = ("", "system", "published", "ours: mean, 95 % interval, n", "time a run", "machine")
MISSING = "not measured"


def make_table(folder: Path) -> str:
    """Markdown table of `folder`/systems.toml filled from `folder`/results/*.json.

    A system that is an identity names the tests that hold it, in place of results, and one that is
    looked at names its picture. `baseline` names the group, as its row does, from which the others'
    difference in the first metric on the same seeds is printed.

    Raises ValueError when a result belongs to no system, or has no row that is its baseline.
    """
    systems = tomllib.loads((folder / "systems.toml").read_text(encoding="utf-8"))["system"]
    paths = {path.stem: path for path in sorted((folder / "results").glob("*.json"))}
    used = {name for system in systems for name in system.get("results", [])}
    if lost := sorted(set(paths) - used):
        raise ValueError(f"no system in systems.toml names the result {', '.join(lost)}")
    rows = [HEADER, tuple("---" for _ in HEADER)]
    commands = []
    for system in systems:
        first = (system["id"], system["name"], system["published"] or "-")
        made = [name for name in system.get("results", []) if name in paths]
        if not made:
            held = ", ".join(f"`{name}`" for name in system.get("tests", []))
            shown = f"[picture]({system['picture']})" if "picture" in system else MISSING
            rows.append((*first, f"tests: {held}" if held else shown, "", ""))
        for name in made:
            result = json.loads(paths[name].read_text(encoding="utf-8"))
            for cells in result_cells(result, system["show"], system.get("baseline", "")):
                rows.append((*first, *cells))
                first = ("", "", "")  # further rows are of the same system
            commands.append(f"    {result['command']}")
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines, "", "The commands, in the order of the rows:", "", *commands])


def result_cells(
    result: dict[str, Any], show: list[str], baseline: str
) -> list[tuple[str, str, str]]:
    """Last three cells of a row for each group of a result.

    Raises ValueError when there is a baseline that no group is.
    """
    labels = [
        ", ".join(f"{name} {value}" for name, value in row["settings"].items())
        for row in result["rows"]
    ]
    if baseline and baseline not in labels:
        raise ValueError(f"no row is the baseline {baseline!r}; there are {'; '.join(labels)}")

    cells = []
    for row, settings in zip(result["rows"], labels, strict=True):
        figures = []
        for metric in show:
            mean, half = mean_interval(row["metrics"][metric])
            figures.append(f"{metric} {mean:.4f}{plus_minus(half)}")
        if baseline and settings != baseline:
            apart = difference(row, result["rows"][labels.index(baseline)], show[0])
            figures.append(f"{show[0]} minus that of {baseline} {apart}")
        ours = f"{settings}: " * bool(settings) + "; ".join(figures) + f"; n = {len(row['seeds'])}"
        cells.append((ours, mean_time(row["seconds"]), result["machine"]))
    return cells


def difference(row: dict[str, Any], other: dict[str, Any], metric: str) -> str:
    """Mean difference of a metric from that of another row on the same seeds, its interval, n."""
    both = (dict(zip(r["seeds"], r["metrics"][metric], strict=True)) for r in (row, other))
    mean, half, pairs = paired_difference(*both)
    return f"{mean:+.4f}{plus_minus(half)} ({pairs} pairs)" if mean is not None else "unknown"


def plus_minus(half: float | None) -> str:
    """Half an interval after its mean; nothing where there is none."""
    return "" if half is None else f" ± {half:.4f}"


def mean_time(seconds: list[float | None]) -> str:
    """Mean time of a run; - when one was killed, so that its time is not known."""
    known = [value for value in seconds if value is not None]
    if len(known) < len(seconds):
        return "-"
    mean = sum(known) / len(known)
    return f"{mean:.0f} s" if mean < 100 else f"{mean / 60:.1f} min"


def fill(text: str, table: str) -> str:
    """Return text with what stands between the markers replaced by the table."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


if __name__ == "__main__":
    here = Path(__file__).parent
    readme = here / "README.md"
    readme.write_text(fill(readme.read_text(encoding="utf-8"), make_table(here)), encoding="utf-8")
