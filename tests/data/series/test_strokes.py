"""Synthetic drawings of digits are deterministic and distinct; real ones are read as published."""

import numpy as np
import pytest

from data.catalogue import DataError
from data.series.strokes import GLYPHS, cut_corners, draw_glyph, load_pendigits, strokes

LINE = "47,100,27,81,57,37,26,0,0,23,56,53,100,90,40,98,"


def test_drawings_have_the_promised_form():
    series, test = strokes()
    assert series.x.shape == (1800, 64, 3)
    assert series.x.dtype == np.float32
    assert test.sum() == 300
    assert np.bincount(series.labels).tolist() == [180] * 10
    assert np.bincount(series.labels[test]).min() > 15
    valid = np.arange(64) < series.lengths[:, None]
    assert not series.x[~valid].any()
    assert set(np.unique(series.x[valid][:, 2])) == {0, 1}
    assert (series.lengths == 64).mean() < 0.02  # hardly any is cut off
    assert len(np.unique(series.x.reshape(1800, -1), axis=0)) == 1800
    distances = np.linalg.norm(series.x[..., :2], axis=-1)
    assert (distances > 0).sum() == valid.sum()


def test_a_drawing_follows_its_glyph_and_lifts_the_pen_between_strokes():
    rng = np.random.default_rng(0)
    for name, strokes_of in (("4", 2), ("1", 1)):
        glyph = GLYPHS[name][0]
        assert len(glyph) == strokes_of
        drawings = draw_glyph(glyph, 30, rng)
        begin, end = (np.array(point, float) for point in (glyph[0][0], glyph[-1][-1]))
        displacement = np.mean([drawing[:, :2].sum(axis=0) for drawing in drawings], axis=0)
        np.testing.assert_allclose(displacement, end - begin, atol=2.5)
        lifted = [(drawing[:, 2] == 0).any() for drawing in drawings]
        assert all(lifted) if strokes_of == 2 else not any(lifted)
        for drawing in drawings:
            assert drawing[[0, -1], 2].tolist() == [1, 1]


def test_cut_corners_keep_the_ends_and_a_straight_line():
    line = np.array([[[0, 0], [1, 2], [2, 4], [4, 8]]], float)
    once = cut_corners(line)
    assert once.shape == (1, 6, 2)
    np.testing.assert_array_equal(once[0, [0, -1]], line[0, [0, -1]])
    np.testing.assert_allclose(once[..., 1], 2 * once[..., 0])
    assert cut_corners(np.array([[[0, 0], [0, 4], [4, 4]]], float))[0].tolist() == [
        [0, 0],
        [0, 3],
        [1, 4],
        [4, 4],
    ]


def test_pendigits_are_read_with_a_digit_or_a_one_hot_code(tmp_path):
    (tmp_path / "pendigits.tra").write_text(f"{LINE} 8\n{LINE}0010000000\n\n")
    (tmp_path / "pendigits.tes").write_text(f"{LINE}1000000000")
    series, test = load_pendigits(str(tmp_path))
    assert series.labels.tolist() == [8, 2, 0]
    assert test.tolist() == [False, False, True]
    assert series.lengths.tolist() == [8, 8, 8]
    np.testing.assert_allclose(series.x[0, :2], [[-0.06, 1], [-0.46, 0.62]], rtol=1e-5)


@pytest.mark.parametrize(
    "line", ["1,2,3,4", f"{LINE}x", f"{LINE}12", f"{LINE}0000000000", f"a{LINE}1"]
)
def test_a_line_that_is_no_digit_is_named(tmp_path, line):
    for name in ("pendigits.tra", "pendigits.tes"):
        (tmp_path / name).write_text(f"{LINE}1\n")
    (tmp_path / "pendigits.tes").write_text(f"{LINE}1\n{line}\n")
    with pytest.raises(DataError, match=r"pendigits\.tes, line 2 is not 16 numbers and a digit"):
        load_pendigits(str(tmp_path))


@pytest.mark.parametrize("empty", ["tra", "tes"])
def test_a_file_without_a_digit_is_named(tmp_path, empty):
    for name in ("tra", "tes"):
        (tmp_path / f"pendigits.{name}").write_text("\n" if name == empty else f"{LINE}1\n")
    with pytest.raises(DataError, match=rf"pendigits\.{empty} has no digit"):
        load_pendigits(str(tmp_path))


def test_a_folder_without_the_files_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*pendigits\.tra"):
        load_pendigits(str(tmp_path))
