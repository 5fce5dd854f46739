"""Passages of a text in the colours of single hidden units: what --mode=units draws."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.common.pictures import save
from experiments.language.units import Found, line_sizes

WIDTH, ROWS = 84, 4  # cells of a passage
SHOWN = {"\n": "↵", "\t": "→"}


def rows_of(text: str) -> list[range]:
    """Places of a text in rows of at most WIDTH, an end of a line being the last of its row."""
    bounds = np.cumsum([0, *line_sizes(text)]).tolist()
    lines = itertools.starmap(range, itertools.pairwise(bounds))
    return [line[i : i + WIDTH] for line in lines for i in range(0, len(line), WIDTH)]


def passage(rows: Sequence[range], feature: np.ndarray, first: int) -> Sequence[range]:
    """ROWS rows that begin at `first` or later, with the most variation of the feature in all."""
    later = [i for i, row in enumerate(rows) if row[0] >= first]
    starts = later[: max(1, len(later) - ROWS + 1)] or [0]

    def variation(i: int) -> float:
        inside = feature[rows[i][0] : rows[min(i + ROWS, len(rows)) - 1][-1] + 1]
        return float(inside.var()) * len(inside)

    best = max(starts, key=variation)
    return rows[best : best + ROWS]


def draw(
    text: str,
    states: np.ndarray,
    features: Mapping[str, np.ndarray],
    found: Sequence[Found],
    *,
    names: Sequence[str],
    path: str,
) -> None:
    """Draw for each unit a passage of the text's second half, coloured by the unit, to a file.

    names: of the units. A grey line below the text is the feature. DataError when the file cannot
    be written.
    """
    rows = rows_of(text)
    figure = Figure(figsize=(10, 1.25 * len(found) + 0.5), layout="constrained")
    for axis, (name, unit, correlation) in zip(
        figure.subplots(len(found), 1, squeeze=False)[:, 0], found, strict=True
    ):
        shown = passage(rows, features[name], len(text) // 2)
        fill(axis, text, shown, states[:, unit], features[name])
        title = f"{name} (grey line): {names[unit]}, correlation {correlation:+.2f}"
        axis.set_title(title, fontsize=10, loc="left")
    figure.supxlabel("blue: the unit is low, white: at its median, red: it is high", fontsize=9)
    save(figure, path)


def fill(axis: Axes, text: str, shown: Sequence[range], unit: np.ndarray, feature) -> None:
    """Write rows of a text into cells of the unit's colours, with the feature below them."""
    middle = np.median(unit)
    reach = np.quantile(np.abs(unit - middle), 0.98) or 1.0
    cells = np.ones((ROWS, WIDTH, 3))
    highest = max(feature[row[0] : row[-1] + 1].max() for row in shown) or 1.0
    for number, row in enumerate(shown):
        places = list(row)
        share = 0.5 + np.clip((unit[places] - middle) / reach, -1, 1) * 0.38  # no dark ends
        cells[number, : len(row)] = colormaps["RdBu_r"](share)[:, :3]
        heights = np.repeat(feature[places] / highest, 2) * 0.25
        edges = np.repeat(np.arange(len(row) + 1), 2)[1:-1] - 0.5
        axis.fill_between(edges, number + 0.5 - heights, number + 0.5, color="0.35", lw=0)
        for column, place in enumerate(places):
            axis.text(
                column,
                number,
                SHOWN.get(text[place], text[place]),
                ha="center",
                va="center",
                family="monospace",
                fontsize=9,
                parse_math=False,
            )
    axis.imshow(cells, aspect="auto")
    axis.axis("off")
