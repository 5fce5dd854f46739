"""Axes, intervals and scales of the pictures of image networks."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import robustness
from experiments.image.caption_pictures import attention_picture
from experiments.image.detection_pictures import recall_picture
from experiments.image.robustness import CHANGES, Line, draw_curves
from experiments.image.segmentation import picture

RESULTS = Path(__file__).parents[3] / "experiments" / "results"


def accuracies(runs):
    """Random accuracies of some runs by metric."""
    rng = np.random.default_rng(0)
    return {
        f"test/{change.name} {level:g}": rng.uniform(0.6, 1, runs).tolist()
        for change in CHANGES
        for level in change.levels
    }


@pytest.mark.parametrize(("runs", "bars", "points"), [(1, 0, 0), (2, 0, 2), (3, 1, 0)])
def test_three_runs_have_bars_and_two_are_points(runs, bars, points):
    lines = robustness.lines_of(accuracies(runs))
    if runs == 1:  # as --mode=robustness makes them
        lines = {name: Line(line.levels, line.mean) for name, line in lines.items()}
    figure = draw_curves({"one": lines, "other": lines})
    for axis in figure.axes:
        assert len(axis.collections) == 2 * bars
        assert len([line for line in axis.lines if line.get_linestyle() == "None"]) == 2 * (
            points + 2 * bars  # the two caps of a bar
        )
        assert axis.get_ylim() == (0, 1)
    styles = {
        (line.get_linestyle(), line.get_color()) for line in axis.lines if len(line.get_xdata()) > 2
    }
    assert {("-", axis.lines[0].get_color())} < styles


def test_a_saved_result_is_drawn_without_its_runs(tmp_path, monkeypatch, capsys):
    path = RESULTS / "lenet5_robustness.json"
    drawn = tmp_path / "robustness.png"
    words = ["bench.robustness", f"--results={path}", f"--picture={drawn}"]
    monkeypatch.setattr(sys, "argv", words)
    robustness.main()
    assert drawn.stat().st_size > 10_000
    row = json.loads(path.read_text(encoding="utf-8"))["rows"][0]
    mean = np.mean(row["metrics"]["test/scale 0.4"])
    assert f"0.4: {mean:.4f}" in capsys.readouterr().out


def test_recall_is_a_percentage_with_a_marker_for_each_method():
    curves = {("a", 0.5): np.array([0.5, 1.0]), ("b", 0.5): np.array([0.1, 0.2])}
    (axis,) = recall_picture([1, 100], curves).axes
    assert axis.get_ylim() == (0, 100)
    assert axis.get_xscale() == "log"
    assert len({(line.get_marker(), line.get_color()) for line in axis.lines}) == 2


def test_attention_over_an_image_has_a_scale():
    figure = attention_picture(np.zeros((1, 4, 4, 3)), [["a", "b"]], np.ones((1, 2, 4)))
    *_, scale = figure.axes
    assert scale.get_ylabel() == "attention / its largest"
    assert scale.get_ylim() == (0, 1)


def test_large_regions_have_the_names_of_their_classes():
    labels = np.zeros((1, 20, 20), int)
    labels[0, :, 12:] = 1
    labels[0, 0, 0] = 2  # a single pixel, too small for its name
    figure = picture(np.zeros((1, 20, 20, 3)), {"truth": labels}, ("road", "sky", "sign"))
    texts = {text.get_text(): text.get_position() for text in figure.axes[1].texts}
    assert set(texts) == {"road", "sky"}
    assert texts["road"][0] < 12 <= texts["sky"][0]
