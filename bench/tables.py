"""Tables of the benchmarks: on the terminal, and in a Markdown file with the command."""

import argparse
import dataclasses
import shlex
import sys
from pathlib import Path

import jax

from train.environment import machine

Table = list[dict[str, str]]


@dataclasses.dataclass(frozen=True)
class Page:
    """What the file of a benchmark has; setup: machine, kind of device and version of jax."""

    title: str
    command: str
    setup: str
    tables: list[Table]

    def text(self) -> str:
        """Markdown of the whole file, from which `read_page` makes the page again."""
        return f"# {self.title}\n\n`{self.command}`\n\n{self.measured()}"

    def measured(self) -> str:
        """Markdown of the setup and the tables."""
        return "\n\n".join([self.setup, *map(markdown, self.tables)]) + "\n"


def arguments(doc: str) -> argparse.ArgumentParser:
    """Parser with --save and --rounds; its description is the first line of `doc`."""
    parser = argparse.ArgumentParser(description=doc.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=9, help="number of timed rounds")
    parser.add_argument("--save", type=Path, help="Markdown file to write")
    return parser


def markdown(lines: Table) -> str:
    """Table with aligned columns; the keys of the first line are the header."""
    rows = [list(lines[0]), *([line[name] for name in lines[0]] for line in lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    )


def setup() -> str:
    """The machine, the kind of device and the version of jax of this process."""
    return f"{machine()}; {jax.devices()[0].device_kind}; jax {jax.__version__}"


def publish(name: str, title: str, tables: list[Table], save: Path | None) -> None:
    """Print the tables of the benchmark `name`; write them to `save` with the command."""
    command = shlex.join(["python", "-m", f"bench.{name}", *sys.argv[1:]])
    page = Page(title, command, setup(), tables)
    print(page.measured(), end="")
    if save:
        save.write_text(page.text(), encoding="utf-8")


def read_page(path: Path) -> Page:
    """Read the file of a benchmark, which is as `publish` writes it; ValueError for another."""
    title, *parts = path.read_text(encoding="utf-8").strip().split("\n\n")
    if len(parts) < 3 or not title.startswith("# ") or any(part[0] != "|" for part in parts[2:]):
        raise ValueError(f"{path} is not a title, a command, a machine and tables")
    tables = [read_table(part.split("\n")) for part in parts[2:]]
    return Page(title.removeprefix("# "), parts[0].strip("`"), parts[1], tables)


def read_table(rows: list[str]) -> Table:
    """Lines of a table in Markdown whose cells have no vertical bar."""
    header, _, *cells = ([cell.strip() for cell in row.split("|")[1:-1]] for row in rows)
    return [dict(zip(header, line, strict=True)) for line in cells]
