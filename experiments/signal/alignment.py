"""Pictures of an alignment: what was read, and which symbol the network saw in it when."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

KINDS = ("columns", "spectrogram", "pen")
COLOURS = 10  # of matplotlib's cycle


class Seen(NamedTuple):
    """A sequence and what the network makes of it.

    x: float [T, D]; posteriors: float [T', 1 + V] of blank and symbols; places: int [T'], which
    symbol of the text each step was aligned with, -1 for a blank; text: its symbols, ids: theirs.
    """

    x: np.ndarray
    posteriors: np.ndarray
    places: np.ndarray
    ids: Sequence[int]
    text: Sequence[str]
    title: str

    @property
    def stride(self) -> float:
        """Frames of a step."""
        return len(self.x) / max(1, len(self.posteriors))

    def span(self, place: int) -> tuple[float, float]:
        """First frame of a symbol, and the one after its last."""
        steps = np.flatnonzero(self.places == place)
        return steps[0] * self.stride, (steps[-1] + 1) * self.stride


def draw_alignments(seen: Sequence[Seen], kind: str) -> Figure:
    """Draw each sequence above its posteriors; kind: one of KINDS, how a frame is drawn.

    Marks, and the symbols above the posteriors, are where the best alignment of the text has them.
    """
    figure = Figure(figsize=(9, 3.2 * len(seen)), layout="constrained")
    heights = [1.2, 1] * len(seen)
    axes = figure.subplots(2 * len(seen), 1, squeeze=False, height_ratios=heights).ravel()
    for one, above, below in zip(seen, axes[::2], axes[1::2], strict=True):
        above.set_title(one.title, fontsize=9, loc="left")
        if kind == "pen":
            draw_pen(above, one)
        else:
            draw_frames(above, one, kind)
        draw_posteriors(below, one)
    return figure


def draw_frames(axis: Axes, one: Seen, kind: str) -> None:
    """Columns of a picture, or a spectrogram, with a mark where each symbol is."""
    time, size = one.x.shape
    if kind == "spectrogram":
        axis.imshow(one.x.T, "magma", origin="lower", aspect="auto", extent=(0, time, 0, size))
        axis.set_ylabel("band")
    else:
        axis.imshow(one.x.T, "gray_r", aspect="auto", extent=(0, time, size, 0))
        axis.set_ylabel("row")
    axis.set_xlim(0, len(one.x))
    axis.set_xticks([])
    for place in range(len(one.text)):
        first, last = one.span(place)
        axis.axvspan(first, last, ymax=0.06, color=f"C{place % COLOURS}")


def draw_pen(axis: Axes, one: Seen) -> None:
    """Draw the path of a pen, each part in the colour of the symbol that it was aligned with."""
    points = np.cumsum(np.pad(one.x[:, :2], [(1, 0), (0, 0)]), axis=0)
    steps = np.minimum((np.arange(len(one.x)) / one.stride).astype(int), len(one.places) - 1)
    for i, (step, up) in enumerate(zip(steps, one.x[:, 2], strict=True)):
        place = one.places[step]
        colour = "0.85" if up else f"C{place % COLOURS}" if place >= 0 else "0.4"
        axis.plot(*points[i : i + 2].T, color=colour, lw=0.8 if up else 1.8)
    axis.set_aspect("equal")
    axis.set_xlabel("to the right")
    axis.set_ylabel("upwards")


def draw_posteriors(axis: Axes, one: Seen) -> None:
    """Draw the probability of the blank, and of each symbol of the text, over time."""
    times = (np.arange(len(one.posteriors)) + 0.5) * one.stride
    axis.plot(times, one.posteriors[:, 0], "--", color="0.6", lw=1, label="blank")
    for place, (symbol, number) in enumerate(zip(one.text, one.ids, strict=True)):
        colour = f"C{place % COLOURS}"
        first, last = one.span(place)
        near = (times > first - 4 * one.stride) & (times < last + 4 * one.stride)
        axis.plot(times[near], one.posteriors[near, number], color=colour, lw=1.4)
        middle = (first + last) / 2
        axis.text(middle, 1.04, symbol, color=colour, ha="center", va="bottom", fontsize=9)
    axis.set_xlim(0, max(1, len(one.x)))
    axis.set_ylim(0, 1.3)
    axis.set_yticks((0, 0.5, 1))
    axis.set_xlabel("frame")
    axis.set_ylabel("probability")
    axis.legend(
        loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0, fontsize=8, frameon=False
    )
