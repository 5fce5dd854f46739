"""Boxes in images: overlap, matching, regression targets and non-maximum suppression.

A box is (xmin, ymin, xmax, ymax) in pixels, where 0 is the edge of the first pixel: its width is
xmax - xmin. A file of PASCAL VOC names the first and the last pixel, counted from 1, so its readers
subtract 1 from xmin and ymin.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def area(boxes: ArrayLike) -> jax.Array:
    """Area [...] of boxes [..., 4]; 0 where a side is negative."""
    boxes = jnp.asarray(boxes)
    sides = jnp.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def iou(a: ArrayLike, b: ArrayLike) -> jax.Array:
    """Intersection over union [..., N, M] of boxes a [..., N, 4] and b [..., M, 4].

    It is 0 where both boxes are empty. No pixel is added to the sides, unlike in the program of
    PASCAL VOC 2007.

    >>> round(float(iou(jnp.array([[0, 0, 10, 10]]), jnp.array([[5, 0, 15, 10]]))[0, 0]), 5)
    0.33333
    """
    a, b = jnp.asarray(a)[..., :, None, :], jnp.asarray(b)[..., None, :, :]
    low, high = jnp.maximum(a[..., :2], b[..., :2]), jnp.minimum(a[..., 2:], b[..., 2:])
    common = area(jnp.concatenate([low, high], axis=-1))
    union = area(a) + area(b) - common
    return common / jnp.where(union == 0, 1, union)


def match(boxes: ArrayLike, objects: ArrayLike, valid: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Best object of each box: index int32 [..., N] and intersection over union [..., N].

    boxes: [..., N, 4]. objects: [..., M, 4], of which `valid` [..., M] marks the real ones, so that
    images with different numbers of objects share a shape. Of equal overlaps the first object
    counts; without any object the index is 0 and the overlap 0.
    """
    objects = jnp.asarray(objects)
    if objects.shape[-2] == 0:
        shape = jnp.asarray(boxes).shape[:-1]
        return jnp.zeros(shape, jnp.int32), jnp.zeros(shape, jnp.float32)
    overlaps = jnp.where(jnp.asarray(valid)[..., None, :] != 0, iou(boxes, objects), 0)
    return overlaps.argmax(axis=-1).astype(jnp.int32), overlaps.max(axis=-1)


def encode(boxes: ArrayLike, targets: ArrayLike) -> jax.Array:
    """Regression targets (x, y, w, h) [..., 4] that move boxes [..., 4] onto targets [..., 4].

    x = (target centre - box centre) / box width, y likewise; w = log(target width / box width), h
    likewise. All sides must be positive. Source: Girshick et al., "Rich feature hierarchies for
    accurate object detection and semantic segmentation", 2014, appendix C.

    >>> moved = encode(jnp.array([10.0, 20, 50, 60]), jnp.array([14.0, 18, 58, 66]))
    >>> [round(x, 5) for x in moved.tolist()]
    [0.15, 0.05, 0.09531, 0.18232]
    """
    (centre, sides), (to, to_sides) = _centres(boxes), _centres(targets)
    return jnp.concatenate([(to - centre) / sides, jnp.log(to_sides / sides)], axis=-1)


def decode(boxes: ArrayLike, changes: ArrayLike) -> jax.Array:
    """Boxes [..., 4] moved by regression targets [..., 4]: the inverse of `encode`."""
    centre, sides = _centres(boxes)
    changes = jnp.asarray(changes)
    centre = centre + changes[..., :2] * sides
    half = sides * jnp.exp(changes[..., 2:]) / 2
    return jnp.concatenate([centre - half, centre + half], axis=-1)


def _centres(boxes: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Centres and sides [..., 2]."""
    boxes = jnp.asarray(boxes)
    return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]


@partial(jnp.vectorize, signature="(n,4),(n),()->(n)")
def nms(boxes: jax.Array, scores: jax.Array, threshold: jax.Array) -> jax.Array:
    """Non-maximum suppression: which boxes remain, bool [..., N].

    From the highest score down, a box is removed if its intersection over union with a remaining
    box of a higher score is more than `threshold`. Of equal scores the first box counts as higher.
    boxes: [..., N, 4]; scores: [..., N], where -inf marks a box that is not there; leading axes,
    such as images and classes, are independent. Equals

        for i in sorted(range(N), key=lambda i: -scores[i]):
            keep[i] = all(iou(boxes[i], boxes[j]) <= threshold for j before i if keep[j])
    """
    if not len(scores):
        return jnp.zeros(0, bool)
    order = jnp.argsort(-scores, stable=True)
    overlaps = iou(boxes[order], boxes[order]) > threshold
    later = jnp.arange(len(scores))

    def suppress(i: jax.Array, keep: jax.Array) -> jax.Array:
        return keep & ~(keep[i] & overlaps[i] & (later > i))

    keep = jax.lax.fori_loop(0, len(scores), suppress, scores[order] > -jnp.inf)
    return jnp.zeros_like(keep).at[order].set(keep, unique_indices=True)
