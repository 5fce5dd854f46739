"""Augmentation of images, a pure function of the batch and its (seed, step).

Shift and scale along the axes are separable: each image is multiplied from the left by a matrix of
row weights and from the right by one of column weights.
"""

from dataclasses import dataclass

import numpy as np


def weights(positions: np.ndarray, size: int) -> np.ndarray:
    """Bilinear weights [..., P, size] that read an axis of `size` pixels at positions [..., P].

    Outside of the axis the image is zero.
    """
    distance = np.abs(positions[..., None] - np.arange(size, dtype=np.float32))
    return np.maximum(0.0, 1.0 - distance).astype(np.float32)


def separable(images: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Multiply images [N, H, W, C] by rows [N or 1, P, H] and columns [N or 1, Q, W]."""
    taller = np.einsum(
        "nph,nhwc->npwc",
        np.broadcast_to(rows, (len(images), *rows.shape[1:])),
        images,
        optimize=True,
    )
    return np.einsum(
        "nqw,npwc->npqc",
        np.broadcast_to(columns, (len(images), *columns.shape[1:])),
        taller,
        optimize=True,
    )


def resample(images: np.ndarray, size: int) -> np.ndarray:
    """Resize [N, H, W, C] to [N, size, size, C] bilinearly, corners on corners."""
    axes = [
        weights(np.linspace(0, length - 1, size, dtype=np.float32)[None], length)
        for length in images.shape[1:3]
    ]
    return separable(images, *axes)


@dataclass(frozen=True)
class Augmentation:
    """Random shift, scale and jitter, drawn anew for each image.

    shift: largest move along each axis, pixels. scale: largest relative change of size, each axis
    by itself. jitter: standard deviation of noise added to each pixel. Zero turns each off.
    """

    shift: float = 0.0
    scale: float = 0.0
    jitter: float = 0.0

    def __call__(self, images: np.ndarray, key: tuple[int, ...]) -> np.ndarray:
        """Images [N, H, W, C] changed by draws that depend on `key` alone."""
        rng = np.random.default_rng((*key, 1))
        count, height, width = images.shape[:3]
        if self.shift or self.scale:
            move = rng.uniform(-self.shift, self.shift, (2, count, 1)).astype(np.float32)
            factor = 1.0 + rng.uniform(-self.scale, self.scale, (2, count, 1)).astype(np.float32)
            axes = []
            for axis, length in enumerate((height, width)):
                centre = (length - 1) / 2
                target = np.arange(length, dtype=np.float32)[None] - centre - move[axis]
                axes.append(weights(target / factor[axis] + centre, length))
            images = separable(images, *axes)
        if self.jitter:
            noise = rng.standard_normal(images.shape, dtype=np.float32)
            images = images + np.float32(self.jitter) * noise
        return images
