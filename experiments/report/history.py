"""How a language model learned to write: its loss, and what it wrote along the way, in one picture.

python -m experiments.report.history --workdir=runs/lecture

writes history.png and history.txt into the folder of a run of char_lm, word_lm or alike, from its
metrics and the samples of config.figures_at alone, also while it is trained.
"""

import re
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from absl import flags
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.report.report import samples
from experiments.report.runs import Run, load_runs

MOST = 4  # samples that are shown
WIDTH, LINES = 44, 16  # of a sample
CURVES = {"train/loss": ("training", "-", "0.6"), "validation/loss": ("validation", ".-", "black")}


def texts(run: Run) -> dict[int, str]:
    """Samples of a run by their steps; of more than MOST, the first, the last and some between."""
    paths = sorted((run.path / "figures").glob("sample-*.txt"))
    if len(paths) > MOST:
        paths = [paths[i * (len(paths) - 1) // (MOST - 1)] for i in range(MOST)]
    return {int(path.stem.rpartition("-")[2]): path.read_text(encoding="utf-8") for path in paths}


def draw(run: Run, shown: Mapping[int, str]) -> Figure:
    """Loss against steps with the steps of the samples marked, and the samples below it."""
    parts = [wrapped(text)[:LINES] for text in shown.values()]
    height = 0.4 + 0.14 * max(map(len, parts))
    figure = Figure(figsize=(3.7 * max(2, len(shown)), 4 + height), layout="constrained")
    grid = figure.add_gridspec(2, len(shown), height_ratios=(4, height))
    loss(figure.add_subplot(grid[0, :]), run, list(shown))
    for number, (step, lines) in enumerate(zip(shown, parts, strict=True)):
        axis = figure.add_subplot(grid[1, number])
        axis.axis("off")
        axis.set_title(f"step {step:,}", color=f"C{number}", loc="left", fontweight="bold")
        text = axis.text(0, 1, "\n".join(lines), va="top", transform=axis.transAxes, fontsize=7.5)
        text.set(family="monospace", parse_math=False)
    return figure


def loss(axis: Axes, run: Run, steps: list[int]) -> None:
    """Draw training and validation loss in nats, and a line at each of some steps."""
    for metric, (name, style, color) in CURVES.items():
        points = run.curve(metric)
        axis.plot(list(points), list(points.values()), style, color=color, label=name, lw=1.2)
    for number, step in enumerate(steps):
        axis.axvline(step, color=f"C{number}", ls="--", lw=1.5)
    # a logarithm that has a place for step 0
    axis.set_xscale("symlog", linthresh=min(run.curve("train/loss"), default=1))
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.margins(x=0.02)
    unit = re.search(r"bits_per_(\w+)", " ".join(name for line in run.lines for name in line))
    axis.set_xlabel("steps; dashed: the samples below")
    axis.set_ylabel(f"loss, nats a {unit[1] if unit else 'symbol'}")
    axis.legend(framealpha=1, edgecolor="none")
    axis.grid(alpha=0.3)


def wrapped(text: str) -> list[str]:
    """Lines of a text, long ones broken."""
    lines = text.strip("\n").split("\n")
    return [p for line in lines for p in textwrap.wrap(line, WIDTH, drop_whitespace=False) or [""]]


def history(folder: Path) -> Path:
    """Write the picture and the samples of the run in a folder; return the picture's path.

    Raises ValueError when there is no run in it, or one without samples.
    """
    run = next((run for run in load_runs(folder) if run.path == folder), None)
    if run is None:
        raise ValueError(f"there is no run in {folder}")
    shown = texts(run)
    if not shown:
        raise ValueError(f"{folder / 'figures'} has no samples of text")
    (folder / "history.txt").write_text(samples(run) + "\n", encoding="utf-8")
    draw(run, shown).savefig(folder / "history.png", dpi=120)
    return folder / "history.png"


def main(argv: list[str]) -> None:
    """Write the history of --workdir; one line and exit 2 when there is none."""
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "folder of a run", required=True, flag_values=values)
    try:
        if rest := values(argv)[1:]:
            raise ValueError(f"flags begin with --, got {rest[0]!r}")
        print(history(Path(values.workdir)))
    except (flags.Error, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main(sys.argv)
