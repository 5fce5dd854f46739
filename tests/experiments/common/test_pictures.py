"""Confusion matrices of many classes, and the places of all legends."""

import ast
from pathlib import Path

import numpy as np

from experiments.common.pictures import CONFUSED, confusion_picture

ROOT = Path(__file__).resolve().parents[3]


def test_a_matrix_of_many_classes_shows_those_with_the_most_mistakes():
    size = 150
    labels = np.repeat(np.arange(size), 3)
    predictions = labels.copy()
    predictions[3 * 140] = 7  # one mistake, of classes 140 and 7
    figure = confusion_picture(labels, predictions, [f"class {i}" for i in range(size)])
    (axis,) = figure.axes
    names = [text.get_text() for text in axis.get_xticklabels()]
    assert len(names) == CONFUSED
    assert {"class 7", "class 140", "class 0"} <= set(names)
    assert (
        axis.get_title() == "1 mistakes on 450 examples\nshown: the 40 of 150 classes with the most"
    )
    row, column = names.index("class 140"), names.index("class 7")
    (image,) = axis.images
    assert image.get_array()[row, column] == image.get_array().sum() == 1
    assert max(figure.get_size_inches()) < 25


def test_every_legend_has_a_place():
    folders = [ROOT / name for name in ("bench", "experiments", "train")]
    files = [path for folder in folders for path in folder.rglob("*.py")]
    texts = {path.name: path.read_text(encoding="utf-8") for path in files}
    calls = [
        (name, node)
        for name, text in texts.items()
        if ".legend(" in text
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "legend"
    ]
    assert len(calls) > 8
    # matplotlib's own choice is slow, and differs from picture to picture
    assert not [name for name, call in calls if not {k.arg for k in call.keywords} & {"loc", None}]
