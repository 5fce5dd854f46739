"""The evidence of each word of a sentence for its predicted class, and a picture of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS, SIZE = 96, 8  # characters of a line, points of a character


class Rating(NamedTuple):
    """The best class of a sentence, its probability, and what each word says for it, nats [T]."""

    label: int
    probability: float
    parts: np.ndarray


def relative(parts: np.ndarray) -> np.ndarray:
    """Parts [T] over the largest of them, so from -1 to 1."""
    return parts / (np.abs(parts).max() or 1)


def evidence_picture(
    sentences: Sequence[Sequence[str]],
    found: Sequence[Rating],
    right: Sequence[str],
    classes: Sequence[str],
) -> "Figure":
    """Draw sentences with a colour behind each word: green speaks for the class that was found."""
    from matplotlib.figure import Figure

    cells, heads, line = [], [], 0
    for words, rating, label in zip(sentences, found, right, strict=True):
        guess = classes[rating.label]
        note = "" if guess == label else f", is {label}"
        heads.append((line, f"{guess} {rating.probability:.2f}{note}"))
        line, column = line + 1, 2
        for word, strength in zip(words, relative(rating.parts), strict=True):
            shown = word[: COLUMNS - 2]
            if column + len(shown) > COLUMNS:
                line, column = line + 1, 2
            cells.append((line, column, shown, float(strength)))
            column += len(shown) + 1
        line += 2
    width, height = 0.602 * SIZE / 72, 1.5 * SIZE / 72  # inches of a letter, of a line
    figure = Figure(figsize=(COLUMNS * width, line * height + 0.5))
    axis = figure.add_axes((0, 0, 1, 1 - 0.5 / figure.get_figheight()))
    axis.set(xlim=(0, COLUMNS), ylim=(line, 0))
    axis.axis("off")
    title = "green speaks for the class that was found, red against it; 'is': the right class"
    axis.set_title(title, fontsize=SIZE + 2)
    style: dict[str, Any] = {
        "family": "monospace",
        "size": SIZE,
        "va": "center",
        "parse_math": False,
    }
    for row, text in heads:
        axis.text(1, row + 0.5, text, weight="bold", **style)
    for row, column, word, strength in cells:
        colour = (0.2, 0.7, 0.3) if strength > 0 else (0.9, 0.3, 0.3)
        end = column + len(word)
        axis.fill_between(
            [column, end], row + 0.1, row + 0.95, color=colour, alpha=abs(strength), lw=0
        )
        axis.text(column, row + 0.5, word, **style)
    return figure
