"""Images whose every pixel has a class, and batches of them.

The forms of a dataset are in FORMS. A mask has the index of a class, or VOID where no class is
annotated; VOID is neither trained nor scored.
"""

import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..builtin.scenes import make_scene
from ..catalogue import DataError, nearest
from ..epochs import ALL, Batch, Rows, check_batch_size, epoch_examples
from ..forms.files import as_folder, listed, read_bytes
from ..forms.splits import complete
from ..tabular.batches import padded
from ..text.line_files import fields_of, read_lines
from .augment import separable, weights
from .coco import load_coco
from .decode import decode_image, decode_mask
from .voc import CLASSES, VOID, load_voc

FORMS = ("scenes", "camvid:DIR_OR_ZIP", "voc:DIR", "coco:JSON")
CAMVID = (
    *("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car"),
    *("pedestrian", "bicyclist"),
)
CAMVID_VOID = len(CAMVID)
SCENES = {"train": 1200, "validation": 150, "test": 300}
SIDE = 32  # sides of batches are multiples of it, the stride of the coarsest feature map


@dataclass(frozen=True)
class Segmented:
    """Images uint8 [h, w, 3], and masks uint8 [H, W] of the original size (H, W) of each.

    The sides of the images are those of the masks divided by `reduce` and rounded up.
    """

    images: Sequence[np.ndarray]
    masks: Sequence[np.ndarray]
    classes: tuple[str, ...]
    reduce: int = 1

    def __len__(self) -> int:
        return len(self.images)

    def part(self, indices: slice) -> "Segmented":
        """Return some of the images."""
        images, masks = self.images[indices], self.masks[indices]
        return Segmented(images, masks, self.classes, self.reduce)

    def counts(self) -> np.ndarray:
        """Pixels of each class in each image, int64 [images, classes], without those of VOID."""
        count = len(self.classes)
        return np.array([np.bincount(m.ravel(), minlength=256)[:count] for m in self.masks])


def load_segmented(name: str, reduce: int, held_out: float) -> dict[str, Segmented]:
    """Sets "train", "validation" and "test" of a dataset in one of FORMS.

    reduce: the sides of images are divided by this factor. held_out: fraction of the training
    images that become the validation set where there is none. Raises DataError when the dataset is
    missing, or when an image or mask is damaged or does not fit.
    """
    form, _, rest = name.partition(":")
    if name == "scenes":
        sets = {split: scenes(split, count) for split, count in SCENES.items()}
    elif form == "camvid" and rest:
        sets = read_camvid(Path(os.path.expanduser(rest)))
    elif form == "voc" and rest:
        sets = read_voc(rest)
    elif form == "coco" and rest:
        sets = read_coco(rest)
    else:
        known = [known.partition(":")[0] for known in FORMS]
        raise DataError(f"dataset {name!r} is none of {listed(FORMS)}{nearest(form, known)}")
    if "validation" not in sets:
        count = max(1, round(held_out * len(sets["train"])))
        sets["validation"] = sets["train"].part(slice(-count, None))
        sets["train"] = sets["train"].part(slice(None, -count))
    return {split: reduced(images, reduce) for split, images in sets.items()}


@lru_cache(maxsize=len(SCENES))
def scenes(split: str, count: int) -> Segmented:
    """Scenes of thick digits; those of "validation" have the digits of training."""
    digits = "test" if split == "test" else "train"
    first = SCENES["train"] if split == "validation" else 0
    made = [make_scene("segmentation", digits, 0, first + i) for i in range(count)]
    images = [scene.pixels for scene in made]
    masks = [scene.mask.astype(np.uint8) for scene in made]
    return Segmented(images, masks, ("background", *map(str, range(10))))


def read_camvid(path: Path) -> dict[str, Segmented]:
    """Sets of a folder with SET.txt, SET/NAME.jpg and SETannot/NAME.png for train, val and test.

    path: the folder, or a ZIP file of its contents. A mask has the classes CAMVID in order, and
    CAMVID_VOID for none. Raises DataError.
    """
    folder = as_folder(path)
    sets = {}
    for split, prefix in (("train", "train"), ("validation", "val"), ("test", "test")):
        lists = folder / f"{prefix}.txt"
        # a line names the image, or the image and its mask with the paths of another machine
        lines = read_lines(lists)
        names = [Path(fields_of(line)[0]).stem for line in lines if line.strip()]
        if not names:
            raise DataError(f"{lists} is empty")
        images, masks = [], []
        for name in names:
            image, mask = folder / prefix / f"{name}.jpg", folder / f"{prefix}annot/{name}.png"
            images.append(decode_image(read_bytes(image), 3, 0, str(image)))
            masks.append(_read_mask(mask, images[-1].shape[:2]))
        sets[split] = Segmented(images, masks, CAMVID)
    return sets


def _read_mask(path: Path | zipfile.Path, size: tuple[int, ...]) -> np.ndarray:
    """Mask of CamVid, with VOID; DataError for another size, or a value that is no class."""
    mask = decode_mask(read_bytes(path), str(path))
    if mask.shape != size:
        raise DataError(f"{path} has shape {mask.shape}, its image {size}")
    if mask.max() > CAMVID_VOID:
        raise DataError(f"{path} has the value {mask.max()}; the largest is {CAMVID_VOID}")
    return np.where(mask == CAMVID_VOID, VOID, mask).astype(np.uint8)


def read_voc(folder: str) -> dict[str, Segmented]:
    """Sets "train" and "test" (VOC's val) of a folder of PASCAL VOC; classes: background, CLASSES.

    Raises DataError, also for an image without a mask.
    """
    sets = {}
    for split, chosen in (("train", "train"), ("test", "val")):
        voc = load_voc(folder, chosen, "Segmentation")
        images, masks = [], []
        for index, name in enumerate(voc.names):
            image, _, mask = voc[index]
            if mask is None:
                raise DataError(f"image {name} of {folder} has no mask in SegmentationClass")
            images.append(image)
            masks.append(mask.astype(np.uint8))
        sets[split] = Segmented(images, masks, ("background", *CLASSES))
    return sets


def read_coco(path: str) -> dict[str, Segmented]:
    """Sets of the images with masks of a COCO file, a tenth each for validation and test.

    The classes are background and those of the file; `forms/splits.py` chooses the sets. Raises
    DataError, also when there are not enough images.
    """
    coco = load_coco(path).having("mask")
    if not len(coco):
        raise DataError(f"{path} has no image with a mask")
    parts = complete({"train": range(len(coco))}, lambda i: coco.records[i].file, path)
    sets = {}
    for split, indices in parts.items():
        examples = [coco[index] for index in indices]
        images = [example.image for example in examples]
        masks = [np.asarray(example.mask, np.uint8) for example in examples]
        sets[split] = Segmented(images, masks, ("background", *coco.classes))
    return sets


def reduced(source: Segmented, factor: int) -> Segmented:
    """Divide the sides of the images by a factor, by means of squares; masks keep their size."""
    if factor == 1:
        return source
    images = [np.asarray(Image.fromarray(image).reduce(factor)) for image in source.images]
    return Segmented(images, source.masks, source.classes, factor)


class Place(NamedTuple):
    """Where a crop is in an image, and how its colours change.

    factor: its size relative to the image. starts: pixels from the top and from the left. colours:
    factors float64 [5] of the brightness, of the contrast, and of each colour.
    """

    factor: float
    mirrored: bool
    starts: Sequence[float]
    colours: np.ndarray


@dataclass(frozen=True)
class TrainingCrops:
    """step -> {"image" float32 [B, S, S', 3] in 0 .. 1, "label" int32 [B, S, S']}.

    Each crop has a random position and factor of size, and half of them are mirrored. size: height
    and width of a crop; 0 for the largest image, rounded up to a multiple of SIDE. scale: largest
    relative change of size. colour: largest relative change of the brightness of a crop, of its
    contrast, and of each colour. Pixels outside the image are black, and VOID. Raises DataError
    when a batch is larger than the set.
    """

    source: Segmented
    batch_size: int
    seed: int
    size: int = 0
    scale: float = 0.0
    flip: bool = False
    colour: float = 0.0

    def __post_init__(self) -> None:
        """Check the sizes."""
        check_batch_size(self.batch_size, len(self.source))

    def __call__(self, step: int, rows: Rows = ALL) -> Batch:
        """Return the rows of the batch of a step."""
        rng = np.random.default_rng((self.seed, step, 1))
        size = (self.size, self.size) if self.size else largest(self.source)
        examples = epoch_examples(self.seed, step, self.batch_size, len(self.source))
        places = [self._place(self.source.images[i].shape, size, rng) for i in examples]
        crops = [
            self._crop(int(i), size, places[row])
            for row, i in zip(np.arange(self.batch_size)[rows], examples[rows], strict=True)
        ]
        images, labels = zip(*crops, strict=True)
        return {"image": np.stack(images), "label": np.stack(labels)}

    def _place(
        self, shape: tuple[int, ...], size: tuple[int, int], rng: np.random.Generator
    ) -> Place:
        """Draw the place of a crop in an image of this shape."""
        factor = 1 + rng.uniform(-self.scale, self.scale)
        mirrored = self.flip and rng.random() < 0.5
        starts = []
        for axis, length in enumerate(size):
            spare = shape[axis] - length / factor  # negative if the crop is larger
            free = spare > 0 or factor != 1
            starts.append(rng.uniform(min(spare, 0), max(spare, 0)) if free else 0.0)
        colours = rng.uniform(-self.colour, self.colour, 5) if self.colour else np.zeros(5)
        return Place(factor, mirrored, starts, 1 + colours)

    def _crop(
        self, index: int, size: tuple[int, int], place: Place
    ) -> tuple[np.ndarray, np.ndarray]:
        image, mask = self.source.images[index], self.source.masks[index]
        lines, nearest_lines = [], []
        for axis, (length, start) in enumerate(zip(size, place.starts, strict=True)):
            # pixels from the edge of the image
            at = start + (np.arange(length) + 0.5) / place.factor
            at = at[::-1] if axis == 1 and place.mirrored else at
            inside = (at >= 0) & (at < image.shape[axis])
            clipped = np.clip(at - 0.5, 0, image.shape[axis] - 1)
            lines.append(weights(clipped, image.shape[axis])[None] * inside[:, None])
            pixel = np.clip(at * self.source.reduce, 0, mask.shape[axis] - 1).astype(int)
            nearest_lines.append(np.where(inside, pixel, -1))
        pixels = separable(image[None].astype(np.float32) / 255, *lines)[0]
        if self.colour:
            bright, contrast, *tint = place.colours
            mean = pixels.mean()
            pixels = np.clip(bright * np.array(tint) * (mean + contrast * (pixels - mean)), 0, 1)
        rows, columns = nearest_lines
        label = mask[np.ix_(rows, columns)].astype(np.int32)
        label[(rows < 0)[:, None] | (columns < 0)] = VOID
        return pixels.astype(np.float32), label


def largest(source: Segmented) -> tuple[int, int]:
    """Height and width, in multiples of SIDE, that hold every image."""
    sides = np.array([image.shape[:2] for image in source.images]).max(axis=0)
    height, width = (-(-int(side) // SIDE) * SIDE for side in sides)
    return height, width


@dataclass(frozen=True)
class EvaluationImages:
    """Every whole image once, in order: {"image", "label", "mask" [B]}, in batches of one size.

    Images are padded below and on the right: with black, and VOID in "label" int32 [B, H, W], whose
    sides are `reduce` times those of "image". Padding rows have mask 0.
    """

    source: Segmented
    batch_size: int

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches of exactly batch_size rows."""
        return self.with_rows(ALL)

    def with_rows(self, rows: Rows) -> Iterator[Batch]:
        """Yield some rows of every batch."""
        size = largest(self.source)
        full = tuple(side * self.source.reduce for side in size)
        chosen = np.arange(self.batch_size)[rows]
        for start in range(0, len(self.source), self.batch_size):
            examples = start + chosen[chosen < len(self.source) - start]
            images = np.zeros((len(examples), *size, 3), np.float32)
            labels = np.full((len(examples), *full), VOID, np.int32)
            for row, i in enumerate(examples):
                image, mask = self.source.images[i], self.source.masks[i]
                images[row, : image.shape[0], : image.shape[1]] = image.astype(np.float32) / 255
                labels[row, : mask.shape[0], : mask.shape[1]] = mask
            yield padded({"image": images, "label": labels}, len(chosen))
