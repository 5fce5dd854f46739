"""Picture of how much each step of a series contributes to the logit of its label."""

from collections.abc import Sequence
from functools import partial

import jax
import numpy as np
from matplotlib.figure import Figure

from data.epochs import Batch
from nets.convolution.temporal import TimeConvNet, evidence
from train.drawing import PALETTE


def draw_evidence(network: TimeConvNet, variables, batch: Batch, classes: Sequence[str]) -> Figure:
    """Draw a series of each class in a batch, and how much each step adds to its label's logit."""
    labels, rows = np.unique(batch["label"][batch["mask"] > 0], return_index=True)
    x, lengths = batch["x"][rows], batch["lengths"][rows]
    curves = np.asarray(jax.jit(partial(evidence, network))(variables, x, lengths, labels))
    columns = min(5, len(labels))
    figure = Figure(figsize=(2.2 * columns, 2.3 * -(-len(labels) // columns)), layout="constrained")
    figure.suptitle("line: evidence for the label; grey: the inputs, the largest ones bright")
    figure.supxlabel("step")
    figure.supylabel("input")
    axes = figure.subplots(-(-len(labels) // columns), columns, squeeze=False).ravel()
    stride = x.shape[1] / curves.shape[1]
    for axis in axes[len(labels) :]:
        axis.axis("off")
    for axis, row, length, curve, label in zip(axes, x, lengths, curves, labels, strict=False):
        axis.imshow(row[:length].T, cmap="gray", origin="lower", aspect="auto")
        axis.set_title(classes[label])
        overlay = axis.twinx()
        overlay.set_axis_off()
        overlay.set_ylim(min(0.0, curves.min()), 1.05 * curves.max() + 1e-6)
        valid = curve[: int(np.ceil(length / stride))]
        overlay.plot((np.arange(len(valid)) + 0.5) * stride - 0.5, valid, PALETTE[3], lw=2)
        axis.set_xlim(-0.5, length - 0.5)
    return figure
