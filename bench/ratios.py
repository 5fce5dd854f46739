"""The ratios of all benchmarks in bench/README.md, made from the files of the benchmarks.

    python -m bench.ratios

The page has the tables with ratios, without their columns of times and other measured quantities.
If one of them has geometric means, the page has that one only; if a file has no ratios, the page
has all its tables.
"""

import ast
import re
from pathlib import Path

from bench.tables import Table, markdown, read_page

QUANTITY = re.compile(r"\b(ms|seconds?|least|tokens|rounds|passes|MB)\b")
RATIO = re.compile(r" / |\btimes\b|\bratio\b|\bspeed-up\b|\bexponent\b")
HEADING = """\
# Ratios of all benchmarks

`make results` makes this page from the other files of this folder, which have all figures. A column
`A / B` is the time of A divided by that of B, so `time / ours` is above 1 where ours is faster. A
ratio is the median of the ratios of the rounds, with the quartiles in brackets if they are known.
Each section names its machine; sections of different machines cannot be compared.
"""


def is_ratio(name: str) -> bool:
    """Return whether a column with this header has ratios."""
    return bool(RATIO.search(name)) and not QUANTITY.search(name)


def short(table: Table) -> Table:
    """Lines of a table that have a ratio, without the columns of measured quantities."""
    lines = [line for line in table if any(line[name] for name in line if is_ratio(name))]
    return [{name: line[name] for name in line if not QUANTITY.search(name)} for line in lines]


def short_tables(tables: list[Table]) -> list[Table]:
    """The tables of a file that its section has."""
    found = [lines for table in tables if (lines := short(table))]
    means = [table for table in found if next(iter(table[0])).endswith("mean")]
    return means or found or tables


def body(path: Path) -> str:
    """Markdown of a benchmark: what it compares, its short tables, its machine and command."""
    page = read_page(path)
    doc = ast.get_docstring(ast.parse(path.with_suffix(".py").read_text(encoding="utf-8"))) or ""
    parts = [doc.partition("\n")[0], *map(markdown, short_tables(page.tables))]
    return "\n\n".join([*parts, f"{page.setup}: `{page.command}`"])


def make_page(folder: Path) -> str:
    """Markdown of the page of a folder: a section for each of its files of benchmarks."""
    sections = [
        f"## {read_page(path).title}\n\n{body(path)}\n\n[All figures]({path.name})\n"
        for path in sorted(folder.glob("*.md"))
        if path.name != "README.md"
    ]
    return "\n".join([HEADING, *sections])


if __name__ == "__main__":
    here = Path(__file__).parent
    (here / "README.md").write_text(make_page(here), encoding="utf-8")
