"""Batches of images with windows: samples for training and evaluation, and every window to score.

A window belongs to the object that it overlaps most; its label is 1 + that of the object, or 0,
the background, if intersection over union is less than OBJECT.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..epochs import ALL, Batch, Rows, check_batch_size, epoch_examples
from .detection import Picture

OBJECT = 0.5  # least intersection over union of a window with its object
NEAR = 0.1  # half of the background is at least this near to an object, if there is any
SHIFTS, SIZES = 0.25, 0.25  # largest relative changes of objects that are added to the windows
COPIES = 16  # changed copies of each object in a step
GREY = 0.5  # of the pixels beyond an image


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union [N, M] of boxes a [N, 4] and b [M, 4]; 0 of two empty boxes."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    common = np.maximum(sides, 0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a, b)]
    union = areas[0][:, None] + areas[1] - common
    return common / np.where(union == 0, 1, union)


def on_canvas(image: np.ndarray, side: int) -> np.ndarray:
    """Image uint8 [H, W, 3] as float32 [side, side, 3] in 0 .. 1, grey beyond its edges."""
    canvas = np.full((side, side, 3), GREY, np.float32)
    canvas[: image.shape[0], : image.shape[1]] = image.astype(np.float32) / 255
    return canvas


def judged(picture: Picture, windows: np.ndarray) -> tuple[Batch, np.ndarray]:
    """Labels of windows [N, 4] of a picture, and which of them may be trained, bool [N].

    The arrays are "window", "label" int32 [N], "target" [N, 4], the object's box, and "overlap"
    with it. Windows that lie half in a difficult object or a crowd are not trained.
    """
    ignored = picture.difficult | picture.crowd
    real, others = picture.boxes[~ignored], picture.boxes[ignored]
    if len(real):
        table = overlaps(windows, real)
        best, overlap = table.argmax(axis=1), table.max(axis=1)
        target = real[best]
        label = np.where(overlap >= OBJECT, 1 + picture.labels[~ignored][best], 0)
    else:
        overlap, target = np.zeros(len(windows)), windows
        label = np.zeros(len(windows))
    free = np.ones(len(windows), bool)
    if len(others):
        low = np.maximum(windows[:, None, :2], others[None, :, :2])
        sides = np.minimum(windows[:, None, 2:], others[None, :, 2:]) - low
        inside = np.maximum(sides, 0).prod(axis=2).max(axis=1)
        areas = (windows[:, 2:] - windows[:, :2]).prod(axis=1)
        free = (label > 0) | (inside < OBJECT * areas)
    arrays = {"window": windows, "target": target, "overlap": overlap}
    batch = {name: values.astype(np.float32) for name, values in arrays.items()}
    return batch | {"label": label.astype(np.int32)}, free


class Sampling(NamedTuple):
    """How windows of an image are drawn.

    number: number of windows. objects: largest share of them with an object. copies: number of
    changed copies of each object that are added to the windows.
    """

    number: int
    objects: float
    copies: int


def sample(picture: Picture, windows: np.ndarray, how: Sampling, rng: np.random.Generator) -> Batch:
    """Draw from the windows [N, 4] of a picture and from its objects, changed and unchanged.

    Windows repeat where there are too few. Half of those of the background are near an object.
    """
    real = picture.boxes[~(picture.difficult | picture.crowd)]
    changed = np.repeat(real, how.copies, axis=0)
    sides = np.tile(changed[:, 2:] - changed[:, :2], 2)
    centre = rng.uniform(-SHIFTS, SHIFTS, (len(changed), 2))
    growth = rng.uniform(-SIZES, SIZES, (len(changed), 2))
    changed = changed + sides * np.concatenate([centre - growth, centre + growth], axis=1)
    limit = np.array(picture.image.shape[1::-1] * 2, np.float32)
    every = np.clip(np.concatenate([windows, real, changed]), 0, limit).astype(np.float32)
    every = every[(every[:, 2:] > every[:, :2]).all(axis=1)]
    batch, free = judged(picture, every)
    found = free & (batch["label"] > 0)
    background = free & ~found
    near = background & (batch["overlap"] >= NEAR)
    wanted = min(int(found.sum()), round(how.objects * how.number))
    rest = how.number - wanted
    chosen = [draw(found, wanted, rng), draw(near, rest // 2 if near.any() else 0, rng)]
    missing = how.number - sum(map(len, chosen))
    chosen.append(draw(background if background.any() else free, missing, rng))
    rows = np.concatenate(chosen)
    return {name: values[rows] for name, values in batch.items()}


def draw(among: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw indices of true values [N], of all values if none is true.

    No index repeats if there are enough.
    """
    indices = np.flatnonzero(among) if among.any() else np.arange(len(among))
    return rng.choice(indices, count, replace=len(indices) < count)


def mirrored(picture: Picture, windows: np.ndarray) -> tuple[Picture, np.ndarray]:
    """Mirror a picture, its boxes and its windows: left and right are exchanged."""
    width = picture.image.shape[1]

    def turned(boxes: np.ndarray) -> np.ndarray:
        left, right = width - boxes[:, 2], width - boxes[:, 0]
        return np.stack([left, boxes[:, 1], right, boxes[:, 3]], axis=1).astype(np.float32)

    image = picture.image[:, ::-1]
    return picture._replace(image=image, boxes=turned(picture.boxes)), turned(windows)


@dataclass(frozen=True)
class TrainingWindows:
    """step -> "image" [B, side, side, 3] and the arrays of `judged`, [B, count, ...].

    batch_size: images of a step, every image once per epoch. count: windows of an image. objects:
    largest share of windows with an object. flip: whether half of the images are mirrored. tint:
    largest relative change of each colour. Raises DataError when a batch is larger than the set.
    """

    pictures: Sequence[Picture]
    windows: Sequence[np.ndarray]
    side: int
    batch_size: int
    count: int
    objects: float
    seed: int
    flip: bool = False
    tint: float = 0.0

    def __post_init__(self) -> None:
        """Check the sizes."""
        check_batch_size(self.batch_size, len(self.pictures))

    def __call__(self, step: int, rows: Rows = ALL) -> Batch:
        """Return the rows of the batch of a step."""
        examples = epoch_examples(self.seed, step, self.batch_size, len(self.pictures))
        made = []
        for row in np.arange(self.batch_size)[rows]:
            # a generator for each row, since the number of draws depends on the picture
            rng = np.random.default_rng((self.seed, step, row, 1))
            pair = self.pictures[examples[row]], self.windows[examples[row]]
            picture, windows = mirrored(*pair) if self.flip and rng.random() < 0.5 else pair
            arrays = sample(picture, windows, Sampling(self.count, self.objects, COPIES), rng)
            image = on_canvas(picture.image, self.side)
            if self.tint:
                image = np.clip(image * (1 + rng.uniform(-self.tint, self.tint, 3)), 0, 1)
            made.append({"image": image.astype(np.float32)} | arrays)
        return {name: np.stack([arrays[name] for arrays in made]) for name in made[0]}


@dataclass(frozen=True)
class EvaluationWindows:
    """Batches like those of training, always the same, and all windows for the scores.

    Rows that pad the last batch have "mask" 0. pictures, windows: of the set, in order.
    """

    pictures: Sequence[Picture]
    windows: Sequence[np.ndarray]
    side: int
    batch_size: int
    count: int
    objects: float

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches of samples of exactly batch_size images."""
        return self.with_rows(ALL)

    def with_rows(self, rows: Rows) -> Iterator[Batch]:
        """Yield some rows of every batch."""
        how = Sampling(self.count, self.objects, 0)
        for start in range(0, len(self.pictures), self.batch_size):
            made = []
            for i in np.array(self._rows(start))[rows].tolist():
                own = self.pictures[i], self.windows[i]
                arrays = sample(*own, how, np.random.default_rng(i))
                made.append({"image": on_canvas(own[0].image, self.side)} | arrays)
            batch = {name: np.stack([arrays[name] for arrays in made]) for name in made[0]}
            real = start + np.arange(self.batch_size)[rows] < len(self.pictures)
            yield batch | {"mask": real.astype(np.float32)}

    def every_window(self) -> Iterator[tuple[list[int], Batch]]:
        """Yield indices of images with "image" and "window" [B, N, 4], all of their windows.

        N is the largest number of windows of an image; in other images the last window repeats.
        """
        most = max(map(len, self.windows))
        for start in range(0, len(self.pictures), self.batch_size):
            indices = list(range(start, min(start + self.batch_size, len(self.pictures))))
            rows = self._rows(start)
            images = np.stack([on_canvas(self.pictures[i].image, self.side) for i in rows])
            pads = [[(0, most - len(self.windows[i])), (0, 0)] for i in rows]
            windows = [np.pad(self.windows[i], p, "edge") for i, p in zip(rows, pads, strict=True)]
            yield indices, {"image": images, "window": np.stack(windows)}

    def _rows(self, start: int) -> list[int]:
        """Indices of the pictures of a batch; the last one repeats."""
        return [min(start + i, len(self.pictures) - 1) for i in range(self.batch_size)]
