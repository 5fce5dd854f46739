"""The training of a language model in one picture: its loss, and samples at several steps.

    python -m experiments.report.history --workdir=runs/lecture

writes history.png and history.txt to the folder of a run of char_lm, word_lm or ngram_lm, from its
logged metrics and the samples of config.figures_at. It also works while the run is in progress.
"""

import os
import re
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from absl import flags
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from experiments.report.report import samples
from experiments.report.runs import Run, load_runs
from train.drawing import DASHES, PALETTE, drawable, png_of
from train.process import open_standard_streams

MOST, LETTERS = 4, "ABCD"  # maximum samples in the picture, and their names
WIDTH, LINES = 44, 16  # maximum characters per line and lines of a sample
CURVES = {"train/loss": ("training", "-", "0.6"), "validation/loss": ("validation", ".-", "black")}


def texts(run: Run) -> dict[int, str]:
    """Samples of a run by step; at most MOST, including the first and the last."""
    paths = sorted((run.path / "figures").glob("sample-*.txt"))
    if len(paths) > MOST:
        paths = [paths[i * (len(paths) - 1) // (MOST - 1)] for i in range(MOST)]
    return {int(path.stem.rpartition("-")[2]): path.read_text(encoding="utf-8") for path in paths}


def draw(run: Run, samples_by_step: Mapping[int, str]) -> Figure:
    """Loss against steps, with marks at the steps of the samples, and the samples below."""
    blocks = [wrapped(text)[:LINES] for text in samples_by_step.values()]
    height = 0.4 + 0.14 * max(map(len, blocks))
    columns = len(blocks)
    figure = Figure(figsize=(3.7 * max(2, columns), 4 + height), layout="constrained")
    grid = figure.add_gridspec(2, columns, height_ratios=(4, height))
    draw_loss(figure.add_subplot(grid[0, :]), run, list(samples_by_step))
    for number, (step, lines) in enumerate(zip(samples_by_step, blocks, strict=True)):
        axis = figure.add_subplot(grid[1, number])
        axis.axis("off")
        title, color = f"{LETTERS[number]}: step {step:,}", PALETTE[number]
        axis.set_title(title, color=color, loc="left", fontweight="bold")
        text = axis.text(0, 1, "\n".join(lines), va="top", transform=axis.transAxes, fontsize=7.5)
        text.set(family="monospace")
    return figure


def draw_loss(axis: Axes, run: Run, steps: list[int]) -> None:
    """Draw training and validation loss in nats, and a vertical line at each of `steps`."""
    for metric, (name, style, color) in CURVES.items():
        points = run.curve(metric)
        axis.plot(list(points), list(points.values()), style, color=color, label=name, lw=1.2)
    for number, step in enumerate(steps):
        axis.axvline(step, color=PALETTE[number], ls=DASHES[number], lw=1.5)
        axis.annotate(
            LETTERS[number],
            (step, 1),
            xytext=(3, -4),
            xycoords=axis.get_xaxis_transform(),
            textcoords="offset points",
            va="top",
            color=PALETTE[number],
            fontweight="bold",
        )
    # logarithmic, but linear below the first logged step, so that step 0 is on the axis
    axis.set_xscale("symlog", linthresh=min(run.curve("train/loss"), default=1))
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.margins(x=0.02)
    unit = re.search(r"bits_per_(\w+)", " ".join(name for line in run.lines for name in line))
    axis.set_title("loss during training")
    axis.set_xlabel("steps (vertical lines: samples below)")
    axis.set_ylabel(f"loss in nats per {unit[1] if unit else 'symbol'}")
    axis.legend(loc="upper right", framealpha=1, edgecolor="none")
    axis.grid(alpha=0.3)


def wrapped(text: str) -> list[str]:
    """Lines of a text as a picture shows them, with long ones wrapped."""
    font = FontProperties(family="monospace")
    lines = drawable(text.strip("\n"), font).split("\n")
    return [p for line in lines for p in textwrap.wrap(line, WIDTH, drop_whitespace=False) or [""]]


def history(folder: Path) -> Path:
    """Write the picture and the samples of the run in a folder; return the path of the picture.

    Raises ValueError when the folder contains no run, or a run without samples.
    """
    run = next((run for run in load_runs(folder) if run.path == folder), None)
    if run is None:
        raise ValueError(f"there is no run in {folder}")
    samples_by_step = texts(run)
    if not samples_by_step:
        raise ValueError(f"{folder / 'figures'} has no samples of text")
    (folder / "history.txt").write_text(samples(run) + "\n", encoding="utf-8")
    (folder / "history.png").write_bytes(png_of(draw(run, samples_by_step)))
    return folder / "history.png"


def main(argv: list[str]) -> None:
    """Write the history of --workdir; on an error, print one line and exit with 2."""
    open_standard_streams()
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "folder of a run", required=True, flag_values=values)
    try:
        if rest := values(argv)[1:]:
            raise ValueError(f"flags begin with --, got {rest[0]!r}")
        print(history(Path(os.path.expanduser(values.workdir))))
    except (flags.Error, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main(sys.argv)
