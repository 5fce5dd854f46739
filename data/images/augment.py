"""Image augmentation, a pure function of the batch and its (seed, step).

Shift and scale along the axes are separable: each image is multiplied from the left by a matrix of
row weights and from the right by one of column weights. With a horizontal shear every row has its
own column positions and is read by linear interpolation. Arrays may also be those of JAX.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..builtin.interpolate import interpolate
from ..epochs import Batch


def namespace(array: Any) -> Any:
    """Return the module of the functions of an array: numpy or jax.numpy."""
    return np if isinstance(array, np.ndarray) else array.__array_namespace__()


def weights(positions: np.ndarray, size: int) -> np.ndarray:
    """Bilinear weights [..., P, size] that read an axis of `size` pixels at positions [..., P].

    Outside the axis the image is zero.
    """
    xp = namespace(positions)
    distance = xp.abs(positions[..., None] - np.arange(size, dtype=np.float32))
    return xp.maximum(0.0, 1.0 - distance).astype(np.float32, copy=False)


def along_height(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Multiply images [N, H, W, C] by rows [N or 1, P, H], giving [N, P, W, C]."""
    xp = namespace(images)
    rows = xp.broadcast_to(rows, (len(images), *rows.shape[1:]))
    return xp.einsum("nph,nhwc->npwc", rows, images, optimize=True)


def separable(images: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Multiply images [N, H, W, C] by rows [N or 1, P, H] and columns [N or 1, Q, W]."""
    xp = namespace(images)
    columns = xp.broadcast_to(columns, (len(images), *columns.shape[1:]))
    return xp.einsum("nqw,npwc->npqc", columns, along_height(images, rows), optimize=True)


def read_rows(images: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Read each row of images [N, P, W, C] at its own positions [N, P, Q], giving [N, P, Q, C].

    Linear interpolation, zero outside: the product with `weights`, in fewer operations.
    """
    xp = namespace(images)
    count, rows, width, channels = images.shape
    padded = xp.pad(images, [(0, 0), (0, 0), (1, 2), (0, 0)]).reshape(-1, channels)
    positions = xp.clip(positions, -1, width).astype(np.float32) + 1
    left = xp.floor(positions)
    share = (positions - left)[..., None]
    first = (width + 3) * np.arange(count * rows).reshape(count, rows, 1)
    indices = first + left.astype(int)
    return padded[indices] * (1 - share) + padded[indices + 1] * share


def resample(images: np.ndarray, size: int) -> np.ndarray:
    """Resize [N, H, W, C] to [N, size, size, C] bilinearly, with the corners aligned."""
    for axis in (1, 2):
        images = interpolate(images, np.linspace(0, images.shape[axis] - 1, size), axis)
    return images


@dataclass(frozen=True)
class Augmentation:
    """Random planar distortions, jitter, flips and erasing, drawn separately for each image.

    shift: largest translation along each axis, pixels. scale: largest relative change of size,
    drawn separately for each axis. squeeze: one axis is stretched by a factor of up to 1 + squeeze
    and the other compressed by the same factor. shear: largest horizontal shift of a row, pixels
    per pixel of height from the centre. whole_shift: largest translation along each axis by whole
    pixels, which does not blur (He et al. 2015). jitter: standard deviation of Gaussian noise on
    each pixel. flip: mirror half of the images horizontally. erase: side of a square of zeros,
    pixels, at a random position, possibly beyond the border (Cutout: DeVries and Taylor 2017). Zero
    turns a distortion off. Images are zero outside and interpolated bilinearly.
    """

    shift: float = 0.0
    scale: float = 0.0
    jitter: float = 0.0
    squeeze: float = 0.0
    shear: float = 0.0
    flip: bool = False
    erase: int = 0
    whole_shift: int = 0

    def __call__(self, images: np.ndarray, key: tuple[int, ...]) -> np.ndarray:
        """Augment images [N, H, W, C] with random draws that depend on `key` alone."""
        return self.apply(images, self.draw(images.shape, key))

    def draw(self, shape: tuple[int, ...], key: tuple[int, ...]) -> Batch:
        """Random numbers for images of shape [N, H, W, C]; the leading axis of each is N.

        They are drawn for the whole batch, so an image gets the same ones whatever the rows that
        `apply` is called for.
        """
        draws: Batch = {}
        if self == Augmentation():
            return draws
        rng = np.random.default_rng((*key, 1))
        count, height, width = shape[:3]
        if self.shift or self.scale or self.squeeze or self.shear:
            shift = rng.uniform(-self.shift, self.shift, (2, count, 1)).astype(np.float32)
            factor = 1.0 + rng.uniform(-self.scale, self.scale, (2, count, 1)).astype(np.float32)
            if self.squeeze:
                limit = np.log1p(self.squeeze)
                stretch = np.exp(rng.uniform(-limit, limit, (count, 1))).astype(np.float32)
                factor *= np.stack([stretch, 1 / stretch])
            draws |= {"shift": shift[..., 0].T, "factor": factor[..., 0].T}
        if self.shear:
            draws["slope"] = rng.uniform(-self.shear, self.shear, count).astype(np.float32)
        if self.whole_shift:
            draws["first"] = rng.integers(0, 2 * self.whole_shift + 1, (2, count)).T
        if self.jitter:
            draws["noise"] = rng.standard_normal(shape, dtype=np.float32)
        if self.flip:
            draws["flipped"] = rng.random(count) < 0.5
        if self.erase:
            draws["erased"] = rng.integers(1 - self.erase, (height, width), (count, 2))
        return draws

    def apply(self, images: np.ndarray, draws: Mapping[str, np.ndarray]) -> np.ndarray:
        """Augment images [N, H, W, C], of numpy or JAX, with the numbers of `draw` for them."""
        xp = namespace(images)
        count, height, width = images.shape[:3]
        if "shift" in draws:
            shift, factor = draws["shift"], draws["factor"]
            rows, columns = (
                (
                    np.arange(length, dtype=np.float32)[None]
                    - (length - 1) / 2
                    - shift[:, axis, None]
                )
                / factor[:, axis, None]
                + (length - 1) / 2
                for axis, length in enumerate((height, width))
            )
            row_weights = weights(rows, height)
            if self.shear:
                slope = draws["slope"][:, None, None]
                positions = columns[:, None] + slope * (rows[:, :, None] - (height - 1) / 2)
                images = read_rows(along_height(images, row_weights), positions)
            else:
                images = separable(images, row_weights, weights(columns, width))
        if self.whole_shift:
            first, border = draws["first"], (self.whole_shift, self.whole_shift)
            padded = xp.pad(images, ((0, 0), border, border, (0, 0)))
            row = first[:, 0, None, None] + np.arange(height)[:, None]
            column = first[:, 1, None, None] + np.arange(width)
            images = padded[np.arange(count)[:, None, None], row, column]
        if self.jitter:
            images = images + np.float32(self.jitter) * draws["noise"]
        if self.flip:
            flipped = draws["flipped"][:, None, None, None]
            images = xp.where(flipped, images[:, :, ::-1], images)
        if self.erase:
            first = draws["erased"]
            erased = [
                xp.isin(np.arange(length) - first[:, axis, None], np.arange(self.erase))
                for axis, length in enumerate((height, width))
            ]
            images = xp.where((erased[0][:, :, None] & erased[1][:, None])[..., None], 0, images)
        return images
