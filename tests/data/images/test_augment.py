"""Augmentation matches the bilinear interpolation of scipy, its bounds and its key."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from data.images.augment import Augmentation, resample, separable, weights

quick = settings(deadline=None, derandomize=True, max_examples=25)
seeds = st.integers(0, 2**16)
OPTIONS = [{name: 0.2} for name in ("scale", "jitter", "squeeze", "shear")] + [{"shift": 2.0}]


def random_images(seed, *shape):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def assert_close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def shifted(images, down, right):
    """Images moved by whole pixels, zeros where nothing is moved to."""
    out = np.zeros_like(images)
    height, width = images.shape[1:3]
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                out[:, row, column] = images[:, row - down, column - right]
    return out


class Fixed:
    """Stand-in for a random generator: draws the given numbers instead of uniform ones."""

    def __init__(self, *draws):
        self.draws = list(draws)

    def uniform(self, low, high, size):
        draw = np.asarray(self.draws.pop(0), np.float64).reshape(2, 1, 1)
        assert (low <= draw).all()
        assert (draw <= high).all()
        return np.broadcast_to(draw, size)


@quick
@given(seed=seeds, size=st.integers(1, 9), count=st.integers(1, 6))
def test_weights_read_as_linear_interpolation_in_zeros(seed, size, count):
    rng = np.random.default_rng(seed)
    line = rng.random(size, dtype=np.float32)
    positions = rng.uniform(-3, size + 2, (2, count)).astype(np.float32)
    read = weights(positions, size)
    assert read.shape == (2, count, size)
    assert read.dtype == np.float32
    expected = np.interp(positions, np.arange(-1, size + 1), [0, *line, 0], left=0, right=0)
    assert_close(read @ line, expected)


@quick
@given(
    seed=seeds,
    height=st.integers(2, 9),
    width=st.integers(2, 9),
    channels=st.integers(1, 3),
    size=st.integers(2, 12),
)
def test_resampling_is_scipys_bilinear(seed, height, width, channels, size):
    images = random_images(seed, 2, height, width, channels)
    grid = np.meshgrid(*(np.linspace(0, n - 1, size) for n in (height, width)), indexing="ij")
    expected = np.empty((2, size, size, channels))
    for n in range(2):
        for c in range(channels):
            expected[n, ..., c] = ndimage.map_coordinates(
                images[n, ..., c].astype(np.float64), grid, order=1, mode="nearest"
            )
    actual = resample(images, size)
    assert actual.dtype == np.float32
    assert_close(actual, expected)


def test_resampling_keeps_corners_and_flat_images():
    images = random_images(0, 2, 8, 8, 1)
    for corner in [(0, 0), (0, -1), (-1, 0), (-1, -1)]:
        assert_close(resample(images, 32)[:, *corner], images[:, *corner])
    assert_close(resample(np.full((1, 8, 5, 2), 0.7, np.float32), 32), np.float32(0.7))


@quick
@given(down=st.integers(-6, 6), right=st.integers(-6, 6))
def test_whole_steps_move_pixels_and_leave_zeros(down, right):
    images = random_images(0, 2, 5, 6, 3)
    rows, columns = weights(np.arange(5) - down, 5)[None], weights(np.arange(6) - right, 6)[None]
    np.testing.assert_array_equal(separable(images, rows, columns), shifted(images, down, right))


@pytest.mark.parametrize(("down", "right"), [(2, -1), (0, 3), (-3, 0)])
def test_a_shift_moves_the_picture_by_what_was_drawn(monkeypatch, down, right):
    images = random_images(0, 3, 7, 7, 2)
    monkeypatch.setattr(np.random, "default_rng", lambda _: Fixed([down, right], [0, 0]))
    assert_close(Augmentation(shift=3)(images, (0, 0)), shifted(images, down, right))


@pytest.mark.parametrize("factors", [(0.3, -0.2), (-0.5, 0.5), (0.0, 0.25)])
def test_shift_and_scale_are_the_affine_map_about_the_centre(monkeypatch, factors):
    images = random_images(1, 2, 8, 9, 1)
    move = np.array([1.3, -0.6])
    monkeypatch.setattr(np.random, "default_rng", lambda _: Fixed(move, factors))
    actual = Augmentation(shift=2, scale=0.5)(images, (0, 0))
    matrix = 1 / (1 + np.array(factors))
    centre = np.array([3.5, 4.0])
    for n in range(2):
        expected = ndimage.affine_transform(
            images[n, ..., 0].astype(np.float64),
            matrix,
            centre - matrix * (centre + move),
            order=1,
            mode="grid-constant",
        )
        assert_close(actual[n, ..., 0], expected)


@quick
@given(seed=seeds, shift=st.floats(0, 4), scale=st.floats(0, 0.3), step=st.integers(0, 9))
def test_shift_and_scale_keep_their_bounds(seed, shift, scale, step):
    # the two channels are the row and column of each pixel, so a pixel gives its original position
    place = np.stack(np.indices((41, 41)), axis=-1).astype(np.float32)
    images = np.broadcast_to(place, (64, *place.shape))
    augmented = Augmentation(shift, scale)(images, (seed, step)).astype(np.float64)
    centre = augmented[:, 20, 20]
    tall = augmented[:, 23, 20, 0] - augmented[:, 17, 20, 0]
    wide = augmented[:, 20, 23, 1] - augmented[:, 20, 17, 1]
    factor = 6 / np.stack([tall, wide], axis=-1)
    move = (20 - centre) * factor
    assert np.abs(factor - 1).max() <= scale + 1e-5
    assert np.abs(move).max() <= shift + 1e-4
    for drawn, bound in ((factor - 1, scale), (move, shift)):
        if bound > 0.01:
            # 64 images by two axes, each with its own draw, come near both bounds
            assert (drawn.max(axis=0) > 0.7 * bound).all()
            assert (drawn.min(axis=0) < -0.7 * bound).all()
            assert len(np.unique(drawn.round(5))) > 100


def test_without_options_nothing_changes():
    images = random_images(0, 4, 8, 8, 1)
    np.testing.assert_array_equal(Augmentation()(images, (1, 2)), images)


@pytest.mark.parametrize("options", OPTIONS)
def test_each_option_alone_depends_on_the_key_alone(options):
    augmentation = Augmentation(**options)
    images = random_images(0, 4, 8, 8, 1)
    before = images.copy()
    first = augmentation(images, (1, 2))
    assert first.dtype == np.float32
    assert first.shape == images.shape
    np.testing.assert_array_equal(Augmentation(**options)(images, (1, 2)), first)
    np.testing.assert_array_equal(images, before)
    for key in [(1, 3), (2, 2), (2, 1)]:
        assert np.abs(augmentation(images, key) - first).max() > 1e-3

    # the draws do not depend on what is in the images, and differ from image to image
    change = first - augmentation(np.zeros_like(images), (1, 2))
    doubled = augmentation(2 * images, (1, 2)) - augmentation(np.zeros_like(images), (1, 2))
    assert_close(doubled, 2 * change)
    same = augmentation(np.repeat(images[:1], 4, axis=0), (1, 2))
    assert len({image.tobytes() for image in same}) == 4


def test_jitter_is_the_standard_deviation_of_each_pixel():
    noise = Augmentation(jitter=0.25)(np.zeros((64, 32, 32, 1), np.float32), (0, 0))
    # 65,536 draws: one standard error of the deviation is 0.28 %, of the mean 0.001
    assert abs(noise.std() / 0.25 - 1) < 0.012
    assert abs(noise.mean()) < 0.004
    assert abs(np.mean(noise[:, 1:] * noise[:, :-1])) < 0.001


@quick
@given(
    seed=seeds,
    shift=st.sampled_from([0.0, 1.5]),
    scale=st.sampled_from([0.0, 0.2]),
    squeeze=st.sampled_from([0.0, 0.3]),
    shear=st.sampled_from([0.1, 0.4]),
)
def test_distortions_are_an_affine_map_within_their_bounds(seed, shift, scale, squeeze, shear):
    augmentation = Augmentation(shift, scale, squeeze=squeeze, shear=shear)
    # the two channels are the row and column of each pixel, so a pixel gives its original position
    place = np.stack(np.indices((25, 25)), axis=-1).astype(np.float32)
    found = augmentation(np.broadcast_to(place, (2, *place.shape)), (seed, 0)).astype(np.float64)
    images = random_images(seed, 2, 25, 25, 1)
    actual = augmentation(images, (seed, 0))
    assert actual.dtype == np.float32
    for n in range(2):
        centre = found[n, 12, 12]
        matrix = np.stack(
            [(found[n, 14, 12] - found[n, 10, 12]) / 4, (found[n, 12, 14] - found[n, 12, 10]) / 4],
            axis=1,
        )
        tall, wide = 1 / matrix[0, 0], 1 / matrix[1, 1]
        assert abs(matrix[0, 1]) < 1e-5  # rows stay rows
        assert abs(matrix[1, 0] * tall) <= shear + 1e-5
        limit = (1 + scale) * (1 + squeeze) + 1e-4
        assert max(tall, wide) <= limit
        assert (1 - scale) ** 2 - 1e-4 <= tall * wide <= (1 + scale) ** 2 + 1e-4
        assert abs(12 - centre[0]) * tall <= shift + 1e-4
        expected = ndimage.affine_transform(
            images[n, ..., 0].astype(np.float64),
            matrix,
            centre - matrix @ [12, 12],
            order=1,
            mode="grid-constant",
        )
        np.testing.assert_allclose(actual[n, ..., 0], expected, atol=2e-4)


def test_half_of_the_images_are_mirrored():
    images = random_images(0, 256, 2, 3, 1)
    found = Augmentation(flip=True)(images, (0, 3))
    mirrored = np.array([not np.array_equal(a, b) for a, b in zip(found, images, strict=True)])
    np.testing.assert_array_equal(found[mirrored], images[mirrored][:, :, ::-1])
    assert 100 < mirrored.sum() < 156
    assert found.dtype == np.float32


def test_whole_shifts_are_all_those_of_the_range_and_do_not_blur():
    images = random_images(0, 400, 4, 6, 2) + 1
    found = Augmentation(whole_shift=1)(images, (0, 3))
    assert found.dtype == np.float32
    moves = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    equal = np.stack([(found == shifted(images, *move)).all((1, 2, 3)) for move in moves])
    np.testing.assert_array_equal(equal.sum(0), 1)
    assert equal.sum(1).min() > 20  # of 44 expected


@pytest.mark.parametrize("side", [1, 3, 5])
def test_a_square_that_may_be_partly_outside_is_erased(side):
    images = random_images(0, 400, 7, 9, 2) + 1
    found = Augmentation(erase=side)(images, (0, 3))
    assert found.dtype == np.float32
    erased = (found == 0).all(-1)
    np.testing.assert_array_equal(found[~erased], images[~erased])
    sizes = set()
    for image in erased:
        rows, columns = image.any(1), image.any(0)
        np.testing.assert_array_equal(image, rows[:, None] & columns)
        for line in (rows, columns):
            places = np.flatnonzero(line)
            assert len(places) == places[-1] - places[0] + 1
            assert len(places) == side or 0 in places or len(line) - 1 in places
            sizes.add(len(places))
    assert sizes == set(range(1, side + 1))
