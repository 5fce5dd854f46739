"""Spatial pyramid pooling: windows of a feature map become vectors of one size."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ..shapes import expand_to


def bin_edges(start: jax.Array, end: jax.Array, bins: int) -> tuple[jax.Array, jax.Array]:
    """First cell and the one after the last, int32 [..., bins] each, of equal parts of start..end.

    Part i reaches from floor(i n / bins) to ceil((i + 1) n / bins) of the n = end - start cells,
    so that neighbouring parts may share a cell, and none is empty. start, end: int [...], with
    end > start. Source: He et al., "Spatial pyramid pooling in deep convolutional networks for
    visual recognition", 2014.

    >>> [edges.tolist() for edges in bin_edges(jnp.int32(0), jnp.int32(10), 4)]
    [[0, 2, 5, 7], [3, 5, 8, 10]]
    """
    size = (end - start)[..., None]
    number = expand_to(jnp.arange(bins, dtype=size.dtype), size)
    first = start[..., None] + number * size // bins
    return first, start[..., None] - (-(number + 1) * size // bins)


def range_maxima(features: jax.Array) -> jax.Array:
    """Maxima [A, B, H, W, C] over blocks of 2^a x 2^b cells of features [H, W, C].

    Entry [a, b, y, x] belongs to the block whose first cell is (y, x); cells outside the map do not
    count. A is 1 + floor(log2 H), B likewise.
    """

    def doubled(table: jax.Array, axis: int) -> jax.Array:
        """Stack the maxima over 1, 2, 4, ... cells along an axis, as a new first axis."""
        levels, size = [table], table.shape[axis]
        while 2 ** len(levels) <= size:
            reach = 2 ** (len(levels) - 1)
            rest = jax.lax.slice_in_dim(levels[-1], reach, size, axis=axis)
            pad = [(0, reach if i == axis else 0) for i in range(rest.ndim)]
            moved = jnp.pad(rest, pad, constant_values=-jnp.inf)
            levels.append(jnp.maximum(levels[-1], moved))
        return jnp.stack(levels)

    return doubled(doubled(features, 1), 1)


def pool_windows(
    features: jax.Array, windows: jax.Array, levels: Sequence[int] = (6, 3, 2, 1)
) -> jax.Array:
    """Largest value of each bin of each window: [N, bins, C], where bins = sum of n^2 over levels.

    features: float [H, W, C]. windows: int [N, 4], (xmin, ymin, xmax, ymax) in cells, where the
    maxima are the cells after the last; they must lie in the map and hold a cell. A level n divides
    a window into n x n bins, see `bin_edges`, in the order of rows. Each bin is the maximum of four
    entries of one table, whatever its size. Equals

        features[ymin:ymax, xmin:xmax].max(axis=(0, 1))  # for every bin of every window

    Source: He et al. 2014; the table of maxima is that of Bender and Farach-Colton, "The LCA
    problem revisited", 2000, in two dimensions.
    """
    table = range_maxima(features)
    windows = windows.astype(jnp.int32)
    pooled = []
    for bins in levels:
        left, right = bin_edges(windows[:, 0], windows[:, 2], bins)
        top, bottom = bin_edges(windows[:, 1], windows[:, 3], bins)
        pooled.append(_block_maxima(table, top[:, :, None], bottom[:, :, None], left, right))
    return jnp.concatenate(pooled, axis=1)


def _block_maxima(
    table: jax.Array, top: jax.Array, bottom: jax.Array, left: jax.Array, right: jax.Array
) -> jax.Array:
    """Maxima [N, n * n, C] of blocks with rows [N, n, 1] and columns [N, n]."""
    left, right = left[:, None], right[:, None]
    a, b = (31 - jax.lax.clz(end - start) for start, end in ((top, bottom), (left, right)))
    lower, further = bottom - (1 << a), right - (1 << b)
    corners = [table[a, b, y, x] for y in (top, lower) for x in (left, further)]
    maxima = jnp.stack(corners).max(axis=0)
    return maxima.reshape(len(maxima), maxima.shape[1] * maxima.shape[2], table.shape[-1])


def windows_of_boxes(boxes: jax.Array, stride: float, shape: tuple[int, int]) -> jax.Array:
    """Windows int32 [N, 4] of a feature map [H, W] under boxes [N, 4] in pixels of the image.

    Each side is rounded outwards to whole cells of `stride` pixels; every window lies in the map
    and holds a cell.
    """
    limit = np.array([[shape[1], shape[0]]], np.float32)
    low = jnp.clip(jnp.floor(boxes[:, :2] / stride), 0, limit - 1)
    high = jnp.clip(jnp.ceil(boxes[:, 2:] / stride), low + 1, limit)
    return jnp.concatenate([low, high], axis=1).astype(jnp.int32)
