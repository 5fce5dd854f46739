"""Pictures of the attention of a translator and of its encoder states."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from data.text.vocabulary import END, Vocabulary
from nets.decoding.beam import BeamResult
from train.drawing import OUTLINE, marker_style
from train.task import Batch


def draw_attention(
    batch: Batch, result: BeamResult, rows: Sequence[int], source: Vocabulary, target: Vocabulary
) -> Figure:
    """Draw the attention of the best translations of some rows, target by source tokens."""
    attention = np.asarray(result.attention)
    figure = Figure(figsize=(13.6, 4.2 * -(-len(rows) // 3) + 0.3), layout="constrained")
    figure.suptitle("attention of each step of the translation")
    figure.supxlabel("source token")
    figure.supylabel("translated token")
    axes = figure.subplots(-(-len(rows) // 3), 3, squeeze=False).ravel()
    for axis in axes[len(rows) :]:
        axis.axis("off")
    for axis, row in zip(axes, rows, strict=False):
        source_ids = batch["source"][row, : batch["source_lengths"][row]]
        length = int(result.lengths[row, 0])
        weights = attention[row, 0, :length, : len(source_ids)]
        image = axis.imshow(weights, cmap="Blues", vmin=0, vmax=1)
        target_ids = result.tokens[row, 0, :length]
        for set_ticks, ids, vocabulary, rotation in (
            (axis.set_xticks, source_ids, source, 90),
            (axis.set_yticks, target_ids, target, 0),
        ):
            labels = ["end" if i == END else vocabulary.decode([int(i)]) for i in ids]
            set_ticks(range(len(ids)), labels, rotation=rotation, fontsize=7)
    figure.colorbar(image, ax=axes, label="attention weight", shrink=0.6)
    return figure


def draw_states(points, shares, group_ids, phrases: Sequence[str]) -> Figure:
    """Draw phrases at points [N, 2] in the plane of two components.

    Each group has its own colour and marker.
    """
    figure = Figure(figsize=(10, 7), layout="constrained")
    axis = figure.subplots()
    middle, width = points[:, 0].mean(), np.ptp(points[:, 0])
    right = points[:, 0] > middle  # their labels are on the left, the others' on the right
    heights, gap = np.zeros(len(points)), np.ptp(points[:, 1]) / 35
    for side in (right, ~right):
        heights[side] = spread(points[side, 1], gap)
    for i, (x, y) in enumerate(points):
        style = marker_style(int(group_ids[i]))
        axis.plot(x, y, **style)
        axis.annotate(
            phrases[i],
            (x, y),
            (x - 0.04 * width if right[i] else x + 0.04 * width, heights[i]),
            ha="right" if right[i] else "left",
            va="center",
            fontsize=8,
            path_effects=OUTLINE,
            arrowprops={
                "arrowstyle": "-",
                "alpha": 0.6,
                "color": style["color"],
                "relpos": (float(right[i]), 0.5),
            },
        )
    axis.set_ylim(points[:, 1].min() - 2 * gap, max(points[:, 1].max(), heights.max()) + 2 * gap)
    axis.set_xlabel(f"first principal component, {shares[0]:.0%} of the variance")
    axis.set_ylabel(f"second principal component, {shares[1]:.0%} of the variance")
    axis.set_title("final encoder state of each phrase; a colour and marker for each group")
    axis.grid(alpha=0.3)
    return figure


def spread(heights, gap: float) -> np.ndarray:
    """Heights [N] in the same order, each moved up to be at least `gap` above the one below."""
    order = np.argsort(heights, kind="stable")
    steps = gap * np.arange(len(heights))
    out = np.empty(len(heights))
    out[order] = np.maximum.accumulate(heights[order] - steps) + steps
    return out
