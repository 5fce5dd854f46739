"""Images with captions: built-in scenes, made by number, and the captioned images of COCO files."""

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..builtin.captions import COLOURS, NUMBERS, RELATIONS, TEMPLATES, facts_of, noun
from ..builtin.scenes import Scene, make_scene
from ..catalogue import DataError
from ..epochs import ALL, Batch, Rows, check_batch_size, epoch_examples
from ..text.vocabulary import BEGIN, END
from .coco import load_coco

SCENES = "scenes"
FOLDS = 5
VALIDATION_EVERY = 10  # of the training images of a fold, one in so many is for validation
HELD_OUT = 2**32  # number of the first scene for validation; training uses smaller ones
WORD = re.compile(r"\w+(?:['\u2019]\w+)?")

Encode = Callable[[Sequence[str]], list[list[int]]]  # captions to ids
Fact = tuple[str, str, str]


class Pictures(NamedTuple):
    """Images uint8 [N, S, S, 3] and the captions of each.

    Of scenes also: facts, the true statements about each; masks int32 [N, S, S], 0 or
    1 + digit * len(COLOURS) + colour.
    """

    images: np.ndarray
    captions: Sequence[tuple[str, ...]]
    facts: Sequence[Sequence[Fact]] = ()
    masks: np.ndarray | None = None

    def subset(self, indices: np.ndarray) -> "Pictures":
        """Return the images at indices."""
        return Pictures(
            self.images[indices],
            [self.captions[i] for i in indices],
            [self.facts[i] for i in indices] if self.facts else (),
            None if self.masks is None else self.masks[indices],
        )

    def to_bytes(self) -> bytes:
        """Images and captions, without facts and masks, as a compressed .npz file."""
        file = io.BytesIO()
        captions = np.frombuffer(json.dumps(list(self.captions)).encode(), np.uint8)
        np.savez_compressed(file, images=self.images, captions=captions)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Pictures":
        """Read what `to_bytes` has written."""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            captions = json.loads(arrays["captions"].tobytes())
            return cls(arrays["images"], [tuple(texts) for texts in captions])


def plain(caption: str) -> str:
    """Words of a caption in lower case, separated by spaces, without punctuation.

    >>> plain("A man's dog, on a bed.")
    "a man's dog on a bed"
    """
    return " ".join(WORD.findall(caption.lower().replace("\u2019", "'")))


def scene_captions() -> list[str]:
    """Sentences with every word of the captions of scenes."""
    nouns = [
        noun(label, colour) for label, colour in product(range(len(NUMBERS)), range(len(COLOURS)))
    ]
    pairs = pairwise(nouns)
    return [t.format(a, r, b) for a, b in pairs for t, r in product(TEMPLATES, RELATIONS)]


def resized(image: np.ndarray, size: int) -> np.ndarray:
    """Resize an image uint8 [H, W, 3] to size x size pixels, each a mean of those it covers."""
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


def nearest(mask: np.ndarray, size: int) -> np.ndarray:
    """Values of a square mask [S, S] at the centres of size x size pixels."""
    centres = ((np.arange(size) + 0.5) * len(mask) / size).astype(int)
    return mask[centres[:, None], centres]


def scenes(
    split: str, seed: int, first: int, count: int, size: int, *, distortion: float = 0.0
) -> Pictures:
    """`count` scenes of two digits from the number `first` on: a pure function of the arguments.

    size: their side in pixels, to which they are resized. distortion: of each digit, see
    `data.builtin.scenes.make_scene`.
    """
    made = [
        make_scene("captions", split, seed, first + i, distortion=distortion) for i in range(count)
    ]
    return Pictures(
        np.stack([resized(scene.pixels, size) for scene in made]),
        [scene.captions for scene in made],
        [facts_of(scene.boxes, scene.labels, scene.colours) for scene in made],
        np.stack([nearest(names_of(scene), size) for scene in made]),
    )


def names_of(scene: Scene) -> np.ndarray:
    """Digit and colour of each pixel of a scene, int32 [SIDE, SIDE]: see `Pictures`."""
    names = np.zeros_like(scene.mask)
    corners = scene.boxes.astype(int)
    for (left, top, right, bottom), label, colour in zip(
        corners, scene.labels, scene.colours, strict=True
    ):
        part = slice(top, bottom), slice(left, right)
        names[part] = np.where(scene.mask[part], 1 + label * len(COLOURS) + colour, 0)
    return names


def checksum(pictures: Pictures) -> str:
    """Hex digest of the images and their captions."""
    digest = hashlib.sha256(np.ascontiguousarray(pictures.images).tobytes())
    digest.update(json.dumps(list(pictures.captions)).encode())
    return digest.hexdigest()


def load_captioned(path: str, size: int) -> Pictures:
    """The captioned images of `coco:JSON`, in the order of the file, resized to size x size.

    Raises DataError when there are fewer than FOLDS, or a file is missing or damaged.
    """
    coco = load_coco(path).having("captions")
    if len(coco) < FOLDS:
        raise DataError(f"{path} has {len(coco)} images with captions, needs {FOLDS} or more")
    images, captions = [], []
    for index in range(len(coco)):
        element = coco[index]
        images.append(resized(element.image, size))
        captions.append(tuple(map(plain, element.captions)))
    return Pictures(np.stack(images), captions)


def split_fold(pictures: Pictures, fold: int) -> dict[str, Pictures]:
    """Splits "train", "validation" and "test" of a fold, 0 to FOLDS - 1.

    The images are shuffled, always in the same way, and dealt to the folds in turn; those of `fold`
    are "test". One in VALIDATION_EVERY of the others is "validation".
    """
    order = np.random.default_rng(0).permutation(len(pictures.images))
    turn = np.arange(len(order)) % FOLDS
    rest = order[turn != fold]
    validation = np.arange(len(rest)) % VALIDATION_EVERY == 0
    parts = {
        "train": rest[~validation],
        "validation": rest[validation],
        "test": order[turn == fold],
    }
    return {split: pictures.subset(indices) for split, indices in parts.items()}


@dataclass(frozen=True)
class Layout:
    """How captions become arrays.

    encode: ids of captions. captions: K, the captions of an image in a batch. length: T, the most
    symbols of a caption, including the end; a longer one is cut.
    """

    encode: Encode
    captions: int
    length: int

    def batch(self, pictures: Pictures, orders: Sequence[np.ndarray]) -> Batch:
        """Return {"image" [B, S, S, 3], "inputs", "targets", "mask" [B, K, T]}.

        "image" is in 0 .. 1. With masks, they are "objects" int32 [B, S, S]. orders: the order of
        the captions of each image. Of an image with fewer than K captions, some occur several
        times.
        """
        chosen = [
            captions[order[k % len(order)]]
            for captions, order in zip(pictures.captions, orders, strict=True)
            for k in range(self.captions)
        ]
        rows = [[BEGIN, *ids, END][: self.length + 1] for ids in self.encode(chosen)]
        tokens = np.zeros((len(rows), self.length + 1), np.int32)
        for row, ids in zip(tokens, rows, strict=True):
            row[: len(ids)] = ids
        lengths = np.array([len(row) for row in rows]) - 1
        mask = np.arange(self.length) < lengths[:, None]
        shape = (len(pictures.images), self.captions, self.length)
        objects = {} if pictures.masks is None else {"objects": pictures.masks}
        return {
            "image": pictures.images.astype(np.float32) / 255,
            "inputs": tokens[:, :-1].reshape(shape),
            "targets": tokens[:, 1:].reshape(shape),
            "mask": mask.astype(np.float32).reshape(shape),
            **objects,
        }


@dataclass(frozen=True)
class TrainingCaptions:
    """step -> batch, a pure function of (seed, step): every image once per epoch.

    flip: mirror half of the images. Raises DataError when a batch is larger than the set.
    """

    pictures: Pictures
    layout: Layout
    batch_size: int
    seed: int
    flip: bool

    def __post_init__(self) -> None:
        """Check the sizes."""
        check_batch_size(self.batch_size, len(self.pictures.images))

    def __call__(self, step: int, rows: Rows = ALL) -> Batch:
        """Return the rows of the batch of a step."""
        count = len(self.pictures.images)
        indices = epoch_examples(self.seed, step, self.batch_size, count)
        rng = np.random.default_rng((self.seed, step))
        mirrored = np.zeros(self.batch_size, bool)
        if self.flip:
            mirrored = rng.random(self.batch_size) < 0.5
        orders = [rng.permutation(len(self.pictures.captions[i])) for i in indices]
        found = self.pictures.subset(indices[rows])
        if self.flip:
            turned = found.images[:, :, ::-1]
            chosen = mirrored[rows, None, None, None]
            found = found._replace(images=np.where(chosen, turned, found.images))
        numbers = np.arange(self.batch_size)[rows]
        return self.layout.batch(found, [orders[number] for number in numbers])


@dataclass(frozen=True)
class HeldOutCaptions:
    """Every image once, in order, with "index" int32 [B], -1 and mask 0 in padding rows.

    known: training images for the baselines, if they are to be computed.
    """

    pictures: Pictures
    layout: Layout
    batch_size: int
    known: Pictures | None = None

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches of exactly batch_size rows."""
        return self.with_rows(ALL)

    def with_rows(self, rows: Rows) -> Iterator[Batch]:
        """Yield some rows of every batch."""
        count = len(self.pictures.images)
        for start in range(0, count, self.batch_size):
            examples = start + np.arange(self.batch_size)[rows]
            real = examples < count
            found = self.pictures.subset(np.where(real, examples, 0))
            batch = self.layout.batch(found, [np.arange(len(c)) for c in found.captions])
            batch["mask"] *= real[:, None, None]
            yield {**batch, "index": np.where(real, examples, -1).astype(np.int32)}


def held_out_scenes(count: int, size: int) -> dict[str, Pictures]:
    """`count` scenes for "validation", with training digits, and for "test", with new digits.

    size: their side in pixels.
    """
    return {
        "validation": scenes("train", 0, HELD_OUT, count, size),
        "test": scenes("test", 0, 0, count, size),
    }
