"""Detectors: a class and a better box for every window of an image, by R-CNN and by SPP-net."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from ..shapes import expand_to, flatten_from
from .boxes import area
from .pyramid import pool_windows, windows_of_boxes

CONTEXT = 16 / 227  # of the warped window on each side, as published
GREY = 0.5


class WindowScores(NamedTuple):
    """Outputs for windows [B, N]: logits float32 [B, N, 1 + classes], the background first.

    changes: float32 [B, N, classes, 4], regression targets of each class, see `boxes.encode`.
    features: float32 [B, N, F], the last hidden layer.
    """

    logits: jax.Array
    changes: jax.Array
    features: jax.Array


def warp(image: jax.Array, boxes: jax.Array, side: int, context: float = CONTEXT) -> jax.Array:
    """Windows of an image [H, W, C] at boxes [N, 4], as [N, side, side, C].

    Each box becomes (1 - 2 context) side pixels wide and high, whatever its shape. The image around
    the box fills the rest of the window, which is grey beyond the edges of the image. Windows are
    enlarged by linear interpolation, and reduced by means over the pixels that each output pixel
    covers. Source: Girshick et al.,
    "Rich feature hierarchies for accurate object detection and semantic segmentation", 2014,
    appendix A.
    """
    sides = (boxes[:, 2:] - boxes[:, :2]) / (1 - 2 * context)
    low = (boxes[:, :2] + boxes[:, 2:] - sides) / 2
    (left, right), (top, bottom) = (
        _covered(low[:, axis], sides[:, axis] / side, side) for axis in (0, 1)
    )
    # each output row is the difference of two sums over the rows above it; a product with weights,
    # as for the columns, would read the whole image for each window
    sums = jnp.pad(jnp.cumsum(image - GREY, axis=0), ((1, 0), (0, 0), (0, 0)))
    part = _up_to(sums, bottom) - _up_to(sums, top)
    part = part / (bottom - top)[..., None, None]
    columns = _weights(left, right, image.shape[1])
    return GREY + jnp.einsum("nxw,nywc->nyxc", columns, part)


def _covered(low: jax.Array, step: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """First and last edges [N, count] of the intervals that output pixels cover.

    The `count` output pixels of width `step` begin at `low`. An interval is at least one pixel
    wide; means over one pixel are linear interpolation.
    """
    at = low[:, None] + (jnp.arange(count, dtype=low.dtype) + 0.5)[None] * step[:, None]
    half = jnp.maximum(step, 1)[:, None] / 2
    return at - half, at + half


def _up_to(sums: jax.Array, edges: jax.Array) -> jax.Array:
    """Sums [N, K, ...] over the pixels before fractional edges [N, K].

    sums[i] is the sum over the first i pixels.
    """
    edges = jnp.clip(edges, 0, len(sums) - 1)
    whole = jnp.clip(edges.astype(jnp.int32), 0, len(sums) - 2)
    share = (edges - whole.astype(edges.dtype))[(..., *(None,) * (sums.ndim - 1))]
    return sums[whole] * (1 - share) + sums[whole + 1] * share


def _weights(first: jax.Array, last: jax.Array, size: int) -> jax.Array:
    """Weights [N, count, size] of the pixels of an axis in means from `first` to `last`."""
    first, last = first[..., None], last[..., None]
    pixel = jnp.arange(size, dtype=first.dtype)[None, None]
    covered = jnp.minimum(last, pixel + 1) - jnp.maximum(first, pixel)
    return jnp.maximum(0, covered) / (last - first)


class WindowHead(nn.Module):
    """Dense layers on the vectors x of windows: h = drop(relu(W x)), logits V h, changes U h."""

    classes: int
    hidden: int
    dropout: float
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> WindowScores:
        """Return the scores of x [B, N, D]."""
        hidden = nn.relu(nn.Dense(self.hidden, dtype=self.dtype, name="dense")(x))
        hidden = nn.Dropout(self.dropout, deterministic=not train)(hidden)
        logits = nn.Dense(1 + self.classes, dtype=self.dtype, name="classes")(hidden)
        start = nn.initializers.normal(1e-3)
        changes = nn.Dense(4 * self.classes, kernel_init=start, dtype=self.dtype, name="boxes")(
            hidden
        )
        changes = changes.reshape(*changes.shape[:-1], self.classes, 4)
        return WindowScores(*(y.astype(jnp.float32) for y in (logits, changes, hidden)))


class RCNN(nn.Module):
    """Each window is warped to side x side pixels and convolved by itself; then `WindowHead`.

    backbone: images -> maps at strides 2, 4, ..., of which the one of `stride` is read as a vector.
    Source: Girshick et al. 2014, whose layers are those of AlexNet up to fc7, and whose classifier
    is a support vector machine.
    """

    backbone: nn.Module
    classes: int
    side: int = 40
    stride: int = 8
    hidden: int = 128
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: jax.Array, windows: jax.Array, *, train: bool = False
    ) -> WindowScores:
        """Return the scores of windows [B, N, 4] in pixels of images [B, H, W, 3] in 0 .. 1."""
        parts = jax.vmap(lambda image, boxes: warp(image, boxes, self.side))(images, windows)
        parts = parts.reshape(windows.shape[0] * windows.shape[1], *parts.shape[2:])
        parts = parts.astype(self.dtype)
        x = self.backbone(parts, train=train)[_level(self.stride)]
        x = flatten_from(x, 1)
        x = x.reshape(*windows.shape[:2], x.shape[-1])
        head = WindowHead(self.classes, self.hidden, self.dropout, self.dtype, name="head")
        return head(x, train)


class SPPNet(nn.Module):
    """The image is convolved once for each scale, and each window is pooled into fixed bins.

    backbone: as in `RCNN`; its map of `stride` is pooled by `pool_windows` with `levels`, then
    `WindowHead`. scales: factors of the sides of the image. Each window is read at the scale where
    its area is nearest to side x side pixels. Source: He, Zhang, Ren and Sun, "Spatial pyramid
    pooling in deep convolutional networks for visual recognition", 2014, with five scales.
    """

    backbone: nn.Module
    classes: int
    side: int = 40
    stride: int = 8
    levels: Sequence[int] = (6, 3, 2, 1)
    scales: Sequence[float] = (1.0,)
    hidden: int = 128
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: jax.Array, windows: jax.Array, *, train: bool = False
    ) -> WindowScores:
        """Return the scores of windows [B, N, 4] in pixels of images [B, H, W, 3] in 0 .. 1."""
        maps, sizes = [], []
        for scale in self.scales:
            height, width = (round(side * scale) for side in images.shape[1:3])
            shape = (images.shape[0], height, width, images.shape[3])
            x = images if scale == 1 else jax.image.resize(images, shape, "bilinear")
            maps.append(self.backbone(x.astype(self.dtype), train=train)[_level(self.stride)])
            sizes.append((maps[-1].shape[1], maps[-1].shape[2]))
        cells = _cells_of_scales(windows, self.scales, sizes, self.side, self.stride)
        # the maps of all scales, one below the other, are one map for the pooling
        most = max(width for _, width in sizes)
        pads = [[(0, 0), (0, 0), (0, most - width), (0, 0)] for _, width in sizes]
        tall = jnp.concatenate([jnp.pad(x, p) for x, p in zip(maps, pads, strict=True)], axis=1)
        pooled = jax.vmap(lambda x, boxes: pool_windows(x, boxes, self.levels))(tall, cells)
        x = flatten_from(pooled, 2)
        head = WindowHead(self.classes, self.hidden, self.dropout, self.dtype, name="head")
        return head(x, train)


def _cells_of_scales(
    windows: jax.Array,
    scales: Sequence[float],
    sizes: Sequence[tuple[int, int]],
    side: int,
    stride: int,
) -> jax.Array:
    """Cells int32 [B, N, 4] of windows [B, N, 4] in maps of sizes (H, W) one below the other."""
    sides = jnp.sqrt(area(windows))[..., None]
    sides = sides * expand_to(jnp.array(scales, sides.dtype), sides)
    # nearest by ratio; an empty window goes to the first scale
    chosen = jnp.abs(jnp.log(jnp.maximum(sides, 1e-6) / side)).argmin(axis=-1)
    found = jnp.zeros(windows.shape, jnp.int32)
    first = 0
    for number, (scale, size) in enumerate(zip(scales, sizes, strict=True)):
        flat = windows.reshape(windows.shape[0] * windows.shape[1], 4) * scale
        cells = windows_of_boxes(flat, stride, size).reshape(windows.shape)
        cells = cells.at[..., 1::2].add(first)
        found = jnp.where((chosen == number)[..., None], cells, found)
        first += size[0]
    return found


def _level(stride: int) -> int:
    """Index of the map of a stride among those at 2, 4, 8, ..."""
    return stride.bit_length() - 2
