"""Picture of a hyperparameter search: the objective of each trial, and the best so far."""

import itertools
from pathlib import Path

from matplotlib.figure import Figure

from train.drawing import LOG_SPAN, PALETTE, legend_below, limit_share, png_of
from train.rundir import read_json


def draw_search(folder: Path, output: Path) -> list[Path]:
    """Write search.png of the search in a folder to another; return its path, [] without one."""
    search = read_json(folder / "search.json")
    if search is None:
        return []
    path = output / "search.png"
    path.write_bytes(png_of(picture(search)))
    return [path]


def picture(search: dict) -> Figure:
    """Objective against trial number; `search` is the contents of search.json."""
    trials = [trial for trial in search["trials"] if trial["value"] is not None]
    complete = [trial for trial in trials if trial["state"] == "complete"]
    better = max if search["direction"] == "maximize" else min
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    for state, style, color in (("complete", "o", PALETTE[0]), ("pruned", "x", PALETTE[1])):
        matching = [trial for trial in trials if trial["state"] == state]
        numbers = [trial["number"] for trial in matching]
        axis.plot(numbers, [trial["value"] for trial in matching], style, color=color, label=state)
    best = list(itertools.accumulate((trial["value"] for trial in complete), better))
    numbers = [trial["number"] for trial in complete]
    axis.step(numbers, best, "--", where="post", color="black", label="best so far", zorder=1)
    values = [trial["value"] for trial in trials]
    if min(values, default=0) > 0 and max(values) > LOG_SPAN * min(values):
        axis.set_yscale("log")  # on a linear axis, one bad trial would flatten all others
    else:
        limit_share(axis, search["objective"], values)
    axis.set_title(f"{len(trials)} trials of a search")
    axis.set_xlabel("trial")
    axis.set_ylabel(search["objective"])
    axis.grid(alpha=0.3)
    legend_below(axis, ncols=3)
    return figure
