"""Pictures of a perceptron: its boundary, its outputs, its weights, its updates and their bound."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from data.tabular.two_classes import RETINA, TwoClasses
from train.drawing import DASHES, PALETTE, legend_below

LINES = 8  # largest number of boundaries in a picture
COLOURS, MARKERS = (PALETTE[3], PALETTE[0]), ("o", "^")  # of the classes -1 and +1


def plane_picture(data: TwoClasses, weights: Sequence[np.ndarray], updates: int) -> Figure:
    """Draw points and the boundaries of weights [3] (of x, y and 1), light to dark, last black.

    weights: after each update, of which at most LINES are drawn, the later ones further apart.
    """
    figure = Figure(figsize=(6, 5), layout="constrained")
    axis = figure.subplots()
    for side, colour, marker, name in zip((-1, 1), COLOURS, MARKERS, data.classes, strict=True):
        x, y = data.x[data.t == side].T
        axis.scatter(x, y, c=colour, marker=marker, s=22, label=f"class {name}", zorder=3)
    low, high = data.x.min(axis=0), data.x.max(axis=0)
    margin = 0.1 * (high - low)
    low, high = low - margin, high + margin
    chosen = np.unique(np.geomspace(1, len(weights), LINES).round().astype(int))
    shades = shades_of(len(chosen))
    for i, (number, shade) in enumerate(zip(chosen, shades, strict=True)):
        last = number == len(weights)
        name = f"final, {updates} updates" if last else f"after update {number}"
        ends = boundary(weights[number - 1], low, high)
        if ends is not None:
            dashes = DASHES[0] if last else DASHES[i % len(DASHES)]
            colour = "black" if last else shade
            axis.plot(*ends, dashes, color=colour, linewidth=1.2 + last, label=name)
    axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel="first input")
    axis.set_ylabel("second input")
    axis.set_title("boundary of a perceptron over its updates")
    axis.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def shades_of(count: int) -> np.ndarray:
    """Colours [count, 4] of viridis from light to dark."""
    from matplotlib import colormaps

    return colormaps["viridis_r"](np.linspace(0.1, 0.9, count))


def boundary(w: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray | None:
    """x and y of two points [2, 2] of w . (x, y, 1) = 0 beyond a box; None if w has no line."""
    normal, length = w[:2], float(np.hypot(*w[:2]))
    if length == 0:
        return None
    nearest = -w[2] * normal / length**2  # of the line to the origin
    centre = (low + high) / 2
    along = np.array([-normal[1], normal[0]]) / length
    start = nearest + ((centre - nearest) @ along) * along
    reach = np.hypot(*(high - low))
    return np.stack([start - reach * along, start + reach * along], axis=1)


def outputs_picture(f: np.ndarray, t: np.ndarray, classes: tuple[str, str]) -> Figure:
    """Draw a histogram of outputs f [N] for each class, by targets t [N] in {-1, +1}."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axis = figure.subplots()
    edges = np.histogram_bin_edges(f, 30).tolist()
    for side, colour, hatch, name in zip((-1, 1), COLOURS, ("", "//"), classes, strict=True):
        shown = f[t == side]
        axis.hist(shown, edges, color=colour, alpha=0.7, hatch=hatch, label=f"class {name}")
    axis.axvline(0, color="black", linestyle="--", label="boundary")
    wrong = int((t * f <= 0).sum())
    axis.set(xlabel="output f", ylabel="samples", title=f"{wrong} mistakes on {len(f)} samples")
    legend_below(axis, ncols=3)
    return figure


def retina_picture(weights: np.ndarray) -> Figure:
    """Draw the weights [D] of the points of a square retina, on a scale that is symmetric to 0."""
    figure = Figure(figsize=(5, 4.2), layout="constrained")
    axis = figure.subplots()
    largest = max(float(np.abs(weights).max()), 1e-12)
    image = axis.imshow(weights.reshape(RETINA, RETINA), cmap="PuOr", vmin=-largest, vmax=largest)
    figure.colorbar(image, ax=axis, label="weight")
    axis.set(xlabel="column", ylabel="row", title="weights of the points of the retina")
    axis.set(xticks=range(0, RETINA, 4), yticks=range(0, RETINA, 4))
    return figure


def bound_picture(margins: np.ndarray, updates: np.ndarray, bounds: np.ndarray) -> Figure:
    """Draw updates [R] and bounds [R] of runs against 1 / margin^2, of margins [R]."""
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axis = figure.subplots()
    inverse = 1 / margins**2
    axis.scatter(inverse, bounds, c="black", marker="_", label="bound M / margin²")
    axis.scatter(inverse, updates, c=COLOURS[1], s=14, label="updates of a run")
    axis.set(xscale="log", yscale="log", xlabel="1 / margin²", ylabel="updates")
    axis.set_title("updates until no mistake is left, and their bound")
    axis.grid(alpha=0.3)
    legend_below(axis, ncols=2)
    return figure
