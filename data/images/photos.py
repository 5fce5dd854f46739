"""Labelled photographs of many sizes, as in ImageNet, decoded and cropped when needed.

TFDS decodes them with Pillow, which also resizes the crops. No photograph stays in memory.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from ..catalogue import DataError, data_folder, load_splits
from ..epochs import ALL, Batch, Rows, check_batch_size, epoch_examples, take_rows
from .augment import Augmentation
from .labelled import FORMS, Images, is_own, load_own

# Krizhevsky et al. 2012 resize the shorter side to 256 pixels and crop 224
SHARE = 224 / 256
SAMPLED = 64  # photographs of each split in a checksum


def crop(pixels: np.ndarray, size: int, position: np.ndarray) -> np.ndarray:
    """Crop a square from pixels uint8 [H, W, 3], giving float32 [size, size, 3] in 0 .. 1.

    Its side is SHARE of the shorter side of the photograph. position: float [2] in 0 .. 1, from top
    to bottom and from left to right; (0.5, 0.5) is the centre. Bilinear, with a window as wide as
    an output pixel, which prevents aliasing.
    """
    height, width, _ = pixels.shape
    side = SHARE * min(height, width)
    top, left = position * (height - side, width - side)
    box = (left, top, left + side, top + side)
    resized = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR, box=box)
    return np.asarray(resized, np.float32) / np.float32(255)


@dataclass(frozen=True)
class Photos:
    """A subset of the photographs of a split, to be cropped to size x size, and the class names.

    source: elements {"image" uint8 [H, W, 3], "label"}; indices: the elements in the subset.
    """

    source: Any
    classes: tuple[str, ...]
    size: int
    indices: range

    def __len__(self) -> int:
        return len(self.indices)

    def crops(self, indices: Sequence[int] | np.ndarray, positions: np.ndarray) -> Images:
        """Crop the photographs at indices [N] of this subset at positions [N, 2]: see `crop`."""

        def load(index: int, position: np.ndarray) -> tuple[np.ndarray, int]:
            element = self.source[self.indices[int(index)]]
            return crop(element["image"], self.size, position), element["label"]

        images = np.zeros((len(indices), self.size, self.size, 3), np.float32)
        labels = np.zeros(len(indices), np.int32)
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding releases Python's lock
            for i, loaded in enumerate(pool.map(load, indices, positions)):
                images[i], labels[i] = loaded
        return Images(images, labels, self.classes)

    def subset(self, indices: slice | np.ndarray) -> Images:
        """Return the centre crops of the photographs selected by a slice or by indices."""
        chosen = np.arange(len(self))[indices]
        return self.crops(chosen, np.full((len(chosen), 2), 0.5))


@dataclass(frozen=True)
class PhotoBatches:
    """step -> {"image" [B, S, S, 3], "label" [B]}: every photograph once per epoch.

    Each is cropped at random, then augmented. A random combination of the rows of `colours` [3, 3],
    with weights of standard deviation `colour`, is added to all pixels of an image. Raises
    DataError when a batch is larger than the set.
    """

    source: Photos
    batch_size: int
    seed: int
    augmentation: Augmentation
    colour: float
    colours: np.ndarray

    def __post_init__(self) -> None:
        """Check the sizes."""
        check_batch_size(self.batch_size, len(self.source))

    def __call__(self, step: int, rows: Rows = ALL) -> Batch:
        """Return the rows of the batch of a step."""
        indices = epoch_examples(self.seed, step, self.batch_size, len(self.source))
        rng = np.random.default_rng((self.seed, step, 2))
        positions = rng.random((self.batch_size, 2))
        weights = self.colour * rng.standard_normal((self.batch_size, 3), dtype=np.float32)
        colours = (weights @ self.colours)[:, None, None].astype(np.float32)
        shape = (self.batch_size, self.source.size, self.source.size, 3)
        draws = take_rows(self.augmentation.draw(shape, (self.seed, step)), rows)
        crops = self.source.crops(indices[rows], positions[rows])
        images = self.augmentation.apply(crops.images + colours[rows], draws)
        return {"image": images, "label": crops.labels}


def principal_colours(photos: Photos, count: int = 256) -> np.ndarray:
    """Eigenvectors of the covariance [3, 3] of pixels, as rows, each times its eigenvalue.

    The pixels are those of the centre crops of `count` evenly spaced photographs, or of all when
    there are fewer. Source: Krizhevsky et al. 2012, section 4.1.
    """
    chosen = np.unique(np.linspace(0, len(photos) - 1, count).round().astype(int))
    images = photos.crops(chosen, np.full((len(chosen), 2), 0.5)).images
    values, vectors = np.linalg.eigh(np.cov(images.reshape(-1, 3), rowvar=False))
    return (vectors * values).T.astype(np.float32)


def are_photos(name: str, data_dir: str) -> bool:
    """Whether the images of a dataset vary in size; raises DataError when it cannot be opened."""
    if is_own(name):
        return None in load_own(name)["train"].shape
    features = next(iter(load_splits(name, data_dir, FORMS).values())).dataset_info.features
    return "image" in features and None in features["image"].shape


def load_photos(name: str, data_dir: str, size: int, held_out: float) -> dict[str, Photos]:
    """Photographs "train", "validation" and "test" of a dataset, cropped to size x size.

    The last fraction `held_out` of the training photographs is "validation". "test" is the
    dataset's validation split if it has one, because the labels of test splits are often unknown,
    else its test split. Users' own images have their own three splits, and are read in colour.
    Raises DataError when these splits or labelled colour images are missing.
    """
    if is_own(name):
        sources = {
            split: replace(source, shape=(None, None, 3))
            for split, source in load_own(name).items()
        }
        return {
            split: Photos(source, source.classes, size, range(len(source)))
            for split, source in sources.items()
        }
    splits = load_splits(name, data_dir, FORMS)
    final = next((split for split in ("validation", "test") if split in splits), "")
    if "train" not in splits or not final:
        raise DataError(
            f"dataset {name} has splits {sorted(splits)}, needs train and validation or test"
        )
    features = splits["train"].dataset_info.features
    named = "label" in features and hasattr(features["label"], "names")
    if not named or features["image"].shape[-1] != 3:
        raise DataError(
            f"dataset {name} has no labelled photographs in colour (in {data_folder(data_dir)})"
        )
    source = splits["train"]
    count = len(source) - max(1, round(len(source) * held_out))
    train = Photos(source, tuple(features["label"].names), size, range(count))
    test = splits[final]
    return {
        "train": train,
        "validation": replace(train, indices=range(count, len(source))),
        "test": replace(train, source=test, indices=range(len(test))),
    }


def photo_provenance(splits: Mapping[str, Photos]) -> dict[str, Any]:
    """Number of photographs of each split, and a checksum.

    The checksum of users' own photographs covers every file. That of a prepared dataset covers only
    SAMPLED photographs of each split, since reading all of them would take hours.
    """
    counts: dict[str, Any] = {split: len(photos) for split, photos in splits.items()}
    sources = [photos.source for photos in splits.values()]
    if hasattr(sources[0], "sha256"):
        from .own import checksum_of

        counts["sha256"] = checksum_of(sources)
    else:
        digest = hashlib.sha256()
        for photos in splits.values():
            for i in np.unique(np.linspace(0, len(photos) - 1, SAMPLED).round().astype(int)):
                element = photos.source[photos.indices[int(i)]]
                digest.update(f"{element['image'].shape} {element['label']} ".encode())
                digest.update(np.ascontiguousarray(element["image"]).data)
        counts["sha256"] = digest.hexdigest()
    return counts
