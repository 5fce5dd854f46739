"""Lines consist of the pieces of their labels, in order; held-out pieces are not trained on."""

import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from data.catalogue import DataError
from data.lines.compose import TrainingLines, held_out_lines
from data.lines.digits import DigitImages, digit_images, longest_line, read_line
from data.lines.pens import PenDigits, from_moves, from_points, pen_digits, read_pen
from data.lines.sounds import Features, Sounds, word_alphabet, word_pieces
from data.lines.tones import HIGH, KEYS, LOW, RATE, tone, tones
from data.series.labelled import TimeSeries
from data.sound.waves import Waves


@pytest.fixture(scope="module")
def blocks():
    """Images whose number of inked columns and whose ink value both encode the label."""
    images = np.zeros((6, 8, 8), np.float32)
    for i in range(6):
        images[i, :, 1 : i + 2] = 0.15 * (i + 1)
    return DigitImages(images, np.arange(6) + 1)


def labels_of(columns):
    """Labels of a line of blocks, and how many empty columns are before each and after all."""
    ink = columns.max(axis=1)
    found, gaps, at = [], [0], 0
    while at < len(ink):
        if ink[at]:
            found.append(round(ink[at] / 0.15))
            np.testing.assert_allclose(ink[at : at + found[-1]], ink[at])
            assert (columns[at] > 0).sum() == 8
            at += found[-1]
            gaps.append(0)
        else:
            gaps[-1] += 1
            at += 1
    return found, gaps


def test_lines_of_digits_are_their_columns_with_gaps(blocks):
    train = TrainingLines(blocks, 8, 3, (2, 5), longest_line(5))
    batches = [train(step) for step in (0, 1, 2, 0)]
    assert batches[0]["x"].shape == (8, 60, 12)
    for key in batches[0]:
        np.testing.assert_array_equal(batches[0][key], batches[3][key])
    assert not np.array_equal(batches[0]["x"], batches[1]["x"])
    assert not np.array_equal(batches[0]["x"], replace(train, seed=4)(0)["x"])
    counts, between, around = set(), set(), set()
    for batch in batches[:3]:
        rows = zip(*(batch[k] for k in ("x", "lengths", "labels", "label_lengths")), strict=True)
        for x, length, labels, count in rows:
            found, gaps = labels_of(x[:length])
            assert found == labels[:count].tolist()
            counts.add(int(count))
            between |= set(gaps[1:-1])
            around |= {gaps[0], gaps[-1]}
    assert counts == {2, 3, 4, 5}
    assert between == {0, 1, 2, 3}
    assert around == {0, 1, 2, 3, 4}


def test_a_line_that_is_too_long_loses_its_end(blocks):
    lines = held_out_lines(blocks, 20, (3, 4), 12, seed=0)
    assert max(len(x) for x in lines.frames) <= 12
    assert {len(y) for y in lines.labels} >= {1, 2}
    for x, y in zip(lines.frames, lines.labels, strict=True):
        assert labels_of(x)[0] == y
    again, other = (held_out_lines(blocks, 20, (3, 4), 12, seed=i) for i in (0, 1))
    assert lines.sha256 == again.sha256 != other.sha256
    with pytest.raises(DataError, match="a single piece is longer than the 0 frames"):
        held_out_lines(blocks, 1, (1, 1), 0, seed=0)


def test_real_digits_are_divided_and_distorted_in_training_alone():
    parts = digit_images("")
    assert [len(parts[name].labels) for name in ("train", "test")] == [1437, 360]
    seen = {image.tobytes() for image in parts["train"].images}
    assert not seen & {image.tobytes() for image in parts["test"].images}
    train = replace(parts["train"], distort=True)
    plain, bent = (p.join([0] * 3, np.random.default_rng(0)) for p in (parts["train"], train))
    assert plain.max() == 1
    assert bent.shape[1] == plain.shape[1] == 12
    assert bent.min() >= 0 < bent.max() <= 1
    assert len(np.unique(bent)) > len(np.unique(plain)) == len(np.unique(parts["train"].images[0]))


def test_a_picture_of_a_line_is_read_dark_on_light_or_the_reverse(tmp_path):
    ink = np.zeros((40, 90), np.uint8)
    ink[10:26, 30:50] = 255  # twice the height of a digit
    for name, pixels in (("light.png", ink), ("dark.png", 255 - ink)):
        Image.fromarray(pixels).save(tmp_path / name)
    np.savetxt(tmp_path / "numbers.csv", ink // 16, delimiter=",")
    expected = np.zeros((45, 12), np.float32)
    expected[15:25, 2:10] = 1
    for name in ("light.png", "dark.png", "numbers.csv"):
        np.testing.assert_allclose(read_line(str(tmp_path / name)), expected, atol=1e-6)
    # black or red ink on clear paper, with depths, palettes, orientations and paper of other kinds
    on = ink > 0
    clear = {name: Image.new("RGBA", (90, 40), name) for name in ("black", "red")}
    for name, picture in clear.items():
        picture.putalpha(Image.fromarray(ink))
        picture.save(tmp_path / f"{name}.png")
    clear["black"].convert("LA").save(tmp_path / "grey.png")
    palette = Image.fromarray(on.astype(np.uint8), "P")
    palette.putpalette([0, 0, 0, 0, 0, 90])
    palette.save(tmp_path / "palette.png", transparency=0)
    Image.fromarray(np.where(on, 1000, 60000).astype(np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(np.where(on, 150, 40).astype(np.uint8)).save(tmp_path / "dim.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    turned = Image.fromarray(255 - ink).transpose(Image.Transpose.ROTATE_90)
    turned.save(tmp_path / "turned.png", exif=exif)
    turned.save(tmp_path / "turned.tif", exif=exif)
    names = ("black.png", "red.png", "grey.png", "palette.png", "deep.png", "dim.png", "turned.png")
    for name in (*names, "turned.tif"):
        np.testing.assert_allclose(read_line(str(tmp_path / name)), expected, atol=1e-6)
    ink[:] = 0
    ink[10:26, 2:6] = ink[18:34, 10:14] = ink[12:28, 18:22] = 255  # not on one height
    Image.fromarray(ink).save(tmp_path / "light.png")
    found = read_line(str(tmp_path / "light.png"))
    rows = [np.flatnonzero(found[first : first + 2].any(axis=0)) for first in (1, 5, 9)]
    assert [(row[0], row[-1]) for row in rows] == [(0, 7), (4, 11), (1, 8)]
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "text.csv").write_text("a,b\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "nan.csv").write_text("1,nan\n")
    noise = np.random.default_rng(0).integers(0, 256, (300, 300), np.uint8)  # in several chunks
    Image.fromarray(noise).save(tmp_path / "damaged.png")
    start, _, rest = (tmp_path / "damaged.png").read_bytes().rpartition(b"IDAT")
    (tmp_path / "damaged.png").write_bytes(start + bytes(4) + rest)
    np.savetxt(tmp_path / "blank.csv", np.zeros((2, 2)), delimiter=",")
    for paper in (0, 130, 255):
        Image.new("L", (90, 40), paper).save(tmp_path / f"page{paper}.png")
    Image.new("RGBA", (90, 40), (9, 9, 9, 0)).save(tmp_path / "clear.png")
    header = b"P5 40000 40000 255\n"  # of 1.6 billion pixels
    (tmp_path / "bomb.pgm").write_bytes(header)
    os.mkfifo(tmp_path / "pipe.png")
    for name, message in {
        "text.png": "cannot read picture .*text.png",
        "text.csv": "cannot read numbers in .*text.csv",
        "empty.csv": "cannot read numbers in .*empty.csv",
        "none.csv": "cannot read numbers in .*none.csv",
        "nan.csv": "cannot read numbers in .*nan.csv: a number is not finite",
        "damaged.png": "cannot read picture .*damaged.png: broken PNG",
        "blank.csv": "there is no ink in .*blank.csv",
        "page0.png": "there is no ink in .*page0.png",
        "page130.png": "there is no ink in .*page130.png",
        "page255.png": "there is no ink in .*page255.png",
        "clear.png": "there is no ink in .*clear.png",
        "bomb.pgm": "cannot read picture .*bomb.pgm: .* could be decompression bomb",
        "pipe.png": "cannot read picture .*pipe.png is a named pipe, not a file",
    }.items():
        with pytest.raises(DataError, match=message):
            read_line(str(tmp_path / name))


def test_sounds_of_a_line_follow_one_another_with_pauses():
    rate = 1000
    steady = [np.full(n, 0.1 * (i + 1), np.float32) for i, n in enumerate((100, 150, 200))]
    waves = Waves(
        steady, rate, np.array([1, 0, 1], np.int32), ("no", "yes"), np.array(["", "", ""]), None
    )
    pieces = word_pieces(waves, np.array([True, False, True]), Features(rate, 4))
    assert pieces.labels.tolist() == [2, 2]
    assert word_alphabet(waves).decode([2, 1]) == "yes no"
    pieces = replace(pieces, pauses=(0.05, 0.1), quiet=(300.0, 300.0))
    wave = pieces.wave([1, 0, 1], np.random.default_rng(0))
    changes = np.flatnonzero(np.abs(np.diff(wave)) > 0.05)
    runs = np.diff(np.concatenate([[-1], changes, [len(wave) - 1]])).tolist()
    assert runs[1::2] == [199, 99, 199]  # the last sample is where the sound is over
    assert all(50 <= pause <= 100 for pause in runs[::2])
    np.testing.assert_allclose(wave[changes[0] + 1], 0.3, rtol=1e-5)
    varied = replace(pieces, gain=6.0, tempo=0.2, quiet=(60.0, 60.0))
    found = [varied.wave([1], np.random.default_rng(i)) for i in range(40)]
    lengths = [(wave > 0.1).sum() for wave in found]
    assert 166 <= min(lengths) < 185
    assert 215 < max(lengths) <= 249
    loudness = [20 * np.log10(wave.max() / 0.3) for wave in found]
    assert -6 <= min(loudness) < -3
    assert 3 < max(loudness) < 6.2
    np.testing.assert_allclose([wave[:40].std() for wave in found], 0.001, rtol=0.5)
    fitted = replace(pieces, quiet=(40.0, 40.0)).fitted()
    frames = np.concatenate(held_out_lines(fitted, 60, (3, 3), 99, 5).frames)
    np.testing.assert_allclose(frames.mean(axis=0), 0, atol=0.3)
    np.testing.assert_allclose(frames.std(axis=0), 1, atol=0.3)


def test_tones_are_those_of_the_keypad():
    for key in (0, 6, 13, 15):
        sound = tone(key, np.random.default_rng(key))
        assert 0.04 * RATE <= len(sound) <= 0.2 * RATE
        power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 8 * RATE))
        low, high = np.argmax(power[: 8 * 1100]) / 8, (np.argmax(power[8 * 1100 :]) / 8 + 1100)
        row, column = divmod(key, 4)
        np.testing.assert_allclose([low, high], [LOW[row], HIGH[column]], rtol=0.025)
    assert KEYS.symbols[13] == "0"
    pieces = tones(Features(RATE, 8))
    assert pieces.labels.tolist() == list(range(1, 17))
    assert pieces.join([13, 15], np.random.default_rng(0)).shape[1] == 8


def test_a_pen_writes_digit_after_digit():
    square = np.array([[0, 0], [0, 1], [1, 1], [1, 0]], float)
    hook = np.array([[5, 5], [5, 4], [5.5, 4]], float)
    pieces = PenDigits([square, hook], [np.zeros(3), np.array([0, 1])], np.array([1, 2]), 2.0)
    line = pieces.join([0, 1, 0], np.random.default_rng(1))
    assert line[:, 2].tolist() == [0, 0, 0, 1, 0, 1, 1, 0, 0, 0]
    moves = line[:, :2] / 2
    for first, shape in ((0, square), (4, hook), (7, square)):
        expected = np.diff(shape, axis=0)
        np.testing.assert_allclose(moves[first : first + len(expected)], expected, atol=1e-6)
    points = np.cumsum(moves, axis=0)
    assert 0.1 <= points[3, 0] - 1 <= 0.5  # left of the hook is right of the square
    assert 0.1 <= points[6, 0] - points[5, 0] <= 0.5
    bent = pieces.subset(np.array([True, False]), distort=True)
    assert bent.labels.tolist() == [1]
    other = bent.join([0], np.random.default_rng(1))
    assert 0.01 < np.abs(other[:, :2] - 2 * np.diff(square, axis=0)).max() < 2


def test_pens_of_points_and_of_movements_are_the_same_digit():
    points = np.array([[[0, -1], [0.5, 0], [1, 1], [1, -1]]], np.float32)
    rest = np.zeros(2, np.float32)
    series = TimeSeries(points, np.array([4]), np.array([0]), ("0",), rest, rest)
    first, up = from_points(series)
    assert up[0].tolist() == [0, 0, 0]
    moves = np.zeros((1, 5, 3), np.float32)
    moves[0, :3, :2] = 10 * np.diff(points[0] / 2, axis=0)
    moves[0, :3, 2] = 1, 0, 1
    second, up = from_moves(replace(series, x=moves, lengths=np.array([3])))
    np.testing.assert_allclose(second[0], first[0] - first[0][0], atol=1e-6)
    assert up[0].tolist() == [0, 1, 0]
    digits, test = pen_digits("")
    assert test.sum() == 300
    line = digits.subset(~test).join(range(20), np.random.default_rng(0))
    assert line[line[:, 2] == 0, :2].std() == pytest.approx(1, abs=0.3)


def test_a_pen_is_read_from_numbers(tmp_path):
    path = tmp_path / "pen.csv"
    path.write_text("0,0,1\n0,4,0\n4,4,0\n6,0,1\n")
    expected = [[0, 3, 0], [3, 0, 0], [1.5, -3, 1]]
    np.testing.assert_allclose(read_pen(str(path), 3.0), expected)
    for text in ("0,0\n", "1,2,3,4\n5,6,7,8\n", "0,1\n3,1\n"):
        path.write_text(text)
        with pytest.raises(DataError, match=r"pen\.csv needs lines .*: two or more points"):
            read_pen(str(path), 1.0)


def test_a_sound_is_any_function_of_index_and_random_generator():
    def sound(index, rng):
        return rng.normal(index, 0.01, 50)

    pieces = Sounds(sound, np.array([1, 2]), Features(1000, 4), (0.0, 0.0), (300.0, 300.0))
    wave = pieces.wave([1, 0], np.random.default_rng(0))
    assert wave[:49].mean() == pytest.approx(1, abs=0.01)
    assert wave[49:].mean() == pytest.approx(0, abs=0.01)
