"""The table of a sweep, as text, CSV, Markdown or LaTeX.

An interval column contains half the width of the 95 % interval (Student's t) of the mean before it.
The column `difference` says whether a difference from the baseline is significant.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.report.intervals import differences, mean_interval, mean_seconds, paired_difference
from experiments.report.runs import Group
from experiments.report.significance import verdicts

OF_LATEX = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        **{character: f"{{{character}}}" for character in "[*"},  # after \\ they would be an option
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
    }
)


@dataclass(frozen=True)
class Table:
    """One row per configuration: the settings, then the results; None for what is missing.

    settings: names of the first columns. formats: name and format of each column of results.
    """

    settings: list[str]
    formats: dict[str, str]
    rows: list[list[Any]]

    @property
    def header(self) -> list[str]:
        """Names of all columns."""
        return [*self.settings, *self.formats]

    def cells(self) -> list[list[str]]:
        """Header and rows as formatted text, without newlines."""
        templates = [*("{!s}" for _ in self.settings), *self.formats.values()]
        rows = [
            [
                "-" if value is None else template.format(value).replace("\n", "\\n")
                for value, template in zip(row, templates, strict=True)
            ]
            for row in self.rows
        ]
        return [self.header, *rows]


def make_table(groups: Sequence[Group], metric: str, baseline: Group | None) -> Table:
    """Table of the groups; a baseline adds the difference from it on common seeds."""
    formats = {metric: "{:.4f}", "95 % interval": "+- {:.4f}", "n": "{}", "best step": "{}"}
    if baseline:
        formats |= {
            f"minus {baseline.label}": "{:+.4f}",
            "its 95 % interval": "+- {:.4f}",
            "pairs": "{}",
            "difference": "{}",
        }
    formats["seconds a run"] = "{:.0f}"
    others = [group.by_seed(metric) for group in groups if baseline and group is not baseline]
    usual = baseline.by_seed(metric) if baseline else {}
    words = iter(verdicts([differences(values, usual) for values in others]))
    rows = []
    for group in groups:
        values, results = group.values(metric), group.results
        steps = sorted({result["best_step"] for result in results})
        row = [
            *group.settings.values(),
            *(mean_interval(values) if values else (None, None)),
            len(values),
            ", ".join(map(str, steps)) or None,
        ]
        if group is baseline:
            row += (None, None, None, None)
        elif baseline:
            row += (*paired_difference(group.by_seed(metric), usual), next(words))
        rows.append([*row, mean_seconds(results) if results else None])
    return Table(list(groups[0].settings), formats, rows)


def aligned(
    table: Table, cells: list[list[str]], least: int = 1
) -> tuple[list[list[str]], list[int]]:
    """Cells padded to the widths of their columns, and those widths, at least `least`.

    Settings are left-aligned, numbers right-aligned.
    """
    widths = [max(least, *map(len, column)) for column in zip(*cells, strict=True)]
    count = len(table.settings)
    padded = [
        [
            cell.ljust(width) if i < count else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in cells
    ]
    return padded, widths


def text(table: Table) -> str:
    """Aligned columns for a terminal."""
    (header, *rows), widths = aligned(table, table.cells())
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def markdown(table: Table) -> str:
    """Aligned Markdown table."""
    cells = [[cell.replace("+-", "±").replace("|", "\\|") for cell in row] for row in table.cells()]
    (header, *rows), widths = aligned(table, cells, least=3)  # a rule needs three dashes
    rules = ["-" * width for width in widths]
    for i in range(len(table.settings), len(rules)):
        rules[i] = rules[i][1:] + ":"
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rules, *rows))


def latex(table: Table) -> str:
    """A tabular environment with the rules of booktabs."""

    def line(row: list[str]) -> str:
        cells = (cell.translate(OF_LATEX).replace("+-", r"$\pm$") for cell in row)
        return " & ".join(re.sub(r"^-(?=\d)", "$-$", cell) for cell in cells) + r" \\"

    header, *rows = map(line, table.cells())
    columns = "l" * len(table.settings) + "r" * len(table.formats)
    begin = [f"\\begin{{tabular}}{{{columns}}}", r"\toprule", header, r"\midrule"]
    return "\n".join([*begin, *rows, r"\bottomrule", r"\end{tabular}"])


def comma_separated(table: Table) -> str:
    """CSV in full precision; a missing number is an empty cell."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([table.header, *table.rows])
    return file.getvalue().rstrip("\n")


FORMS = {"text": text, "csv": comma_separated, "markdown": markdown, "latex": latex}
