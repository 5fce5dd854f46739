"""Labelled photographs of many sizes, as in ImageNet: decoded and cropped when they are needed.

TFDS decodes them with Pillow, which resizes the crops here. Nothing is kept in memory.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from ..catalogue import DataError, data_folder, load_splits
from ..epochs import Batch, check_batch_size, epoch_examples
from .augment import Augmentation
from .labelled import Images

# 224 of the 256 pixels to which Krizhevsky et al. 2012 bring the shorter side
SHARE = 224 / 256


def crop(pixels: np.ndarray, size: int, where: np.ndarray) -> np.ndarray:
    """Cut a square from pixels uint8 [H, W, 3], as float32 [size, size, 3] in 0 .. 1.

    Its side is SHARE of the shorter one of the photograph. where: float [2] in 0 .. 1, from the
    highest place to the lowest and from left to right; 0.5, 0.5 is the centre. Bilinear, with the
    window as wide as an output pixel, so that a smaller picture has no aliases.
    """
    height, width, _ = pixels.shape
    side = SHARE * min(height, width)
    top, left = where * (height - side, width - side)
    box = (left, top, left + side, top + side)
    resized = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR, box=box)
    return np.asarray(resized, np.float32) / np.float32(255)


@dataclass(frozen=True)
class Photos:
    """Some of the photographs of a split, cropped to size x size, and the names of the classes.

    source: of elements {"image" uint8 [H, W, 3], "label"}; places: those of them that are meant.
    """

    source: Any
    classes: tuple[str, ...]
    size: int
    places: range

    def __len__(self) -> int:
        return len(self.places)

    def crops(self, which: Sequence[int] | np.ndarray, where: np.ndarray) -> Images:
        """Crop photographs `which`, integers [N], at `where` [N, 2]: see `crop`."""

        def one(place, at):
            element = self.source[self.places[int(place)]]
            return crop(element["image"], self.size, at), element["label"]

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding does not hold Python's lock
            images, labels = zip(*pool.map(one, which, where), strict=True)
        return Images(np.stack(images), np.array(labels, np.int32), self.classes)

    def part(self, which: slice) -> Images:
        """Return the centres of the photographs that a slice picks."""
        places = range(len(self))[which]
        return self.crops(places, np.full((len(places), 2), 0.5))


@dataclass(frozen=True)
class PhotoBatches:
    """step -> {"image" [B, S, S, 3], "label" [B]}: every photograph once in each epoch.

    Each is cropped at random, then augmented. colour: standard deviation of the multiples of
    `colours` [3, 3] that are added to all pixels of an image, drawn for each row by itself. Raises
    DataError when a batch is larger than the set.
    """

    source: Photos
    batch_size: int
    seed: int
    augmentation: Augmentation
    colour: float
    colours: np.ndarray

    def __post_init__(self):
        """Check the sizes."""
        check_batch_size(self.batch_size, len(self.source))

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step."""
        chosen = epoch_examples(self.seed, step, self.batch_size, len(self.source))
        rng = np.random.default_rng((self.seed, step, 2))
        part = self.source.crops(chosen, rng.random((self.batch_size, 2)))
        weights = self.colour * rng.standard_normal((self.batch_size, 3), dtype=np.float32)
        images = part.images + (weights @ self.colours)[:, None, None].astype(np.float32)
        return {"image": self.augmentation(images, (self.seed, step)), "label": part.labels}


def principal_colours(photos: Photos, count: int = 256) -> np.ndarray:
    """Eigenvectors of the covariance [3, 3] of pixels, as rows, each times its eigenvalue.

    Of the centres of `count` photographs, evenly spaced; of all of them when there are fewer.
    Source: Krizhevsky et al. 2012, section 4.1.
    """
    chosen = np.unique(np.linspace(0, len(photos) - 1, count).round().astype(int))
    images = photos.crops(chosen, np.full((len(chosen), 2), 0.5)).images
    values, vectors = np.linalg.eigh(np.cov(images.reshape(-1, 3), rowvar=False))
    return (vectors * values).T.astype(np.float32)


def are_photos(name: str, data_dir: str) -> bool:
    """Whether the images of a dataset differ in size; raises DataError when there is none."""
    features = next(iter(load_splits(name, data_dir).values())).dataset_info.features
    return "image" in features and None in features["image"].shape


def load_photos(name: str, data_dir: str, size: int, held_out: float) -> dict[str, Photos]:
    """Photographs "train", "validation" and "test" of a dataset, cropped to size x size.

    The last share `held_out` of its training photographs is "validation"; its own validation set,
    whose labels are known where those of its test set are not, is "test". Raises DataError when
    there are no such splits, or no labelled colour images.
    """
    splits = load_splits(name, data_dir)
    final = next((split for split in ("validation", "test") if split in splits), "")
    if "train" not in splits or not final:
        raise DataError(
            f"dataset {name} has splits {sorted(splits)}, needs train and validation or test"
        )
    features = splits["train"].dataset_info.features
    named = "label" in features and hasattr(features["label"], "names")
    if not named or features["image"].shape[-1] != 3:
        raise DataError(
            f"dataset {name} holds no labelled photographs in colour (in {data_folder(data_dir)})"
        )
    source = splits["train"]
    kept = len(source) - max(1, round(len(source) * held_out))
    train = Photos(source, tuple(features["label"].names), size, range(kept))
    test = splits[final]
    return {
        "train": train,
        "validation": replace(train, places=range(kept, len(source))),
        "test": replace(train, source=test, places=range(len(test))),
    }
