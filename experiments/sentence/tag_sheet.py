"""A picture of sentences with their tags in colour and their errors marked."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from data.sentences.schemes import split_tag
from data.sentences.tag_files import Sentence
from experiments.common.pictures import columns_of, legend_text
from train.drawing import drawable, line_style

COLUMNS = 100  # characters of a line
SIZE, SMALL = 8, 6  # font sizes of words and of tags, in points
ADVANCE, LINE = 0.602 * SIZE / 72, 1.2 * SIZE / 72  # of a monospaced character, of a line; inches
PICTURED = 8  # maximum number of sentences


class Cell(NamedTuple):
    """Text at a column of a line, with its predicted and its true tag."""

    column: int
    text: str
    tag: str
    true: str

    @property
    def label(self) -> str:
        """Description of an error."""
        return f"{self.tag} ({self.true})"


def tag_sheet(
    sentences: Sequence[Sentence], predicted: Sequence[Sequence[str]], by_character: bool
) -> Figure:
    """Draw sentences with errors, evenly sampled; if there are none, any sentences.

    The background of a word and the dashes of its frame show the type of its predicted tag. A word
    with a wrong tag is red and underlined, with the predicted tag and, in brackets, the true tag
    below it.
    """
    pairs = list(zip(sentences, predicted, strict=True))
    with_errors = [pair for pair in pairs if list(pair[0].tags) != list(pair[1])]
    candidates = with_errors or pairs
    lay_out = characters_in_lines if by_character else words_in_lines
    lines: list[list[Cell]] = []
    ends = []
    for (words, true), tags in candidates[:: -(-len(candidates) // PICTURED)]:
        lines += [*lay_out(words, tags, true), []]
        ends.append(len(lines) - 0.5)
    pitch = 1.0 if by_character else 2.0  # leaves room for a tag below a word
    kinds = sorted({kind_of(cell.tag) for line in lines for cell in line} - {"O"})
    boxes = {kind: box_style(i) for i, kind in enumerate(kinds)}
    figure = Figure(figsize=(COLUMNS * ADVANCE + 0.2, len(lines) * pitch * LINE + 0.6))
    axis = figure.add_axes((0.01, 0.0, 0.98, 1 - 0.6 / figure.get_figheight()))
    axis.set(xlim=(0, COLUMNS), ylim=(pitch * len(lines), 0))
    axis.axis("off")
    axis.hlines([pitch * end for end in ends[:-1]], 0, COLUMNS, color="0.8", linewidth=0.5)
    style: dict[str, Any] = {"family": "monospace", "va": "center", "parse_math": False}
    for number, line in enumerate(lines):
        y = pitch * number + 0.5
        for cell in line:
            column, width = cell.column, columns_of(cell.text)
            if cell.tag != "O":
                box = boxes[kind_of(cell.tag)]
                axis.add_patch(Rectangle((column, y - 0.5), width, 1, **box))
            wrong = cell.tag != cell.true
            axis.text(
                column, y, cell.text, color="red" if wrong else "black", fontsize=SIZE, **style
            )
            if wrong:
                axis.plot([column, column + width], [y + 0.45] * 2, "r", linewidth=1)
                if not by_character:
                    axis.text(column, y + 0.9, cell.label, color="red", fontsize=SMALL, **style)
    handles: list[Any] = [Line2D([], [], color="red", linewidth=1, label="wrong")]
    handles += [Patch(label=legend_text(kind), **box) for kind, box in boxes.items()]
    figure.legend(handles=handles, loc="upper center", ncols=9, fontsize=7, frameon=False)
    return figure


def box_style(number: int) -> dict[str, Any]:
    """Pale background, and colour and dashes of the frame, of the words of a type."""
    style = line_style(number)
    return {
        "facecolor": (style["color"], 0.25),
        "edgecolor": style["color"],
        "linestyle": style["linestyle"],
        "linewidth": 0.7,
    }


def words_in_lines(words, tags, true) -> list[list[Cell]]:
    """Words separated by spaces, with enough room for the labels below them."""
    lines: list[list[Cell]] = [[]]
    column = 0
    for word, tag, true_tag in zip(words, tags, true, strict=True):
        cell = Cell(column, monospaced(word), tag, true_tag)
        label_width = -(-len(cell.label) * SMALL // SIZE) if tag != true_tag else 0
        width = max(columns_of(cell.text), label_width) + 1
        if column and column + width > COLUMNS:
            lines.append([])
            column, cell = 0, cell._replace(column=0)
        lines[-1].append(cell)
        column += width
    return lines


def characters_in_lines(characters, tags, true) -> list[list[Cell]]:
    """Characters in the lines of their text, with adjacent ones of one type in one cell."""
    lines: list[list[Cell]] = []
    rows: list[list[tuple[str, str, str]]] = [[]]
    width = 0
    for character, tag, true_tag in zip(characters, tags, true, strict=True):
        text = monospaced(character)
        if character == "\n" or width + columns_of(text) > COLUMNS:
            rows.append([])
            width = 0
        if character != "\n":
            rows[-1].append((text, tag, true_tag))
            width += columns_of(text)
    for row in rows:
        line: list[Cell] = []
        for _, group in groupby(row, lambda item: (kind_of(item[1]), item[1] == item[2])):
            run = list(group)
            column = line[-1].column + columns_of(line[-1].text) if line else 0
            line.append(Cell(column, "".join(text for text, _, _ in run), *run[0][1:]))
        lines.append(line)
    return lines


def kind_of(tag: str) -> str:
    """Type of a tag: TYPE for B-TYPE and the like, "span" for B and the like, else the tag."""
    letter, kind = split_tag(tag)
    return tag if letter in ("", "O") else kind or "span"


def monospaced(text: str) -> str:
    """Text as the picture shows it, with escapes for characters without a font."""
    return drawable(text, FontProperties(family="monospace"))
