"""The pictures of a sweep."""

import numpy as np
import pytest

from experiments.report import curves as pictures
from experiments.report.runs import group_runs

STEPS = (0, 10, 20)


def words(axis):
    return [text.get_text() for text in axis.texts]


def ticks(axis):
    return [text.get_text() for text in axis.get_xticklabels()]


def named_lines(axis):
    return {line.get_label(): line for line in axis.lines if line.get_label()[0] != "_"}


def test_curve_is_the_mean_with_a_band_and_single_runs_are_faint(run_of):
    made = [
        run_of(0, 1.0, zip(STEPS, (4.0, 1.0, 1.0), strict=True), cell="rnn"),
        run_of(1, 3.0, zip(STEPS, (4.0, 3.0, 1.5), strict=True), cell="rnn"),
        run_of(2, 3.0, {0: 4.0, 20: 2.0}, cell="rnn"),
        run_of(3, None, {0: 9.0, 10: 9.0}, cell="rnn"),
        run_of(0, None, {0: 5.0, 10: 2.0}, cell="gru"),
    ]
    made[0].lines.append({"step": 5, "train/loss": 2.0})
    axis = pictures.curves(group_runs(made), "val/loss", "val/loss").axes[0]
    named = named_lines(axis)
    assert list(named) == ["cell=rnn", "cell=gru"]
    assert named["cell=rnn"].get_xydata().tolist() == [[0, 4.0], [10, 2.0], [20, 1.5]]
    assert len(named["cell=gru"].get_xydata()) == 0
    faint = [line.get_xydata()[:, 1].tolist() for line in axis.lines if line.get_alpha()]
    assert [values for values in faint if values] == [
        [4.0, 1.0, 1.0],
        [2.0],
        [4.0, 3.0, 1.5],
        [4.0, 2.0],
        [9.0, 9.0],
        [5.0, 2.0],
    ]
    (band,) = axis.collections
    vertices = np.concatenate([path.vertices for path in band.get_paths()])
    # half the interval of 1, 1.5 and 2 at step 20 is t(0.975, 2) = 4.30265 times 0.5 / 3 ** 0.5
    half = 4.30265 * 0.5 / 3**0.5
    at_20 = vertices[vertices[:, 0] == 20][:, 1]
    assert (at_20.min(), at_20.max()) == pytest.approx((1.5 - half, 1.5 + half), rel=1e-5)
    assert not (vertices[:, 0] == 10).any()  # two runs
    assert "mean, and 95 % interval of three runs or more" in axis.get_title()
    assert "train/loss dotted" in axis.get_title()
    assert "best" not in axis.get_title()
    low = 1.5 - half
    assert axis.get_ylim() == pytest.approx((low - 0.1 * (9 - low), 9 + 0.25 * (9 - low)), abs=2e-3)


@pytest.mark.parametrize(("runs", "bands"), [(1, 0), (2, 0), (3, 1)])
def test_a_band_or_bar_needs_three_runs(run_of, runs, bands):
    made = [
        run_of(seed, 1.0 + seed, {0: 4.0, 20: 1.0 + seed}, x=x)
        for seed in range(runs)
        for x in (1, 2)
    ]
    groups = group_runs(made)
    axis = pictures.curves(groups, "val/loss", "val/loss").axes[0]
    assert len(axis.collections) == 2 * bands
    assert ("interval" in axis.get_title()) is bool(bands)
    assert len([line for line in axis.lines if line.get_alpha() and len(line.get_xdata())]) == len(
        made
    )
    axis = pictures.setting_picture(groups, "x", "test/loss", "val/loss").axes[0]
    assert len(axis.collections) == bands
    assert ("interval" in axis.get_title()) is bool(bands)
    assert len(axis.lines[0].get_xdata()) == len(made)


def test_bars_are_only_at_the_values_with_three_runs(run_of):
    made = [run_of(seed, 1.0 + seed, x=x) for x in (1, 2) for seed in range(1 + x)]
    axis = pictures.setting_picture(group_runs(made), "x", "test/loss", "val/loss").axes[0]
    segments = [segment for segment in axis.collections[0].get_segments() if len(segment)]
    ((low, high),) = [s[:, 1] for s in segments if np.isfinite(s).all()]
    # half the interval of 1, 2 and 3 is t(0.975, 2) = 4.30265 / 3 ** 0.5
    assert (high - low) / 2 == pytest.approx(4.30265 / 3**0.5, rel=1e-5)


def test_limits_contain_every_late_value_and_cut_starts_are_marked(run_of):
    early = {0: 100.0, 1: 50.0, 10: 2.0, 20: 1.0}  # of 20 steps, the first is a twentieth
    made = [run_of(0, 1.0, early, cell="rnn"), run_of(0, 1.0, {0: 3.0, 10: 5.0}, cell="gru")]
    made[0].lines.append({"step": 15, "train/loss": 7.0})
    axis = pictures.curves(group_runs(made), "val/loss", "val/loss").axes[0]
    low, high = axis.get_ylim()
    assert low < 1.0
    assert 7.0 < high < 50.0
    (triangle,) = [
        line for line in axis.lines if line.get_marker() == "^" and len(line.get_xdata()) == 1
    ]
    (x,), (y,) = triangle.get_data()
    assert x == pytest.approx(1 + 9 * (50 - high) / 48)
    assert 0.9 < y < 1  # of the height of the axis
    assert triangle.get_color() == named_lines(axis)["cell=rnn"].get_color()
    assert axis.get_title().endswith("triangles: the curve continues outside")


def test_a_curve_that_rises_from_below_is_marked_at_the_bottom(run_of):
    made = [run_of(0, 1.0, {0: 0.1, 10: 0.8, 20: 1.0})]
    for line in made[0].lines:
        line["val/accuracy"] = line["val/loss"]
    axis = pictures.curves(group_runs(made), "val/accuracy", "val/loss").axes[0]
    low, high = axis.get_ylim()
    assert (low > 0.1, high) == (True, 1)
    (triangle,) = [line for line in axis.lines if line.get_marker() == "v"]
    assert triangle.get_xdata()[0] == pytest.approx(10 * (low - 0.1) / 0.7)


def test_late_values_over_several_orders_have_a_logarithmic_axis(run_of):
    made = [run_of(0, 1.0, {0: 1e4, 10: 50.0, 20: 1.0}), run_of(1, 1.0, {10: 50.0, 20: 1.0})]
    axis = pictures.curves(group_runs(made), "val/loss", "val/loss").axes[0]
    assert axis.get_yscale() == "log"
    low, high = axis.get_ylim()
    assert low < 1
    assert 50 < high < 1e4
    (triangle,) = [line for line in axis.lines if line.get_marker() == "^"]
    share = np.log(1e4 / high) / np.log(1e4 / 50)
    assert triangle.get_xdata()[0] == pytest.approx(10 * share)


def test_curves_of_many_configurations_show_the_best_and_the_title_says_so(run_of):
    made = [run_of(0, 30.0 - i, {0: 3.0, 20: 1.0}, size=i) for i in range(15)]
    axis = pictures.curves(group_runs(made), "val/loss", "val/loss").axes[0]
    named = [line.get_label() for line in axis.lines if line.get_label()[0] != "_"]
    assert named == [f"size={i}" for i in range(3, 15)]
    assert axis.get_title().endswith("\nbest 12 of 15 configurations by val/loss")
    assert "train" not in axis.get_title()
    styles = {(line.get_color(), line.get_linestyle()) for line in named_lines(axis).values()}
    assert len(styles) == 12


def test_values_that_are_not_finite_do_not_affect_the_limits(run_of):
    made = [run_of(0, 1.0, {0: np.inf, 5: 1.0, 10: np.inf, 20: np.nan})]
    axis = pictures.curves(group_runs(made), "val/loss", "val/loss").axes[0]
    assert np.isfinite(axis.get_ylim()).all()


def test_heat_map_shows_the_mean_of_each_pair(run_of):
    made = [
        run_of(seed, value + seed, cell=cell, rate=rate, size=size)
        for cell, rate, value in (("rnn", 0.1, 1.0), ("rnn", 0.01, 2.0), ("gru", 0.1, 3.0))
        for size in (1, 2)
        for seed in (0, 1)
    ]
    made.append(run_of(0, None, cell="mut", rate=0.5, size=1))
    figure = pictures.pair_picture(group_runs(made), "cell", "rate", "test/loss", "val/loss")
    axis = figure.axes[0]
    assert words(axis) == ["2.500", "1.500", "-", "3.500"]
    assert ticks(axis) == ["0.01", "0.1"]
    assert {text.get_rotation() for text in axis.get_xticklabels()} == {0}
    assert [text.get_text() for text in axis.get_yticklabels()] == ["rnn", "gru"]
    assert axis.get_title() == "mean test/loss\nover all values of the other settings"
    image = axis.images[0].get_array()
    assert image.tolist() == [[2.5, 1.5], [None, 3.5]]


def test_heat_map_of_many_values_shows_the_best_and_the_title_says_so(run_of):
    made = [run_of(0, 20.0 - i + j, i=i, j=j) for i in range(14) for j in (0, 1)]
    axis = pictures.pair_picture(group_runs(made), "j", "i", "test/loss", "val/loss").axes[0]
    assert axis.images[0].get_array().shape == (2, 12)
    assert ticks(axis) == [str(i) for i in range(2, 14)]
    assert axis.get_title() == "mean test/loss\nbest 12 of 14 values of i by val/loss"


@pytest.mark.parametrize(
    ("values", "scale"), [((0.1, 0.001, 0.01), "log"), ((2, 40, 5), "linear"), ((0, 50), "linear")]
)
def test_numbers_have_a_numeric_axis(run_of, values, scale):
    made = [run_of(seed, value + seed, x=value) for value in values for seed in (0, 1, 2)]
    axis = pictures.setting_picture(group_runs(made), "x", "test/loss", "val/loss").axes[0]
    assert axis.get_xscale() == scale
    ascending = sorted(values)
    line = next(line for line in axis.lines if line.get_linestyle() == "-")
    assert line.get_xdata().tolist() == ascending
    assert line.get_ydata().tolist() == pytest.approx([value + 1 for value in ascending])
    assert ticks(axis) == [str(value) for value in ascending]
    low, high = axis.collections[0].get_segments()[0][:, 1]
    # half the interval of three values 1 apart is t(0.975, 2) = 4.30265 times 1 / 3 ** 0.5
    assert (high - low) / 2 == pytest.approx(4.30265 / 3**0.5, rel=1e-5)


def test_tick_labels_of_close_numbers_do_not_overlap(run_of):
    made = [run_of(0, 1.0, x=value) for value in (1000, 1001, 2500, 9000)]
    axis = pictures.setting_picture(group_runs(made), "x", "test/loss", "val/loss").axes[0]
    assert ticks(axis) == ["1000", "2500", "9000"]


def test_texts_are_side_by_side_and_only_the_best_of_many(run_of):
    made = [run_of(0, 20.0 - i, data=f"files:/a/long/way/to/the/part/{i:02d}") for i in range(13)]
    axis = pictures.setting_picture(group_runs(made), "data", "test/loss", "val/loss").axes[0]
    assert ticks(axis)[0] == "files:/a/lon.../the/part/01"
    assert len(ticks(axis)) == 12
    assert {text.get_rotation() for text in axis.get_xticklabels()} == {90}
    assert axis.get_title().endswith("\nbest 12 of 13 values of data by val/loss")
    assert {line.get_linestyle() for line in axis.lines} == {"None"}


def test_label_is_one_line_and_no_formula():
    assert pictures.shorten("a$b$\nc", 20) == r"a$b$\nc"
    assert pictures.shorten("0123456789", 7) == "01...89"


def test_a_setting_has_a_picture_if_finished_runs_have_two_values_of_it(run_of, tmp_path):
    def drawn(made):
        paths = pictures.draw(tmp_path, group_runs(made), "test/loss", "val/loss", "val/loss")
        assert all(path.read_bytes()[:4] == b"\x89PNG" for path in paths)
        return [path.stem for path in paths]

    one = [run_of(0, 1.0, {0: 1.0}, a=1, b=1, c=1)]
    late = run_of(0, None, {0: 1.0}, a=1, b=2, c=1)
    assert drawn(one) == ["curves"]
    more = [*one, late, run_of(0, 1.0, {0: 1.0}, a=2, b=1, c=1)]
    assert drawn(more) == ["curves", "setting-a"]
    more += [run_of(1, 1.0, {0: 1.0}, a=1, b=3, c=2)]
    assert drawn(more) == ["curves", "pair-a-b", "pair-a-c", "pair-b-c"]
