"""Pictures of a sweep: learning curves, and the metric against one or two settings."""

import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.report.intervals import mean_interval
from experiments.report.runs import Group, Run, best_groups, group_by, mean_curve
from train.drawing import (
    INTERVAL_RUNS,
    LOG_SPAN,
    MARKERS,
    PALETTE,
    is_logarithmic,
    limit_share,
    line_style,
    png_of,
)

MOST = 12  # maximum groups, or values of a setting, that stay legible in one picture
LABEL_LENGTH = 100  # maximum characters of a label in the legend
TICK_LENGTH = 28  # maximum characters of a tick label


def shorten(text: str, length: int) -> str:
    """Return the text on one line, with dots in its middle if it is longer than `length`."""
    text, half = text.replace("\n", "\\n"), (length - 3) // 2
    if len(text) > length:
        text = f"{text[:half]}...{text[-half:]}"
    return text


def curves(groups: Sequence[Group], metric: str, objective: str) -> Figure:
    """Held-out metric against steps: the mean of the finished runs of each group, with interval.

    A step has an interval if at least `INTERVAL_RUNS` runs have measured it. Single runs and their
    training metric are faint. Only the `MOST` groups with the lowest mean `objective` are drawn.
    """
    plotted = best_groups(groups, objective, MOST)
    train = "train/" + metric.rpartition("/")[2]
    runs = [run for group in plotted for run in group.runs]
    labels = [shorten(group.label, LABEL_LENGTH) for group in plotted]
    columns = max(1, min(4, LABEL_LENGTH // (max(map(len, labels)) + 8)))
    height = 5 + 0.22 * -(-len(labels) // columns)
    figure = Figure(figsize=(8, height), layout="constrained")
    axis = figure.subplots()
    faint = max(0.2, 0.4 - 0.03 * len(plotted))
    late: list[float] = []
    edges: list[float] = []
    for i, group in enumerate(plotted):
        style = line_style(i)
        color = style["color"]
        for run in group.runs:
            for name, dashes in ((metric, style["linestyle"]), (train, ":")):
                points = run.curve(name)
                late += late_values(run, points)
                xy = list(points), list(points.values())
                axis.plot(*xy, dashes, color=color, alpha=faint, lw=1)
        steps, means, halves = map(np.array, mean_with_interval(group, metric))
        marker = MARKERS[i % len(MARKERS)] if len(steps) <= 40 else ""
        axis.plot(steps, means, **style, marker=marker, ms=4, lw=1.8, label=labels[i])
        if np.isfinite(halves).any():
            band = (means - halves, means + halves)
            axis.fill_between(steps, *band, color=color, alpha=faint**2, lw=0)
            for edge in band:
                edges += late_values(group.runs[0], dict(zip(steps, edge, strict=True)))
    set_limits(axis, late, edges)
    limit_share(axis, metric, [value for run in runs for value in run.curve(metric).values()])
    cut = [mark_cut(axis, line) for line in axis.lines if line.get_label() in labels]
    title = f"{metric}: mean" + ", and 95 % interval of three runs or more" * bool(axis.collections)
    title += "\nsingle runs faint"
    title += f", {train} dotted" * any(run.curve(train) for run in runs)
    title += "\ntriangles: the curve continues outside" * any(cut)
    if len(plotted) < len(groups):
        title += f"\nbest {len(plotted)} of {len(groups)} configurations by {objective}"
    axis.set_title(title, fontsize=11)
    axis.set_xlabel("steps")
    axis.set_ylabel(metric.rpartition("/")[2].replace("_", " "))
    axis.grid(alpha=0.3)
    figure.legend(
        loc="outside lower center", ncols=columns, fontsize=9, frameon=False, handlelength=3
    )
    return figure


def mean_with_interval(
    group: Group, metric: str, most: int = sys.maxsize
) -> tuple[list[int], list[float], list[float]]:
    """`mean_curve` of a group, with NaN for the interval of fewer than `INTERVAL_RUNS` runs."""
    steps, means, halves = mean_curve(group, metric, most)
    finished = [run.curve(metric) for run in group.runs if run.result]
    counts = [sum(step in curve for curve in finished) for step in steps]
    pairs = zip(halves, counts, strict=True)
    return steps, means, [half if count >= INTERVAL_RUNS else np.nan for half, count in pairs]


def late_values(run: Run, points: Mapping[int, float]) -> list[float]:
    """Finite values after the first twentieth of the steps of a run.

    Those of untrained networks would flatten the rest of the curve.
    """
    start = run.config["steps"] / 20
    return [value for step, value in points.items() if step > start and np.isfinite(value)]


def set_limits(axis: Axes, late: Sequence[float], edges: Sequence[float]) -> None:
    """Limit the vertical axis to the late values and the edges of intervals.

    The axis is logarithmic if the values span more than a factor `LOG_SPAN`.
    """
    if not late:
        return
    logarithmic = min(late) > 0 and max(late) > LOG_SPAN * min(late)
    inside = [*late, *(edge for edge in edges if edge > 0 or not logarithmic)]
    low, high = min(inside), max(inside)
    if logarithmic:
        axis.set_yscale("log")
        axis.set_ylim(low / 1.2, high * 1.5)
    else:
        axis.set_ylim(low - 0.1 * (high - low) - 1e-3, high + 0.25 * (high - low) + 1e-3)


def mark_cut(axis: Axes, line: Line2D) -> bool:
    """Mark where a line comes in from above or below the axis, at its edge; False if nowhere."""
    steps, values = (np.asarray(data, float) for data in line.get_data())
    for edge, sign, marker, height in zip(
        axis.get_ylim(), (-1, 1), "v^", (0.02, 0.98), strict=True
    ):
        beyond = np.isfinite(values) & (sign * (values - edge) > 0)
        last = np.flatnonzero(beyond[:-1] & ~beyond[1:] & np.isfinite(values[1:]))
        if len(last):
            before, after = last[-1], last[-1] + 1
            scale = np.log if axis.get_yscale() == "log" else np.asarray
            outer, limit, inner = (float(scale(v)) for v in (values[before], edge, values[after]))
            share = (outer - limit) / (outer - inner)
            x = steps[before] + share * (steps[after] - steps[before])
            transform = axis.get_xaxis_transform()
            color = line.get_color()
            axis.plot([x], [height], marker, ms=8, mec="white", color=color, transform=transform)
            return True
    return False


def by_value(groups: Sequence[Group], name: str, metric: str) -> list[Group]:
    """Runs that measured the metric, grouped by one setting alone; numbers in increasing order."""
    runs = [run for group in groups for run in group.runs if group.values(metric)]
    by_name = group_by(runs, [name])
    if not numeric(by_name, name):
        return by_name
    return sorted(by_name, key=lambda group: group.settings[name])


def numeric(groups: Sequence[Group], name: str) -> bool:
    """Whether every value of the setting is a number."""
    return all(type(group.settings[name]) in (int, float) for group in groups)


def best_values(
    groups: Sequence[Group], name: str, metric: str, objective: str
) -> tuple[list[Any], str]:
    """Plotted values of a setting, and a line for the title if there are others."""
    candidates = by_value(groups, name, metric)
    plotted = best_groups(candidates, objective, MOST)
    values = [group.settings[name] for group in plotted]
    if len(plotted) == len(candidates):
        return values, ""
    return values, f"\nbest {len(plotted)} of {len(candidates)} values of {name} by {objective}"


def pair_picture(
    groups: Sequence[Group], first: str, second: str, metric: str, objective: str
) -> Figure:
    """Heat map of the mean metric of the finished runs for each pair of values of two settings.

    Only the `MOST` values of each setting with the lowest mean `objective` are drawn.
    """
    (rows, row_note), (columns, column_note) = (
        best_values(groups, name, metric, objective) for name in (first, second)
    )
    runs = [run for group in groups for run in group.runs]
    cells = {
        json.dumps(list(group.settings.values())): group.values(metric)
        for group in group_by(runs, [first, second])
    }
    means = np.full((len(rows), len(columns)), np.nan)
    for i, j in np.ndindex(means.shape):
        if values := cells.get(json.dumps([rows[i], columns[j]])):
            means[i, j] = np.mean(values)
    width = max(3.0, 0.72 * len(columns))
    size = (3.4 + width, 2.6 + 0.42 * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(np.ma.masked_invalid(means), cmap="viridis", aspect="auto")
    for i, j in np.ndindex(means.shape):
        red, green, blue, _ = image.to_rgba(means[i, j])
        dark = 0.3 * red + 0.6 * green + 0.1 * blue < 0.5 and np.isfinite(means[i, j])
        text = f"{means[i, j]:#.4g}".rstrip(".") if np.isfinite(means[i, j]) else "-"
        color = "white" if dark else "black"
        axis.text(j, i, text, ha="center", va="center", fontsize=9, color=color)
    labels = [shorten(str(value), TICK_LENGTH) for value in columns]
    axis.set_xticks(range(len(columns)), labels, rotation=label_rotation(labels, width))
    axis.set_yticks(range(len(rows)), [shorten(str(value), TICK_LENGTH) for value in rows])
    axis.set_xlabel(second)
    axis.set_ylabel(first)
    scope = "\nover all values of the other settings" * (len(groups[0].settings) > 2)
    axis.set_title(f"mean {metric}{scope}{row_note}{column_note}", fontsize=11)
    figure.colorbar(image, label=metric.rpartition("/")[2].replace("_", " "))
    return figure


def setting_picture(groups: Sequence[Group], name: str, metric: str, objective: str) -> Figure:
    """Mean of the metric against one setting, single runs faint.

    A mean of at least `INTERVAL_RUNS` runs has its 95 % interval. Values that are not numbers are
    drawn side by side, at most the `MOST` best ones.
    """
    plotted, note = by_value(groups, name, metric), ""
    is_number = numeric(plotted, name)
    if not is_number:
        values, note = best_values(groups, name, metric, objective)
        plotted = [group for group in plotted if group.settings[name] in values]
    positions = [group.settings[name] if is_number else i for i, group in enumerate(plotted)]
    labels = [shorten(str(group.settings[name]), TICK_LENGTH) for group in plotted]
    values_by_group = [group.values(metric) for group in plotted]
    means, halves = zip(*map(mean_interval, values_by_group), strict=True)
    counts = [len(values) for values in values_by_group]
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    single = [(x, y) for x, values in zip(positions, values_by_group, strict=True) for y in values]
    axis.plot(*zip(*single, strict=True), "o", color="black", alpha=0.3, ms=4, mew=0)
    style = "o-" if is_number else "o"
    if max(counts) >= INTERVAL_RUNS:
        pairs = zip(halves, counts, strict=True)
        bars = [half if n >= INTERVAL_RUNS else np.nan for half, n in pairs]
        axis.errorbar(positions, means, bars, fmt=style, color=PALETTE[0], capsize=4, zorder=1)
    else:
        axis.plot(positions, means, style, color=PALETTE[0], zorder=1)
    if is_number and is_logarithmic(positions):
        axis.set_xscale("log")
    if is_number:
        axis.autoscale_view()  # the limits, which are otherwise computed later
        axis.set_xticks(*legible_ticks(axis, positions, labels))
        axis.set_xticks([], minor=True)
    else:
        axis.set_xticks(positions, labels, rotation=label_rotation(labels, 6.0))
        axis.margins(x=0.1)
    axis.set_axisbelow(True)
    axis.set_xlabel(name)
    axis.set_ylabel(metric.rpartition("/")[2].replace("_", " "))
    interval = ", and 95 % interval of three runs or more" * (max(counts) >= INTERVAL_RUNS)
    axis.set_title(f"{metric}: mean{interval}\nsingle runs small{note}", fontsize=11)
    axis.grid(alpha=0.3)
    limit_share(axis, metric, [value for _, value in single])
    return figure


def label_rotation(labels: list[str], width: float) -> int:
    """Rotation in degrees at which labels fit side by side into `width` inches."""
    return 90 if max(map(len, labels)) * 0.1 > width / len(labels) else 0


def legible_ticks(
    axis: Axes, positions: list[float], labels: list[str]
) -> tuple[list[float], list[str]]:
    """Ticks at increasing positions, without those whose labels would overlap the one before."""
    fractions = axis.transAxes.inverted().transform(
        axis.transData.transform([(position, 0) for position in positions])
    )[:, 0]
    chosen: list[int] = []
    for i in range(len(positions)):
        if not chosen or fractions[i] - fractions[chosen[-1]] > 0.02 + 0.009 * (
            len(labels[i]) + len(labels[chosen[-1]])
        ):
            chosen.append(i)
    return [positions[i] for i in chosen], [labels[i] for i in chosen]


def draw(
    folder: Path, groups: Sequence[Group], metric: str, curve: str, objective: str
) -> list[Path]:
    """Write the pictures of a sweep to the folder; return their paths, curves.png first.

    curves.png shows `curve`. With one swept setting A, setting-A.png shows the metric against it;
    with several, a file pair-A-B.png shows it against each pair of them. A setting is swept if
    finished runs have at least two values of it. The settings of several experiments, which differ
    in more than these, have no pictures.
    """
    pictures = {"curves": curves(groups, curve, objective)}
    names = [] if "experiment" in groups[0].settings else list(groups[0].settings)
    swept = [name for name in names if len(by_value(groups, name, metric)) > 1]
    if len(swept) == 1:
        pictures[f"setting-{swept[0]}"] = setting_picture(groups, swept[0], metric, objective)
    for first, second in itertools.combinations(swept, 2):
        picture = pair_picture(groups, first, second, metric, objective)
        pictures[f"pair-{first}-{second}"] = picture
    paths = []
    for name, picture in pictures.items():
        paths.append(folder / f"{name}.png")
        paths[-1].write_bytes(png_of(picture))
    return paths
