"""Pictures of a sweep: learning curves, and the metric against one setting or two."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.report.runs import Group, Run, best_groups, group_by, mean_curve, mean_interval

MOST = 12  # groups, or values of a setting, that one picture shows readably
LONGEST = 100  # characters of a label in the legend
LONGEST_TICK = 28
LOG_SPAN = 20  # numbers that span more than this factor are on a logarithmic axis
DPI = 120


def short(text: str, longest: int) -> str:
    """Return the text on one line, without its middle when it is longer."""
    text, half = text.replace("\n", "\\n"), (longest - 3) // 2
    if len(text) > longest:
        text = f"{text[:half]}...{text[-half:]}"
    return text.replace("$", r"\$")  # no formula


def curves(groups: Sequence[Group], metric: str, objective: str) -> Figure:
    """Held-out metric against steps: a colour a group, its finished runs' mean with its interval.

    Single runs and their training loss are faint. The `MOST` groups of the lowest mean `objective`
    are shown.
    """
    shown = best_groups(groups, objective, MOST)
    train = "train/" + metric.rpartition("/")[2]
    runs = [run for group in shown for run in group.runs]
    labels = [short(group.label, LONGEST) for group in shown]
    columns = max(1, min(4, LONGEST // (max(map(len, labels)) + 8)))
    height = 5 + 0.22 * -(-len(labels) // columns)
    figure = Figure(figsize=(8, height), layout="constrained")
    axis = figure.subplots()
    faint = max(0.2, 0.4 - 0.03 * len(shown))
    for i, group in enumerate(shown):
        color, dashes = f"C{i % 10}", ("-", "--")[i // 10]
        for run in group.runs:
            for name, style in ((metric, "-"), (train, ":")):
                points = run.curve(name)
                axis.plot(
                    list(points), list(points.values()), style, color=color, alpha=faint, lw=1
                )
        steps, means, halves = map(np.array, mean_curve(group, metric))
        marker = "." if len(steps) <= 40 else ""
        axis.plot(steps, means, dashes, marker=marker, color=color, lw=1.8, label=labels[i])
        band = (means - halves, means + halves)
        axis.fill_between(steps, *band, color=color, alpha=faint**2, lw=0)
    limit_to_trained(axis, runs, metric)
    title = f"{metric}: mean and 95 % interval\nsingle runs faint"
    title += f", {train} dotted" * any(run.curve(train) for run in runs)
    if len(shown) < len(groups):
        title += f"\nbest {len(shown)} of {len(groups)} configurations by {objective}"
    axis.set_title(title, fontsize=11)
    axis.set_xlabel("steps")
    axis.set_ylabel(metric.rpartition("/")[2].replace("_", " "))
    axis.grid(alpha=0.3)
    figure.legend(
        loc="outside lower center", ncols=columns, fontsize=9, frameon=False, handlelength=3
    )
    return figure


def limit_to_trained(axis: Axes, runs: Sequence[Run], metric: str) -> None:
    """Limit the axis to what is measured after the first twentieth of the steps.

    Untrained networks would press all that follows into a line.
    """
    late = [
        value
        for run in runs
        for step, value in run.curve(metric).items()
        if step >= run.config["steps"] / 20 and np.isfinite(value)
    ]
    if late:
        low, high = min(late), max(late)
        axis.set_ylim(low - 0.1 * (high - low) - 1e-3, high + 0.25 * (high - low) + 1e-3)


def by_value(groups: Sequence[Group], name: str, metric: str) -> list[Group]:
    """Groups of the runs that measured the metric, by one setting alone; numbers ascend."""
    runs = [run for group in groups for run in group.runs if group.values(metric)]
    found = group_by(runs, [name])
    return sorted(found, key=lambda group: group.settings[name]) if numeric(found, name) else found


def numeric(groups: Sequence[Group], name: str) -> bool:
    """True when every value of the setting is a number."""
    return all(type(group.settings[name]) in (int, float) for group in groups)


def best_values(
    groups: Sequence[Group], name: str, metric: str, objective: str
) -> tuple[list[Any], str]:
    """Values of a setting that a picture shows, and the line that says so when it is not all."""
    found = by_value(groups, name, metric)
    shown = best_groups(found, objective, MOST)
    values = [group.settings[name] for group in shown]
    if len(shown) == len(found):
        return values, ""
    return values, f"\nbest {len(shown)} of {len(found)} values of {name} by {objective}"


def pair_picture(
    groups: Sequence[Group], first: str, second: str, metric: str, objective: str
) -> Figure:
    """Mean of the metric over the finished runs for each value of two settings, as a heat map.

    At most the `MOST` values of each that have the lowest mean `objective`.
    """
    (rows, some), (columns, others) = (
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
        words = f"{means[i, j]:#.4g}".rstrip(".") if np.isfinite(means[i, j]) else "-"
        color = "white" if dark else "black"
        axis.text(j, i, words, ha="center", va="center", fontsize=9, color=color)
    names = [short(str(value), LONGEST_TICK) for value in columns]
    axis.set_xticks(range(len(columns)), names, rotation=turn(names, width))
    axis.set_yticks(range(len(rows)), [short(str(value), LONGEST_TICK) for value in rows])
    axis.set_xlabel(second)
    axis.set_ylabel(first)
    more = "\nover all values of the other settings" * (len(groups[0].settings) > 2)
    axis.set_title(f"mean {metric}{more}{some}{others}", fontsize=11)
    figure.colorbar(image)
    return figure


def setting_picture(groups: Sequence[Group], name: str, metric: str, objective: str) -> Figure:
    """Mean of the metric with its 95 % interval against one setting, single runs faint.

    A setting that is no number has its values side by side, at most the `MOST` best.
    """
    found, note = by_value(groups, name, metric), ""
    number = numeric(found, name)
    if not number:
        values, note = best_values(groups, name, metric, objective)
        found = [group for group in found if group.settings[name] in values]
    places = [group.settings[name] if number else i for i, group in enumerate(found)]
    names = [short(str(group.settings[name]), LONGEST_TICK) for group in found]
    means, halves = zip(*(mean_interval(group.values(metric)) for group in found), strict=True)
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    for place, group in zip(places, found, strict=True):
        values = group.values(metric)
        axis.plot([place] * len(values), values, "o", color="black", alpha=0.3, ms=4, mew=0)
    style = "o-" if number else "o"
    bars = [np.nan if half is None else half for half in halves]
    axis.errorbar(places, means, bars, fmt=style, color="C0", capsize=4, zorder=1)
    if number and places[0] > 0 and places[-1] > LOG_SPAN * places[0]:
        axis.set_xscale("log")
    if number:
        axis.autoscale_view()  # which is put off until something asks
        axis.set_xticks(*apart(axis, places, names))
        axis.set_xticks([], minor=True)
    else:
        axis.set_xticks(places, names, rotation=turn(names, 6.0))
        axis.margins(x=0.1)
    axis.set_axisbelow(True)
    axis.set_xlabel(name)
    axis.set_ylabel(metric.rpartition("/")[2].replace("_", " "))
    axis.set_title(f"{metric}: mean and 95 % interval; single runs faint{note}", fontsize=11)
    axis.grid(alpha=0.3)
    return figure


def turn(names: list[str], width: float) -> int:
    """Degrees to turn names by that are to stand side by side on so many inches."""
    return 90 if max(map(len, names)) * 0.1 > width / len(names) else 0


def apart(axis: Axes, places: list[float], names: list[str]) -> tuple[list[float], list[str]]:
    """Those ticks of ascending places whose names do not run into one another."""
    across = axis.transAxes.inverted().transform(
        axis.transData.transform([(place, 0) for place in places])
    )[:, 0]
    kept: list[int] = []
    for i in range(len(places)):
        if not kept or across[i] - across[kept[-1]] > 0.02 + 0.009 * (
            len(names[i]) + len(names[kept[-1]])
        ):
            kept.append(i)
    return [places[i] for i in kept], [names[i] for i in kept]


def draw(
    folder: Path, groups: Sequence[Group], metric: str, curve: str, objective: str
) -> list[Path]:
    """Write the pictures of a sweep into the folder; return their paths, curves.png first.

    curves.png shows `curve`. When one setting is swept, setting-A.png shows the metric against it;
    when several are, pair-A-B.png shows it against each two. A setting counts as swept when
    finished runs have two values of it.
    """
    pictures = {"curves": curves(groups, curve, objective)}
    swept = [name for name in groups[0].settings if len(by_value(groups, name, metric)) > 1]
    if len(swept) == 1:
        pictures[f"setting-{swept[0]}"] = setting_picture(groups, swept[0], metric, objective)
    for first, second in itertools.combinations(swept, 2):
        picture = pair_picture(groups, first, second, metric, objective)
        pictures[f"pair-{first}-{second}"] = picture
    paths = []
    for name, picture in pictures.items():
        paths.append(folder / f"{name}.png")
        picture.savefig(paths[-1], dpi=DPI)
    return paths
