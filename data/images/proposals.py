"""Windows of an image that may hold an object: selective search, and sliding windows.

Source of selective search: Uijlings, van de Sande, Gevers and Smeulders, "Selective search for
object recognition", 2013. It starts from small segments of similar colour (Felzenszwalb and
Huttenlocher, "Efficient graph-based image segmentation", 2004) and merges the two most similar
neighbours until one region is left; the box of every region on the way is a window.
"""

import hashlib
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from tqdm import tqdm

from ..forms.cache import cached

BINS = 16  # of a histogram of colour or texture, for each channel
SMALLEST = 4  # pixels: the least side of a window
SPACES = ("rgb", "lab")
SCALES = (20.0, 60.0)  # of segments: larger values make larger ones
METHODS = ("selective", "sliding", "both")
SIDES = (0.15, 0.2, 0.27, 0.36, 0.48, 0.64, 0.85)  # of sliding windows, in parts of the longer side
RATIOS = (0.6, 1.0, 1.6)  # height over width of sliding windows
STEP = 0.25  # between sliding windows, in parts of their sides
VERSION = 1  # of the cached windows


def selective_search(image: np.ndarray) -> np.ndarray:
    """Windows float32 [N, 4] of an image uint8 [H, W, 3], the most object-like first.

    The windows of several segmentations, in the colour spaces SPACES with SCALES, are put together.
    The rank of a window is the place of its region in the order of merging, counted from the last
    one, times a random number, as published; the numbers depend on the image alone. Windows that
    occur twice count once.
    """
    from skimage.color import rgb2lab  # loads slowly
    from skimage.segmentation import felzenszwalb

    colour = image.astype(np.float32) / 255
    boxes, ranks = [], []
    rng = np.random.default_rng(0)
    for space in SPACES:
        pixels = colour if space == "rgb" else scaled(rgb2lab(colour))
        for scale in SCALES:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an image of one pixel has no third axis for it
                segments = felzenszwalb(pixels, scale, 0.8, 20, channel_axis=-1)
            found = merged_regions(pixels, segments)
            boxes.append(found)
            ranks.append(np.arange(len(found), 0, -1) * rng.random(len(found)))
    windows = np.concatenate(boxes)[np.argsort(np.concatenate(ranks), kind="stable")]
    return distinct(windows[(windows[:, 2:] - windows[:, :2]).min(axis=1) >= SMALLEST], image)


def scaled(pixels: np.ndarray) -> np.ndarray:
    """Lab colours [H, W, 3] in 0 .. 1."""
    return ((pixels + np.array([0, 128, 128])) / np.array([100, 255, 255])).astype(np.float32)


def merged_regions(pixels: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """Boxes float32 [N, 4] of segments [H, W] and of their unions, in the order of merging.

    pixels: [H, W, 3] in 0 .. 1. At each step the two neighbours of greatest similarity

        colour(i, j) + texture(i, j) + 1 - (size_i + size_j) / size + 1 - gap / size

    become one, where colour and texture are the intersections of normalised histograms of values
    and of derivatives, and gap is the part of the box around both that neither fills.
    """
    count, size = int(segments.max()) + 1, segments.size
    sizes = np.bincount(segments.ravel(), minlength=count).astype(float)
    gradients = np.stack([*np.gradient(np.pad(pixels, [(0, 1), (0, 1), (0, 0)], "edge"))[:2]], -1)
    texture = 0.5 + 2 * gradients[:-1, :-1].reshape(*segments.shape, -1)
    features = np.concatenate(
        [histograms(values, segments, count) for values in (pixels, texture)], axis=1
    )
    y, x = np.indices(segments.shape)
    low = np.full((count, 2), size)
    high = np.zeros((count, 2), int)
    places = np.stack([x, y], axis=-1).reshape(-1, 2)
    np.minimum.at(low, segments.ravel(), places)
    np.maximum.at(high, segments.ravel(), places + 1)
    boxes = np.concatenate([low, high], axis=1)

    near = np.zeros((count, count), bool)
    near[segments[:, 1:], segments[:, :-1]] = near[segments[1:], segments[:-1]] = True
    near = (near | near.T) & ~np.eye(count, dtype=bool)

    def similarities(i: int, others: np.ndarray) -> np.ndarray:
        low = np.minimum(boxes[i, :2], boxes[others, :2])
        around = (np.maximum(boxes[i, 2:], boxes[others, 2:]) - low).prod(axis=1)
        both = sizes[i] + sizes[others]
        common = np.minimum(features[i], features[others]).sum(axis=1)
        return common + 2 - both / size - (around - both) / size

    table = np.full((count, count), -np.inf)
    for i in range(count):
        table[i, near[i]] = similarities(i, np.flatnonzero(near[i]))
    found = [*boxes.copy()]
    for _ in range(count - 1):
        i, j = divmod(int(table.argmax()), count)
        if table[i, j] == -np.inf:
            break
        shares = sizes[[i, j]] / sizes[[i, j]].sum()
        features[i] = shares @ features[[i, j]]
        sizes[i] += sizes[j]
        boxes[i, :2] = np.minimum(boxes[i, :2], boxes[j, :2])
        boxes[i, 2:] = np.maximum(boxes[i, 2:], boxes[j, 2:])
        found.append(boxes[i].copy())
        near[i] |= near[j]
        near[i, i] = False
        near[j], near[:, j], table[j], table[:, j] = False, False, -np.inf, -np.inf
        others = np.flatnonzero(near[i])
        near[others, i] = True
        table[i, others] = table[others, i] = similarities(i, others)
    return np.array(found, np.float32)


def histograms(values: np.ndarray, segments: np.ndarray, count: int) -> np.ndarray:
    """Histograms [count, C * BINS] of values [H, W, C] in 0 .. 1 in each segment; rows sum to 1."""
    bins = np.clip((values * BINS).astype(int), 0, BINS - 1)
    channels = values.shape[2]
    cells = (segments[..., None] * channels + np.arange(channels)) * BINS + bins
    counts = np.bincount(cells.ravel(), minlength=count * channels * BINS).reshape(count, -1)
    return counts / counts.sum(axis=1, keepdims=True)


def distinct(windows: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Windows in their order, each once; if there are none, the window of the whole image."""
    if not len(windows):
        return np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)
    _, first = np.unique(windows, axis=0, return_index=True)
    return windows[np.sort(first)]


def sliding_windows(image: np.ndarray) -> np.ndarray:
    """Windows float32 [N, 4] on regular grids of SIDES and RATIOS, in an order that mixes them."""
    height, width = image.shape[:2]
    found = []
    for side in SIDES:
        for ratio in RATIOS:
            h, w = (side * max(height, width) * ratio**power for power in (0.5, -0.5))
            rows, columns = (
                np.linspace(0, length - part, 1 + int(np.ceil((length - part) / (STEP * part))))
                if part < length
                else np.empty(0)
                for length, part in ((height, h), (width, w))
            )
            y, x = (grid.ravel() for grid in np.meshgrid(rows, columns, indexing="ij"))
            found.append(np.stack([x, y, x + w, y + h], axis=1))
    windows = np.concatenate(found).astype(np.float32)
    return distinct(windows[np.random.default_rng(0).permutation(len(windows))], image)


def proposals(image: np.ndarray, method: str, most: int) -> np.ndarray:
    """At most `most` windows of an image by a method in METHODS; "both" alternates them."""
    if method == "sliding":
        return sliding_windows(image)[:most]
    windows = selective_search(image)
    if method == "both":
        others = sliding_windows(image)
        common = min(len(windows), len(others))
        mixed = np.stack([windows[:common], others[:common]], axis=1).reshape(-1, 4)
        windows = np.concatenate([mixed, windows[common:], others[common:]])
    return windows[:most]


def proposals_of(images: Sequence[np.ndarray], method: str, most: int) -> list[np.ndarray]:
    """`proposals` of each image, cached by the contents of the images, with a progress bar."""
    digest = hashlib.sha256(repr((VERSION, method, most, SPACES, SCALES)).encode())
    for image in images:
        digest.update(f"{image.shape}".encode() + np.ascontiguousarray(image).tobytes())
    found = cached(f"proposals {digest.hexdigest()}", partial(_joined, images, method, most))
    return np.split(found["windows"], np.cumsum(found["counts"])[:-1])


def _joined(images: Sequence[np.ndarray], method: str, most: int) -> dict[str, np.ndarray]:
    make: Callable[[np.ndarray], np.ndarray] = partial(proposals, method=method, most=most)
    hidden = None if sys.stderr.isatty() else len(images) < 100
    bar = tqdm(images, f"{method} proposals", unit="image", disable=hidden, mininterval=5)
    windows = [make(image) for image in bar]
    return {
        "windows": np.concatenate(windows),
        "counts": np.array([len(rows) for rows in windows]),
    }
