"""Scenes of coloured, handwritten digits on a smooth background, with boxes, masks and captions."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from .captions import COLOURS, captions_of
from .interpolate import interpolate

SIDE = 96  # pixels
TEST = 1437  # index of the first digit for test scenes, of 1,797 digits
NOISE = 0.04  # standard deviation of the noise of a pixel
TRIES = 30  # attempts to place a digit where it covers no other
MORE_TRIES = 1000  # the same for a digit that a scene must have


@dataclass(frozen=True)
class Kind:
    """What scenes of a kind contain: least and most digits, their sizes in pixels, their stroke."""

    digits: tuple[int, int]
    size: tuple[int, int]
    thick: bool


KINDS = {
    "detection": Kind((1, 4), (22, 43), False),
    "segmentation": Kind((1, 3), (36, 57), True),
    "captions": Kind((2, 2), (22, 36), False),
}


@dataclass(frozen=True)
class Scene:
    """An image float32 [SIDE, SIDE, 3] in 0 .. 1, and what it shows.

    boxes: float32 [N, 4], (xmin, ymin, xmax, ymax) around each digit, in pixels. labels: int32 [N],
    the digits. colours: int32 [N], their indices in COLOURS. mask: int32 [SIDE, SIDE], for each
    pixel its digit plus 1, or 0 for the background.
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    colours: np.ndarray
    mask: np.ndarray

    @property
    def pixels(self) -> np.ndarray:
        """The image as uint8 [SIDE, SIDE, 3]."""
        return np.round(255 * self.image).astype(np.uint8)

    @property
    def captions(self) -> tuple[str, ...]:
        """Eight true captions of a scene of two digits."""
        return captions_of(self.boxes, self.labels, self.colours)


@lru_cache(maxsize=1)
def handwriting() -> tuple[np.ndarray, np.ndarray]:
    """Ink float32 [1797, 8, 8] in 0 .. 1 and labels of scikit-learn's digits, in the same order."""
    from sklearn import datasets  # loads slowly

    images, labels = datasets.load_digits(return_X_y=True)
    return (images / 16).reshape(-1, 8, 8).astype(np.float32), labels.astype(np.int32)


def resized(image: np.ndarray, size: int) -> np.ndarray:
    """Return an image [H, W, ...] as [size, size, ...], by linear interpolation."""
    for axis in (0, 1):
        cells = image.shape[axis]
        image = interpolate(image, (np.arange(size) + 0.5) * cells / size - 0.5, axis)
    return image


def distorted(ink: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    """Turn, slant and stretch a digit [S, S] about its centre: [S', S'], with a margin around it.

    amount: largest absolute value of the angle in radians, of the slant, and of the logarithm of
    the ratio of width to height.
    """
    side = round(len(ink) * (1 + amount))
    turn, slant, stretch = rng.uniform(-amount, amount, 3)
    cos, sin, narrower = np.cos(turn), np.sin(turn), np.exp(-stretch / 2)
    # from a point of the result to one of the ink
    to_ink = np.array([[cos, -sin], [sin, cos]]) @ [[narrower, slant], [0, 1 / narrower]]
    (a, b), (c, d) = to_ink
    x, y = np.full(2, len(ink) / 2) - to_ink @ np.full(2, side / 2)
    picture = Image.fromarray(ink).transform(
        (side, side), Image.Transform.AFFINE, (a, b, x, c, d, y), Image.Resampling.BILINEAR
    )
    return np.asarray(picture)


def make_scene(kind: str, split: str, seed: int, index: int, *, distortion: float = 0.0) -> Scene:
    """Return the scene with the number `index`, a pure function of the arguments.

    kind: a name in KINDS. split: "train", with the first 1,437 of scikit-learn's digits, or "test",
    with the other 360. distortion: the `amount` by which each digit is `distorted`.
    """
    rng = np.random.default_rng((seed, index, split == "test"))
    what = KINDS[kind]
    while True:
        scene = draw_scene(what, split, rng, distortion)
        if len(scene.labels) >= what.digits[0]:
            return scene


def draw_scene(what: Kind, split: str, rng: np.random.Generator, distortion: float) -> Scene:
    """Draw a scene, without the digits for which no room was found."""
    inks, digits = handwriting()
    image = resized(rng.uniform(0.1, 0.9, (3, 3, 3)), SIDE)
    mask = np.zeros((SIDE, SIDE), np.int32)
    boxes: list[tuple[int, int, int, int]] = []
    labels, colours = [], []
    for colour in rng.permutation(len(COLOURS))[: rng.integers(*what.digits, endpoint=True)]:
        number = rng.integers(*((TEST, len(digits)) if split == "test" else (0, TEST)))
        ink = resized(inks[number], int(rng.integers(*what.size, endpoint=True)))
        if distortion:
            ink = distorted(ink, rng, distortion)
        ink = np.clip((ink - 0.25) * (8 if what.thick else 4), 0, 1)
        rows, columns = (np.flatnonzero((ink > 0.5).any(axis=axis)) for axis in (1, 0))
        ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        tries = MORE_TRIES if len(boxes) < what.digits[0] else TRIES
        placed = place(rng, ink.shape, boxes, tries)
        if placed is None:
            continue
        x, y = placed
        height, width = ink.shape
        part = slice(y, y + height), slice(x, x + width)
        shade = np.array(list(COLOURS.values())[colour]) * rng.uniform(0.8, 1)
        image[part] += ink[..., None] * (shade - image[part])
        mask[part][ink > 0.5] = digits[number] + 1
        boxes.append((x, y, x + width, y + height))
        labels.append(digits[number])
        colours.append(colour)
    image += rng.normal(0, NOISE, image.shape)
    return Scene(
        np.clip(image, 0, 1).astype(np.float32),
        np.array(boxes, np.float32),
        np.array(labels, np.int32),
        np.array(colours, np.int32),
        mask,
    )


def place(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    boxes: list[tuple[int, int, int, int]],
    tries: int,
) -> tuple[int, int] | None:
    """Draw a corner (x, y) of a box of `shape` that meets no other box; None if all tries fail."""
    for _ in range(tries):
        x, y = (int(rng.integers(SIDE - side + 1)) for side in (shape[1], shape[0]))
        right, bottom = x + shape[1], y + shape[0]
        if not any(x < b[2] and b[0] < right and y < b[3] and b[1] < bottom for b in boxes):
            return x, y
    return None
