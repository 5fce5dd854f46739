"""Augmentation of images, a pure function of the batch and its (seed, step).

Shift and scale along the axes are separable: each image is multiplied from the left by a matrix of
row weights and from the right by one of column weights. With a horizontal shear each row has column
positions of its own, and is read by linear interpolation.
"""

from dataclasses import dataclass

import numpy as np


def weights(positions: np.ndarray, size: int) -> np.ndarray:
    """Bilinear weights [..., P, size] that read an axis of `size` pixels at positions [..., P].

    Outside of the axis the image is zero.
    """
    distance = np.abs(positions[..., None] - np.arange(size, dtype=np.float32))
    return np.maximum(0.0, 1.0 - distance).astype(np.float32)


def along_height(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Multiply images [N, H, W, C] by rows [N or 1, P, H], giving [N, P, W, C]."""
    rows = np.broadcast_to(rows, (len(images), *rows.shape[1:]))
    return np.einsum("nph,nhwc->npwc", rows, images, optimize=True)


def separable(images: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Multiply images [N, H, W, C] by rows [N or 1, P, H] and columns [N or 1, Q, W]."""
    columns = np.broadcast_to(columns, (len(images), *columns.shape[1:]))
    return np.einsum("nqw,npwc->npqc", columns, along_height(images, rows), optimize=True)


def read_rows(images: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Read each row of images [N, P, W, C] at its own positions [N, P, Q], giving [N, P, Q, C].

    Linear between neighbours, zero outside: what `weights` would multiply, in fewer operations.
    """
    count, rows, width, channels = images.shape
    padded = np.pad(images, [(0, 0), (0, 0), (1, 2), (0, 0)]).reshape(-1, channels)
    positions = np.clip(positions, -1, width).astype(np.float32) + 1
    left = np.floor(positions)
    share = (positions - left)[..., None]
    first = (width + 3) * np.arange(count * rows).reshape(count, rows, 1)
    places = first + left.astype(np.intp)
    return padded[places] * (1 - share) + padded[places + 1] * share


def resample(images: np.ndarray, size: int) -> np.ndarray:
    """Resize [N, H, W, C] to [N, size, size, C] bilinearly, corners on corners."""
    axes = [
        weights(np.linspace(0, length - 1, size, dtype=np.float32)[None], length)
        for length in images.shape[1:3]
    ]
    return separable(images, *axes)


@dataclass(frozen=True)
class Augmentation:
    """Random planar distortions, jitter, flips and erasing, drawn anew for each image.

    shift: largest move along each axis, pixels. scale: largest relative change of size, each axis
    by itself. squeeze: one axis grows by up to this factor less 1 and the other shrinks by the same
    factor. shear: largest move of a row to the side, pixels for each pixel of height from the
    centre. jitter: standard deviation of noise added to each pixel. flip: left and right change
    places in half of the images. erase: side of a square of zeros, pixels, around a place anywhere
    in the image, so that a part of it may lie outside (Cutout: DeVries and Taylor 2017). Zero turns
    each off. Outside of an image is zero; pixels between pixels are bilinear.
    """

    shift: float = 0.0
    scale: float = 0.0
    jitter: float = 0.0
    squeeze: float = 0.0
    shear: float = 0.0
    flip: bool = False
    erase: int = 0

    def __call__(self, images: np.ndarray, key: tuple[int, ...]) -> np.ndarray:
        """Images [N, H, W, C] changed by draws that depend on `key` alone."""
        rng = np.random.default_rng((*key, 1))
        count, height, width = images.shape[:3]
        if self.shift or self.scale or self.squeeze or self.shear:
            move = rng.uniform(-self.shift, self.shift, (2, count, 1)).astype(np.float32)
            factor = 1.0 + rng.uniform(-self.scale, self.scale, (2, count, 1)).astype(np.float32)
            if self.squeeze:
                limit = np.log1p(self.squeeze)
                longer = np.exp(rng.uniform(-limit, limit, (count, 1))).astype(np.float32)
                factor *= np.stack([longer, 1 / longer])
            rows, columns = (
                (np.arange(length, dtype=np.float32)[None] - (length - 1) / 2 - move[axis])
                / factor[axis]
                + (length - 1) / 2
                for axis, length in enumerate((height, width))
            )
            taller = weights(rows, height)
            if self.shear:
                slope = rng.uniform(-self.shear, self.shear, (count, 1, 1)).astype(np.float32)
                places = columns[:, None] + slope * (rows[:, :, None] - (height - 1) / 2)
                images = read_rows(along_height(images, taller), places)
            else:
                images = separable(images, taller, weights(columns, width))
        if self.jitter:
            noise = rng.standard_normal(images.shape, dtype=np.float32)
            images = images + np.float32(self.jitter) * noise
        if self.flip:
            chosen = rng.random((count, 1, 1, 1)) < 0.5
            images = np.where(chosen, images[:, :, ::-1], images)
        if self.erase:
            low = rng.integers(1 - self.erase, (height, width), (count, 2))
            hit = [
                np.isin(np.arange(length) - low[:, axis, None], np.arange(self.erase))
                for axis, length in enumerate((height, width))
            ]
            images = np.where((hit[0][:, :, None] & hit[1][:, None])[..., None], 0, images)
        return images
