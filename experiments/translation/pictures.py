"""Pictures of a translator's attention and of its encoder states."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from data.text.vocabulary import END, Vocabulary
from train.task import Batch


def draw_attention(
    batch: Batch, found: Any, rows: Sequence[int], source: Vocabulary, target: Vocabulary
) -> Figure:
    """Draw for each row which source token every target token looked at."""
    figure = Figure(figsize=(13, 4.2 * -(-len(rows) // 3)), layout="constrained")
    axes = figure.subplots(-(-len(rows) // 3), 3, squeeze=False).ravel()
    for axis in axes[len(rows) :]:
        axis.axis("off")
    for axis, row in zip(axes, rows, strict=False):
        ids_read = batch["source"][row, : batch["source_lengths"][row]]
        length = int(found.lengths[row, 0])
        axis.imshow(found.attention[row, 0, :length, : len(ids_read)], cmap="Blues", vmin=0)
        ids_written = found.tokens[row, 0, :length]
        for set_ticks, ids, words, turn in (
            (axis.set_xticks, ids_read, source, 90),
            (axis.set_yticks, ids_written, target, 0),
        ):
            labels = ["end" if i == END else words.decode([i]) for i in ids]
            set_ticks(range(len(ids)), labels, rotation=turn, fontsize=7)
    return figure


def draw_states(points, shares, number, phrases: Sequence[str]) -> Figure:
    """Phrases in the plane of their first two components, a colour a group."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    axis = figure.subplots()
    middle, width = points[:, 0].mean(), np.ptp(points[:, 0])
    right = points[:, 0] > middle  # the text goes to where there is room
    heights, gap = np.zeros(len(points)), np.ptp(points[:, 1]) / 35
    for side in (right, ~right):
        heights[side] = apart(points[side, 1], gap)
    for i, (x, y) in enumerate(points):
        axis.plot(x, y, "o", color=f"C{number[i]}")
        axis.annotate(
            phrases[i],
            (x, y),
            (x - 0.04 * width if right[i] else x + 0.04 * width, heights[i]),
            ha="right" if right[i] else "left",
            va="center",
            fontsize=8,
            color=f"C{number[i]}",
            arrowprops={"arrowstyle": "-", "alpha": 0.4, "relpos": (float(right[i]), 0.5)},
        )
    axis.set_ylim(points[:, 1].min() - 2 * gap, max(points[:, 1].max(), heights.max()) + 2 * gap)
    axis.set_xlabel(f"first principal component, {shares[0]:.0%} of the variance")
    axis.set_ylabel(f"second, {shares[1]:.0%}")
    axis.set_title("the encoder's last state after each phrase")
    axis.grid(alpha=0.3)
    return figure


def apart(heights, gap: float) -> np.ndarray:
    """Heights [N] in the same order, each at least `gap` above the one below it."""
    order = np.argsort(heights, kind="stable")
    steps = gap * np.arange(len(heights))
    out = np.empty(len(heights))
    out[order] = np.maximum.accumulate(heights[order] - steps) + steps
    return out
