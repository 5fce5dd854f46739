"""--mode=units: single hidden units over a text, those that follow strings, brackets or the line.

Source: Karpathy, Johnson and Fei-Fei, "Visualizing and Understanding Recurrent Networks", 2015.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from jax import lax
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from data.catalogue import DataError
from data.text.corpus import load_text, read_path
from experiments.common.pictures import save
from experiments.language.task import Symbols
from nets.language.recurrent_lm import LanguageModel
from train.evaluate import Predictor

LONGEST = 100_000  # characters that are read
WIDTH, ROWS = 84, 4  # cells of a passage
SHOWN = {"\n": "↵", "\t": "→"}
# a string ends with its line, but for one in three quotes; an apostrophe after a letter begins none
SPANS = re.compile(
    r"""(?<!\w)[rRbBfFuU]{0,2}(?P<string>
        '''(?:\\.|[^\\])*?(?:'''|\Z) | \"""(?:\\.|[^\\])*?(?:\"""|\Z)
        | '(?:\\.|[^'\\\n])*'? | "(?:\\.|[^"\\\n])*"?
    ) | (?P<comment>\#[^\n]*)""",
    re.DOTALL | re.VERBOSE,
)


class Characters(Protocol):
    """What is drawn: a task of characters."""

    model: LanguageModel
    vocabulary: Symbols
    config: Any


class Found(NamedTuple):
    """A feature, the unit that follows it best, and their correlation on text not chosen by."""

    feature: str
    unit: int
    correlation: float


def features_of(text: str) -> dict[str, np.ndarray]:
    """What holds after each of the N characters of a text, float32 [N] by name.

    Strings and comments are those of Python, as far as a line of any text has them. Brackets inside
    of those do not count, and an empty line closes all that are open.
    """
    inside = {name: np.zeros(len(text), np.float32) for name in ("string", "comment")}
    for span in SPANS.finditer(text):
        kind = str(span.lastgroup)
        first, end = span.span(kind)
        inside[kind][first : end - (kind == "string")] = 1  # after its last quote it is over
    places = np.arange(len(text))
    ends = np.array([character == "\n" for character in text])
    column = places - np.maximum.accumulate(np.where(ends, places, -1))
    indents = [len(line) - len(line.lstrip()) for line in text.split("\n")]
    return {
        "inside a string": inside["string"],
        "inside a comment": inside["comment"],
        "depth of brackets": np.fromiter(depths(text, inside), np.float32, len(text)),
        "inside a word": np.array([c.isalnum() or c == "_" for c in text], np.float32),
        "column in the line": column.astype(np.float32),
        "indentation": np.minimum(column, np.repeat(indents, line_sizes(text))).astype(np.float32),
    }


def line_sizes(text: str) -> np.ndarray:
    """Characters of each line, int [L], its end counted with it."""
    sizes = np.array([len(line) + 1 for line in text.split("\n")])
    sizes[-1] -= 1  # the last has no end
    return sizes


def depths(text: str, inside: Mapping[str, np.ndarray]) -> Iterator[int]:
    """Yield how many brackets are open after each character."""
    depth, before = 0, ""
    code = (inside["string"] + inside["comment"]) == 0
    for character, counts in zip(text, code, strict=True):
        if counts and character in "([{":
            depth += 1
        elif counts and character in ")]}":
            depth = max(0, depth - 1)
        elif before == character == "\n":
            depth = 0
        yield depth
        before = character


def states_of(model: LanguageModel, variables, ids: np.ndarray) -> list[np.ndarray]:
    """State after each symbol of ids [N], float32 [N, H] for each layer: an LSTM's c, others' h."""

    @jax.jit
    def read(variables, ids):
        def step(carry, token):
            _, carry = model.apply(variables, token[None, None], carry)
            return carry, [jax.tree.leaves(layer)[0][0] for layer in carry]

        return lax.scan(step, model.initialize_carry(1), ids)[1]

    return [np.asarray(layer) for layer in read(variables, ids)]


def correlations(states, feature) -> np.ndarray:
    """Pearson's correlation [U] of each column of states [N, U] with a feature [N]; 0 of constants.

    Both are taken from their means, and r = sum xy / sqrt(sum x^2 sum y^2).
    """
    x, y = (
        np.asarray(a, np.float64) - np.mean(a, axis=0, dtype=np.float64) for a in (states, feature)
    )
    scale = np.sqrt((x**2).sum(axis=0) * (y**2).sum())
    return np.divide(y @ x, scale, out=np.zeros(x.shape[1]), where=scale > 1e-9)


def find_units(states, features: Mapping[str, np.ndarray]) -> list[Found]:
    """For each feature the column of states [N, U] of highest absolute correlation.

    It is chosen on the first half, and its correlation is that on the second; a feature that does
    not change in both of them is left out.
    """
    half = len(states) // 2
    found = []
    for name, feature in features.items():
        if min(len(np.unique(part)) for part in (feature[:half], feature[half:])) > 1:
            unit = int(np.abs(correlations(states[:half], feature[:half])).argmax())
            told = correlations(states[half:, unit : unit + 1], feature[half:])
            found.append(Found(name, unit, float(told[0])))
    return found


def units(task: Characters, predict: Predictor) -> None:
    """--mode=units: find the units that follow features of a text, and draw them."""
    config = task.config
    if config.input:
        text = read_path(Path(config.input).expanduser())[:LONGEST]
    else:
        text = load_text(config.dataset, config.data_dir).validation[:LONGEST]
    layers = states_of(task.model, predict.variables, task.vocabulary.encode(text))
    names = [
        f"unit {unit}" + f" of layer {number}" * (len(layers) > 1)
        for number, layer in enumerate(layers, 1)
        for unit in range(layer.shape[1])
    ]
    states, features = np.concatenate(layers, axis=1), features_of(text)
    found = find_units(states, features)
    if not found:
        raise DataError("the text is too short or too even: none of its features changes")
    draw(text, states, features, found, names=names, path=config.picture)
    for name, unit, correlation in found:
        print(f"{name:<20} {names[unit]:<20} {correlation:+.3f}")
    print(f"correlations on the second half of {len(text)} characters: {config.picture}")


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
