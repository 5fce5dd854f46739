"""Colours, axes, fonts and formulas of pictures."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import TABLEAU_COLORS, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from train import drawing
from train.drawing import MARKERS, PALETTE, drawable, line_style, marker_style, plain_texts, png_of

FORMULA = "it is $5 or 10% of $6^^"  # no formula, although it has two $
NOWHERE = "\U000e1234"  # a character that no font has
# from linear RGB to what is seen without one kind of cones; source: Machado, Oliveira and
# Fernandes, "A physiologically-based model for simulation of color vision deficiency", 2009
VISION = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


def lab(colour, vision):
    """CIELAB coordinates of a colour as it is seen."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    seen = np.clip(np.array(VISION[vision]) @ linear, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.maximum(np.array(to_xyz) @ seen / [0.9505, 1, 1.089], 1e-9))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def smallest_difference(colours, vision):
    seen = [lab(colour, vision) for colour in colours]
    return min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2))


def chart(text):
    figure = Figure()
    axis = figure.subplots()
    axis.plot([1, 10], [1, 1000], label=text)
    axis.set(yscale="log", title=text, xlabel=text)
    axis.set_xticks([1, 10], [text, text])
    axis.legend(title=text)
    figure.suptitle(text)
    return figure


@pytest.mark.parametrize("vision", VISION)
def test_the_colour_blind_can_tell_the_colours_apart(vision):
    assert smallest_difference([*PALETTE, "white"], vision) > 13
    if vision != "normal":
        assert smallest_difference(TABLEAU_COLORS.values(), vision) < 8  # matplotlib's own


def test_lines_and_points_of_one_colour_differ_in_dashes_or_markers():
    lines = {tuple(line_style(i).values()) for i in range(28)}
    points = {tuple(marker_style(i).values()) for i in range(len(PALETTE) * len(MARKERS))}
    assert (len(lines), len(points)) == (28, 56)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1e-4, 1.0), True),
        ((0.001, 0.01, 0.003, 0.001), True),
        ((64, 128, 256), True),
        ((1, 2, 5, 10), True),
        ((0.1, 0.2), False),
        ((10, 12, 14), False),
        ((5, 10, 15, 20), False),
        ((0, 1, 100), False),
        ((-1, 1, 100), False),
        ((1, np.inf), False),
        ((), False),
    ],
)
def test_values_on_a_logarithmic_grid_have_a_logarithmic_axis(values, expected):
    assert drawing.is_logarithmic(values) is expected


@pytest.mark.parametrize(
    ("metric", "values", "limits"),
    [
        ("test/accuracy", (0.5, 1.0), (0, 1)),
        ("test/mean_iu", (0.5, 1.0), (0, 1)),
        ("test/accuracy", (50.0, 100.0), (-0.5, 1.5)),
        ("test/loss", (0.5, 1.0), (-0.5, 1.5)),
    ],
)
def test_the_axis_of_a_share_ends_at_0_and_1(metric, values, limits):
    axis = Figure().subplots()
    axis.set_ylim(-0.5, 1.5)
    drawing.limit_share(axis, metric, values)
    assert axis.get_ylim() == limits


def test_texts_are_no_formulas_but_the_powers_of_an_axis_are():
    assert png_of(chart(FORMULA)).startswith(b"\x89PNG")  # otherwise a ValueError
    figure = chart(FORMULA)
    plain_texts(figure)
    (axis,) = figure.axes
    assert {tick.label1.get_parse_math() for tick in axis.yaxis.get_major_ticks()} == {True}
    assert not axis.get_legend().get_texts()[0].get_parse_math()


def test_labels_of_ticks_may_be_numbers():
    figure = chart("text")
    figure.axes[0].set_xticks([1, 10], [1, 10])
    assert png_of(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize("text", ["日本語", "नमस्ते", f"a\x00\t{NOWHERE}\ufeff", "😀 \u202e"])
def test_characters_that_a_font_lacks_cause_no_warning(text, capfd):
    assert png_of(chart(text)).startswith(b"\x89PNG")  # warnings are errors
    assert capfd.readouterr() == ("", "")


def test_a_character_without_a_font_is_drawn_as_its_code_point():
    assert drawable(f"é{NOWHERE}\n") == "é\\U000e1234\n"
    figure = chart(NOWHERE)
    plain_texts(figure)
    (axis,) = figure.axes
    escaped = "\\U000e1234"
    assert axis.get_title() == axis.get_xlabel() == escaped
    assert axis.get_legend().get_texts()[0].get_text() == escaped
    figure.draw_without_rendering()  # makes matplotlib ask for the labels of the ticks again
    assert {text.get_text() for text in axis.get_xticklabels()} == {escaped}


def test_a_character_comes_from_another_installed_font():
    font, hebrew = FontProperties(family="monospace"), "\u05d0"  # only in DejaVu Sans
    assert not drawing.has(font, ["monospace"], hebrew)
    figure = Figure()
    text = figure.text(0, 0, f"a{hebrew}", family="monospace")
    plain_texts(figure)
    assert text.get_text() == f"a{hebrew}"
    assert text.get_fontfamily()[0] == "monospace"
    assert drawing.has(font, text.get_fontfamily(), hebrew)
