"""Tables of the benchmarks: on the terminal, and in a Markdown file with the command."""

import argparse
import shlex
import sys
from pathlib import Path

import jax

from train.environment import machine


def arguments(doc: str) -> argparse.ArgumentParser:
    """Parser with --save and --rounds; its description is the first line of `doc`."""
    parser = argparse.ArgumentParser(description=doc.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=9, help="number of timed rounds")
    parser.add_argument("--save", type=Path, help="Markdown file to write")
    return parser


def markdown(lines: list[dict[str, str]]) -> str:
    """Table with aligned columns; the keys of the first line are the header."""
    rows = [list(lines[0]), *([line[name] for name in lines[0]] for line in lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    )


def publish(name: str, title: str, tables: list[list[dict[str, str]]], save: Path | None) -> None:
    """Print the tables of the benchmark `name`; write them to `save` with the command."""
    setup = f"{machine()}; {jax.devices()[0].device_kind}; jax {jax.__version__}"
    text = "\n\n".join([setup, *map(markdown, tables)]) + "\n"
    print(text, end="")
    if save:
        command = shlex.join(["python", "-m", f"bench.{name}", *sys.argv[1:]])
        save.write_text(f"# {title}\n\n`{command}`\n\n{text}", encoding="utf-8")
