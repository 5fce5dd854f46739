"""Pictures of which class a network predicts where, in a plane through its inputs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from data.catalogue import DataError
from experiments.common.pictures import legend_text
from experiments.common.plane import principal_axes
from train.drawing import MARKERS, legend_below

POINTS = 200  # of the grid along each axis
CURVES = {"train/loss": ("training", "-", "0.55"), "validation/loss": ("validation", "--", "black")}
Classify = Callable[[np.ndarray], np.ndarray]  # inputs [N, D] -> classes int [N]
Sets = Mapping[str, tuple[np.ndarray, np.ndarray]]  # inputs [N, D] and labels [N] by name


class Plane(NamedTuple):
    """origin [D] + u axes[0] + v axes[1], with orthonormal axes [2, D].

    The picture shows offset + scale (u, v), with offset and scale [2].
    """

    origin: np.ndarray
    axes: np.ndarray
    offset: np.ndarray
    scale: np.ndarray
    names: tuple[str, str]

    def project(self, x: np.ndarray) -> np.ndarray:
        """Coordinates [N, 2] in the picture of inputs [N, D]."""
        return self.offset + self.scale * ((x - self.origin) @ self.axes.T)

    def inputs(self, points: np.ndarray) -> np.ndarray:
        """Inputs float32 [N, D] of coordinates [N, 2] in the picture."""
        plane = (points - self.offset) / self.scale
        return (self.origin + plane @ self.axes).astype(np.float32)


def principal_plane(x: np.ndarray) -> Plane:
    """Plane through the mean of inputs [N, D] along their first two principal components.

    Raises DataError when D is 1.
    """
    if x.shape[1] < 2:
        raise DataError("regions need rows with at least two inputs")
    axes, shares = principal_axes(x.astype(np.float64))
    names = [
        f"{which} principal component, {share:.0%} of the variance"
        for which, share in zip(("first", "second"), shares, strict=True)
    ]
    return Plane(x.mean(axis=0), axes, np.zeros(2), np.ones(2), (names[0], names[1]))


def draw_regions(
    axis: Axes, classify: Classify, plane: Plane, sets: Sets, classes: Sequence[str]
) -> None:
    """Draw the predicted class of each point of a plane, and rows of several sets by their labels.

    The rows of the last set are larger, and those of them that are classified wrongly are crossed.
    """
    points = {name: plane.project(x) for name, (x, _) in sets.items()}
    low, high = (f(np.concatenate(list(points.values())), axis=0) for f in (np.min, np.max))
    margin = 0.08 * (high - low) + 1e-6
    u, v = (np.linspace(a, b, POINTS) for a, b in zip(low - margin, high + margin, strict=True))
    grid = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)
    predicted = classify(plane.inputs(grid)).reshape(POINTS, POINTS)
    colours = matplotlib.colormaps["viridis"](np.linspace(0.1, 0.95, len(classes)))
    axis.imshow(
        0.6 + 0.4 * colours[predicted, :3],  # pale
        origin="lower",
        extent=(u[0], u[-1], v[0], v[-1]),
        aspect="auto",
        interpolation="nearest",
    )
    for c in np.unique(predicted)[:-1]:
        axis.contour(u, v, predicted > c, levels=[0.5], colors="black", linewidths=0.6)
    *_, last = sets
    handles = []
    for c, name in enumerate(classes):
        marker = MARKERS[c % len(MARKERS)]
        for of_set, (_, labels) in sets.items():
            large = of_set == last
            style: dict[str, Any] = (
                {"s": 46, "edgecolor": "black"} if large else {"s": 16, "edgecolor": "0.4"}
            )
            chosen = points[of_set][labels == c]
            axis.scatter(
                chosen[:, 0], chosen[:, 1], marker=marker, color=colours[c], linewidth=0.8, **style
            )
        handles.append(
            Line2D([], [], color=colours[c], marker=marker, ls="", label=legend_text(name))
        )
    x, labels = sets[last]
    wrong = classify(x) != labels
    crossed = points[last][wrong]
    axis.scatter(crossed[:, 0], crossed[:, 1], marker="x", color="black", s=90, linewidth=1.4)
    edges: dict[str, Any] = {"markerfacecolor": "0.8", "marker": "o", "ls": "", "color": "black"}
    handles.append(Line2D([], [], label=f"{last} ({len(labels)})", **edges))
    handles.append(Line2D([], [], color="black", marker="x", ls="", label=f"wrong ({wrong.sum()})"))
    legend_below(axis, handles=handles, fontsize=8, ncols=len(handles), columnspacing=1)
    axis.set_xlabel(plane.names[0])
    axis.set_ylabel(plane.names[1])
    axis.set_title("predicted class in the plane, and rows projected onto it", fontsize=10)


def regions_picture(classify: Classify, plane: Plane, sets: Sets, classes: Sequence[str]) -> Figure:
    """Draw the regions alone: see `draw_regions`."""
    figure = Figure(figsize=(5.6, 4.6), layout="constrained")
    draw_regions(figure.subplots(), classify, plane, sets, classes)
    return figure


def draw_run(
    classify: Classify,
    plane: Plane,
    sets: Sets,
    classes: Sequence[str],
    lines: Sequence[Mapping[str, float]],
) -> Figure:
    """Draw the negative log-likelihood against steps, from logged lines, beside the regions."""
    figure = Figure(figsize=(10.5, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.2))
    for metric, (name, style, colour) in CURVES.items():
        curve = [(line["step"], line[metric]) for line in lines if metric in line]
        left.plot(*zip(*curve, strict=True), style, color=colour, label=name)
    left.set_yscale("log")
    left.set_xlabel("step")
    left.set_ylabel("negative log-likelihood, in nats per row")
    left.set_title("training", fontsize=10)
    legend_below(left, fontsize=8, ncols=len(CURVES))
    left.grid(alpha=0.3)
    draw_regions(right, classify, plane, sets, classes)
    return figure
