"""--mode=units: hidden units that follow strings, brackets or the position in a line of a text.

Source: Karpathy, Johnson and Fei-Fei, "Visualizing and Understanding Recurrent Networks", 2015.
"""

import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jax import lax
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from data.catalogue import DataError
from data.text.corpus import read_path
from experiments.common.output import picture_of, save_to
from nets.language.recurrent_lm import LanguageModel
from train.drawing import drawable
from train.output import Output
from train.trained import TrainedRun

MAX_CHARACTERS = 100_000  # characters to read
WIDTH, ROWS = 84, 4  # columns and rows of a passage
GLYPHS = {"\n": "↵", "\t": "→"}
# from blue through white to red, without the ends, which are too dark for text
COLOURS = ListedColormap(colormaps["RdBu_r"](np.linspace(0.12, 0.88, 255)))
# a string ends with its line at the latest, unless it is triple-quoted; an apostrophe that follows
# a letter does not begin a string
SPANS = re.compile(
    r"""(?<!\w)[rRbBfFuU]{0,2}(?P<string>
        '''(?:\\.|[^\\])*?(?:'''|\Z) | \"""(?:\\.|[^\\])*?(?:\"""|\Z)
        | '(?:\\.|[^'\\\n])*'? | "(?:\\.|[^"\\\n])*"?
    ) | (?P<comment>\#[^\n]*)""",
    re.DOTALL | re.VERBOSE,
)


class Match(NamedTuple):
    """A feature, the unit that follows it best, and their correlation on other text."""

    feature: str
    unit: int
    correlation: float


def features_of(text: str) -> dict[str, np.ndarray]:
    """Features float32 [N] of a text after each of its N characters, by name.

    Strings and comments follow the syntax of Python, in any text. Brackets inside them do not
    count, and an empty line closes all open brackets.
    """
    inside = {name: np.zeros(len(text), np.float32) for name in ("string", "comment")}
    for span in SPANS.finditer(text):
        kind = str(span.lastgroup)
        first, end = span.span(kind)
        inside[kind][first : end - (kind == "string")] = 1  # a string is over after its last quote
    positions = np.arange(len(text))
    is_newline = np.array([character == "\n" for character in text])
    column = positions - np.maximum.accumulate(np.where(is_newline, positions, -1))
    indents = [len(line) - len(line.lstrip()) for line in text.split("\n")]
    indentation = np.minimum(column, np.repeat(indents, line_lengths(text)))
    return {
        "inside a string": inside["string"],
        "inside a comment": inside["comment"],
        "depth of brackets": np.fromiter(bracket_depths(text, inside), np.float32, len(text)),
        "inside a word": np.array([c.isalnum() or c == "_" for c in text], np.float32),
        "column in the line": column.astype(np.float32),
        "indentation": indentation.astype(np.float32),
    }


def line_lengths(text: str) -> np.ndarray:
    """Length int [L] of each line, including its newline."""
    lengths = np.array([len(line) + 1 for line in text.split("\n")])
    lengths[-1] -= 1  # the last line has no newline
    return lengths


def bracket_depths(text: str, inside: Mapping[str, np.ndarray]) -> Iterator[int]:
    """Yield the number of open brackets after each character."""
    depth, previous = 0, ""
    code = (inside["string"] + inside["comment"]) == 0
    for character, is_code in zip(text, code, strict=True):
        if is_code and character in "([{":
            depth += 1
        elif is_code and character in ")]}":
            depth = max(0, depth - 1)
        elif previous == character == "\n":
            depth = 0
        yield depth
        previous = character


def states_of(model: LanguageModel, variables, ids: np.ndarray) -> list[np.ndarray]:
    """States float32 [N, H] of each layer after the symbols of ids [N]: c of an LSTM, else h."""

    @jax.jit
    def read(variables, ids):
        def step(carry, token):
            _, carry = model.apply(variables, token[None, None], carry)
            return carry, [jax.tree.leaves(layer)[0][0] for layer in carry]

        return lax.scan(step, model.initialize_carry(1), ids)[1]

    return [np.asarray(layer) for layer in read(variables, ids)]


def correlations(states, feature) -> np.ndarray:
    """Pearson's correlation [U] of each column of states [N, U] with a feature [N].

    r = sum xy / sqrt(sum x^2 sum y^2) of the deviations x, y from their means; 0 for a constant.
    """
    x, y = (
        np.asarray(a, np.float64) - np.mean(a, axis=0, dtype=np.float64) for a in (states, feature)
    )
    scale = np.sqrt((x**2).sum(axis=0) * (y**2).sum())
    return np.divide(y @ x, scale, out=np.zeros(x.shape[1]), where=scale > 1e-9)


def find_units(states, features: Mapping[str, np.ndarray]) -> list[Match]:
    """For each feature, the column of states [N, U] with the highest absolute correlation.

    The unit is chosen on the first half of the text, and the correlation reported is that on the
    second half. A feature that is constant in one of the halves is left out.
    """
    half = len(states) // 2
    matches = []
    for name, feature in features.items():
        if min(len(np.unique(values)) for values in (feature[:half], feature[half:])) > 1:
            unit = int(np.abs(correlations(states[:half], feature[:half])).argmax())
            (correlation,) = correlations(states[half:, unit : unit + 1], feature[half:])
            matches.append(Match(name, unit, float(correlation)))
    return matches


def units(run: TrainedRun) -> None:
    """Draw hidden units that follow strings, brackets or columns.

    The text is that of config.input, by default the validation text.
    """
    config, vocabulary, output = run.config, run.task.vocabulary, picture_of(run, "units")
    if config.input:
        text = read_path(Path(os.path.expanduser(config.input)))[:MAX_CHARACTERS]
    else:
        text = vocabulary.decode(run.held_out("validation").ids[:MAX_CHARACTERS])
    layers = states_of(run.task.model, run.variables, vocabulary.encode(text))
    names = [
        f"unit {unit}" + f" of layer {number}" * (len(layers) > 1)
        for number, layer in enumerate(layers, 1)
        for unit in range(layer.shape[1])
    ]
    states, features = np.concatenate(layers, axis=1), features_of(text)
    matches = find_units(states, features)
    if not matches:
        raise DataError("the text is too short or too uniform: no feature varies in both halves")
    path = draw(text, states, features, matches, names=names, output=output)
    for name, unit, correlation in matches:
        print(f"{name:<20} {names[unit]:<20} {correlation:+.3f}")
    print(f"correlations on the second half of {len(text)} characters: {path}")


def rows_of(text: str) -> list[range]:
    """Positions of a text in rows of at most WIDTH; a newline is the last position of its row."""
    bounds = np.cumsum([0, *line_lengths(text)]).tolist()
    lines = itertools.starmap(range, itertools.pairwise(bounds))
    return [line[i : i + WIDTH] for line in lines for i in range(0, len(line), WIDTH)]


def passage(rows: Sequence[range], feature: np.ndarray, first: int) -> Sequence[range]:
    """The ROWS rows from position `first` on in which the feature varies most in total."""
    later = [i for i, row in enumerate(rows) if row[0] >= first]
    starts = later[: max(1, len(later) - ROWS + 1)] or [0]

    def variation(i: int) -> float:
        values = feature[rows[i][0] : rows[min(i + ROWS, len(rows)) - 1][-1] + 1]
        return float(values.var()) * len(values)

    best = max(starts, key=variation)
    return rows[best : best + ROWS]


def draw(
    text: str,
    states: np.ndarray,
    features: Mapping[str, np.ndarray],
    matches: Sequence[Match],
    *,
    names: Sequence[str],
    output: Output,
) -> str:
    """Draw a passage of the second half of the text for each match, coloured by its unit.

    names: names of the units. The grey line below the text is the feature. Each unit has its own
    scale: see `draw_passage`. Returns the text that names the file; raises DataError when it cannot
    be written.
    """
    rows = rows_of(text)
    figure = Figure(figsize=(10, 1.25 * len(matches) + 0.5), layout="constrained")
    axes = figure.subplots(len(matches), 1, squeeze=False)[:, 0]
    for axis, (name, unit, correlation) in zip(axes, matches, strict=True):
        visible = passage(rows, features[name], len(text) // 2)
        draw_passage(axis, text, visible, states[:, unit], features[name])
        title = f"{name} (grey line): {names[unit]}, correlation {correlation:+.2f}"
        axis.set_title(title, fontsize=10, loc="left")
    scale = ScalarMappable(Normalize(-1, 1), COLOURS)
    bar = figure.colorbar(
        scale,
        ax=axes,
        ticks=(-1, 0, 1),
        location="bottom",
        fraction=0.5 / len(matches),
        shrink=0.5,
        aspect=50,
    )
    bar.set_ticklabels(["low", "median", "high"])
    bar.set_label("state of the unit, each on its own scale", fontsize=9)
    return save_to(output, figure)


def draw_passage(
    axis: Axes, text: str, rows: Sequence[range], unit: np.ndarray, feature: np.ndarray
) -> None:
    """Draw rows of a text in cells coloured by a unit, with the feature below each row.

    The colours extend from the median of the unit to both sides by as much as 98 % of its states
    are away from it.
    """
    median = np.median(unit)
    scale = np.quantile(np.abs(unit - median), 0.98) or 1.0
    cells = np.ones((ROWS, WIDTH, 3))
    highest = max(feature[row[0] : row[-1] + 1].max() for row in rows) or 1.0
    for number, row in enumerate(rows):
        positions = list(row)
        shades = 0.5 + np.clip((unit[positions] - median) / scale, -1, 1) / 2
        cells[number, : len(row)] = COLOURS(shades)[:, :3]
        heights = np.repeat(feature[positions] / highest, 2) * 0.25
        edges = np.repeat(np.arange(len(row) + 1), 2)[1:-1] - 0.5
        axis.fill_between(edges, number + 0.5 - heights, number + 0.5, color="0.35", lw=0)
        for column, position in enumerate(positions):
            glyph = glyph_of(text[position])
            size = 9 if len(glyph) == 1 else 3.5
            axis.text(
                column, number, glyph, ha="center", va="center", family="monospace", fontsize=size
            )
    axis.imshow(cells, aspect="auto")
    axis.axis("off")


def glyph_of(character: str) -> str:
    """Visible form of a character; its code point, in lines of two digits, if no font has it."""
    glyph = drawable(GLYPHS.get(character, character), FontProperties(family="monospace"))
    digits = glyph.lstrip("\\xuU") if len(glyph) > 1 else ""
    return "\n".join(digits[i : i + 2] for i in range(0, len(digits), 2)) or glyph
