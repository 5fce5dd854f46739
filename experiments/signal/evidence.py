"""A picture of the evidence over time for the labels of some series."""

from collections.abc import Sequence
from functools import partial

import jax
import numpy as np
from matplotlib.figure import Figure

from data.epochs import Batch
from nets.convolution.temporal import TimeConvNet, evidence


def draw_evidence(network: TimeConvNet, variables, batch: Batch, classes: Sequence[str]) -> Figure:
    """One series of each class in a batch, and what of the logit of its label comes from when."""
    labels, rows = np.unique(batch["label"][batch["mask"] > 0], return_index=True)
    x, lengths = batch["x"][rows], batch["lengths"][rows]
    parts = np.asarray(jax.jit(partial(evidence, network))(variables, x, lengths, labels))
    columns = min(5, len(labels))
    figure = Figure(figsize=(2.2 * columns, 2.3 * -(-len(labels) // columns)), layout="constrained")
    figure.suptitle("line: what speaks for the label, and when")
    figure.supxlabel("step")
    figure.supylabel("input")
    axes = figure.subplots(-(-len(labels) // columns), columns, squeeze=False).ravel()
    stride = x.shape[1] / parts.shape[1]
    for axis in axes[len(labels) :]:
        axis.axis("off")
    for axis, row, length, part, label in zip(axes, x, lengths, parts, labels, strict=False):
        axis.imshow(row[:length].T, cmap="gray", origin="lower", aspect="auto")
        axis.set_title(classes[label])
        over = axis.twinx()
        over.set_axis_off()
        over.set_ylim(min(0.0, parts.min()), 1.05 * parts.max() + 1e-6)
        shown = part[: int(np.ceil(length / stride))]
        over.plot((np.arange(len(shown)) + 0.5) * stride - 0.5, shown, "tab:orange", lw=2)
        axis.set_xlim(-0.5, length - 0.5)
    return figure
