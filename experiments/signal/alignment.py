"""Alignments of transcripts: which frames belong to which symbol, and pictures of them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from data.epochs import Batch
from data.lines.transcripts import Alphabet
from nets.ctc.loss import ctc_align
from train.drawing import OUTLINE, PALETTE, line_style

KINDS = ("columns", "spectrogram", "pen")  # ways to draw frames


class AlignedLine(NamedTuple):
    """A sequence of frames, the outputs of the network, and their alignment with a text.

    x: float [T, D]. posteriors: float [T', 1 + V] of the blank and the symbols. positions: int
    [T'], index into the text of the symbol at each step, -1 at a blank. ids, symbols: the text.
    """

    x: np.ndarray
    posteriors: np.ndarray
    positions: np.ndarray
    ids: Sequence[int]
    symbols: Sequence[str]
    title: str

    @property
    def stride(self) -> float:
        """Number of frames per step."""
        return len(self.x) / max(1, len(self.posteriors))

    def span(self, position: int) -> tuple[float, float]:
        """Start and end, in frames, of the symbol at a position of the text."""
        steps = np.flatnonzero(self.positions == position)
        return steps[0] * self.stride, (steps[-1] + 1) * self.stride


def align_lines(alphabet: Alphabet, batch: Batch, outputs: Any) -> list[AlignedLine]:
    """Best alignments of the texts of a batch, without padding rows and rows that have none."""
    logits, lengths = outputs
    labels, label_lengths = jnp.asarray(batch["labels"]), jnp.asarray(batch["label_lengths"])
    aligned = ctc_align(logits, lengths, labels, label_lengths)
    rows = jax.device_get((jax.nn.softmax(logits, axis=-1), lengths, aligned.place))
    lines = []
    for row, (posteriors, steps, positions) in enumerate(zip(*rows, strict=True)):
        ids = batch["labels"][row, : batch["label_lengths"][row]].tolist()
        if batch["mask"][row] and set(range(len(ids))) <= set(positions[:steps].tolist()):
            line = AlignedLine(
                x=batch["x"][row, : batch["lengths"][row]],
                posteriors=posteriors[:steps],
                positions=positions[:steps],
                ids=ids,
                symbols=[alphabet.decode([i]) for i in ids],
                title=f"text: {alphabet.decode(ids)}",
            )
            lines.append(line)
    return lines


def draw_alignments(lines: Sequence[AlignedLine], kind: str) -> Figure:
    """Draw the frames of each line above its posteriors.

    kind: how to draw the frames, one of KINDS. A colour marks the frames of each symbol in the
    alignment; the symbol is written beside them and above the posteriors.
    """
    figure = Figure(figsize=(9, 3.2 * len(lines)), layout="constrained")
    heights = [1.2, 1] * len(lines)
    axes = figure.subplots(2 * len(lines), 1, squeeze=False, height_ratios=heights).ravel()
    for line, above, below in zip(lines, axes[::2], axes[1::2], strict=True):
        above.set_title(line.title, fontsize=9, loc="left")
        if kind == "pen":
            draw_pen(above, line)
        else:
            image = draw_frames(above, line, kind)
        draw_posteriors(below, line)
        if kind == "spectrogram":  # beside both, so that their times remain aligned
            bar = figure.colorbar(
                image,
                ax=(above, below),
                shrink=0.47,
                anchor=(0, 1),
                aspect=12,
                pad=0.01,
                fraction=0.05,
            )
            bar.set_label("standardized log energy", fontsize=8)
    return figure


def draw_frames(axis: Axes, line: AlignedLine, kind: str) -> AxesImage:
    """Draw columns of a picture or a spectrogram, with a bar along the frames of each symbol."""
    time, size = line.x.shape
    if kind == "spectrogram":
        image = axis.imshow(
            line.x.T, "magma", origin="lower", aspect="auto", extent=(0, time, 0, size)
        )
        axis.set_ylabel("band")
    else:
        image = axis.imshow(line.x.T, "gray_r", aspect="auto", extent=(0, time, size, 0))
        axis.set_ylabel("row")
    axis.set_xlim(0, len(line.x))
    axis.set_xticks([])
    for position, symbol in enumerate(line.symbols):
        first, last = line.span(position)
        axis.axvspan(first, last, ymax=0.06, color=colour_of(position))
        axis.text(
            (first + last) / 2,
            0.07,
            symbol,
            transform=axis.get_xaxis_transform(),
            ha="center",
            va="bottom",
            fontsize=8,
            path_effects=OUTLINE,
        )
    return image


def draw_pen(axis: Axes, line: AlignedLine) -> None:
    """Draw the path of a pen, each segment in the colour of the symbol it is aligned with.

    The symbol is written where its first segment begins.
    """
    points = np.cumsum(np.pad(line.x[:, :2], [(1, 0), (0, 0)]), axis=0)
    steps = (np.arange(len(line.x)) / line.stride).astype(int)
    steps = np.minimum(steps, len(line.positions) - 1)
    for i, (step, lifted) in enumerate(zip(steps, line.x[:, 2], strict=True)):
        position = line.positions[step]
        colour = "0.85" if lifted else colour_of(position) if position >= 0 else "0.4"
        axis.plot(*points[i : i + 2].T, color=colour, lw=0.8 if lifted else 1.8)
    for position, symbol in enumerate(line.symbols):
        x, y = points[int(np.ceil(line.span(position)[0]))]
        axis.text(x, y, symbol, color=colour_of(position), fontsize=9, path_effects=OUTLINE)
    axis.set_aspect("equal")
    axis.set_xlabel("x")
    axis.set_ylabel("y")


def draw_posteriors(axis: Axes, line: AlignedLine) -> None:
    """Draw the probabilities of the blank and of the symbols of the text over time."""
    times = (np.arange(len(line.posteriors)) + 0.5) * line.stride
    axis.plot(times, line.posteriors[:, 0], "--", color="0.6", lw=1, label="blank", clip_on=False)
    for position, (symbol, number) in enumerate(zip(line.symbols, line.ids, strict=True)):
        style = line_style(position)
        first, last = line.span(position)
        near = (times > first - 4 * line.stride) & (times < last + 4 * line.stride)
        axis.plot(times[near], line.posteriors[near, number], **style, lw=1.4, clip_on=False)
        middle = (first + last) / 2
        colour = style["color"]
        axis.text(middle, 1.04, symbol, color=colour, ha="center", va="bottom", fontsize=9)
    axis.set_xlim(0, max(1, len(line.x)))
    axis.set_ylim(0, 1)
    axis.set_yticks((0, 0.5, 1))
    axis.set_xlabel("frame")
    axis.set_ylabel("probability")
    axis.legend(
        loc="lower right", bbox_to_anchor=(1, 1.16), borderaxespad=0, fontsize=8, frameon=False
    )


def colour_of(position: int) -> str:
    """Colour of the symbol at a position of the text."""
    return PALETTE[position % len(PALETTE)]
