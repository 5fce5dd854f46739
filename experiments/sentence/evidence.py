"""The evidence of each word of a sentence for the predicted class, and a picture of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS, SIZE = 96, 8  # characters of a line, points of a character


class Rating(NamedTuple):
    """Predicted class of a sentence, its probability, and the contributions [T] of the words."""

    label: int
    probability: float
    contributions: np.ndarray


def relative(contributions: np.ndarray) -> np.ndarray:
    """Contributions [T] divided by the largest absolute value: from -1 to 1."""
    return contributions / (np.abs(contributions).max() or 1)


def evidence_picture(
    sentences: Sequence[Sequence[str]],
    ratings: Sequence[Rating],
    labels: Sequence[str],
    classes: Sequence[str],
) -> "Figure":
    """Draw sentences: words for the predicted class on blue, words against it on orange.

    The latter are underlined, too. labels: the true class of each sentence.
    """
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties

    from experiments.common.pictures import columns_of
    from train.drawing import PALETTE, drawable

    cells, titles, line = [], [], 0
    for words, rating, label in zip(sentences, ratings, labels, strict=True):
        predicted = classes[rating.label]
        correction = "" if predicted == label else f", true class {label}"
        titles.append((line, f"{predicted} {rating.probability:.2f}{correction}"))
        line, column = line + 1, 2
        for word, strength in zip(words, relative(rating.contributions), strict=True):
            visible = drawable(word, FontProperties(family="monospace"))[: COLUMNS - 2]
            if column + columns_of(visible) > COLUMNS:
                line, column = line + 1, 2
            cells.append((line, column, visible, float(strength)))
            column += columns_of(visible) + 1
        line += 2
    width, height = 0.602 * SIZE / 72, 1.5 * SIZE / 72  # of a character and a line, in inches
    figure = Figure(figsize=(COLUMNS * width, line * height + 0.5))
    axis = figure.add_axes((0, 0, 1, 1 - 0.5 / figure.get_figheight()))
    axis.set(xlim=(0, COLUMNS), ylim=(line, 0))
    axis.axis("off")
    title = "blue: evidence for the predicted class; orange, underlined: evidence against it"
    axis.set_title(title, fontsize=SIZE + 2)
    style: dict[str, Any] = {
        "family": "monospace",
        "size": SIZE,
        "va": "center",
        "parse_math": False,
    }
    for row, text in titles:
        axis.text(1, row + 0.5, text, weight="bold", **style)
    for row, column, word, strength in cells:
        colour = PALETTE[0] if strength > 0 else PALETTE[1]
        ends, alpha = [column, column + columns_of(word)], abs(strength)
        axis.fill_between(ends, row + 0.1, row + 0.95, color=colour, alpha=0.6 * alpha, lw=0)
        if strength < 0:
            axis.plot(ends, [row + 0.95] * 2, color="black", alpha=alpha, lw=1)
        axis.text(column, row + 0.5, word, **style)
    return figure
