"""Labelled images in memory, and batches of them."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..catalogue import DataError, data_folder, load_splits
from ..epochs import ALL, Batch, InMemory, Rows, check_batch_size, epoch_examples, take_rows
from ..forms.cache import Arrays, cached, fingerprint
from ..tabular.batches import padded, sha256_of
from .augment import Augmentation, resample

if TYPE_CHECKING:
    from .own import OwnImages

# forms of users' own images
FORMS = ("folder:DIR", "idx:DIR", "npz:FILE", "parquet:PATH", "arrow:PATH")


def is_own(name: str) -> bool:
    """Whether a dataset is one of FORMS, with a path."""
    form, _, rest = name.partition(":")
    return bool(rest) and form in {known.partition(":")[0] for known in FORMS}


def load_own(name: str) -> dict[str, "OwnImages"]:
    """Splits "train", "validation" and "test" of users' own images, by a name in FORMS.

    Raises DataError when they are missing or unusable.
    """
    from .arrays import read_idx, read_npz
    from .files import read_folder, read_table

    form, _, rest = name.partition(":")
    readers = {"folder": read_folder, "idx": read_idx, "npz": read_npz}
    return (
        readers[form](Path(os.path.expanduser(rest))) if form in readers else read_table(form, rest)
    )


@dataclass(frozen=True)
class Images:
    """Images float32 [N, H, W, C] in 0 .. 1, labels int32 [N], and the names of the classes."""

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: slice | np.ndarray) -> "Images":
        """Return the examples selected by a slice, by indices or by bools."""
        return replace(self, images=self.images[indices], labels=self.labels[indices])


def load_images(name: str, data_dir: str, size: int) -> dict[str, Images]:
    """Load the splits of an image dataset, padded or resampled to size x size.

    name: of a prepared dataset, or of FORMS, see `load_own`. Smaller images are centred in
    zeros when at most 4 pixels are missing on a side (MNIST's 28 in 32, as in LeCun et al. 1998);
    others are resampled bilinearly. Raises DataError when there is no such dataset, when it has no
    labelled images of a single shape, or when a label is not a class.
    """
    if is_own(name):
        splits = {
            split: Images(**source.arrays(size), classes=source.classes)
            for split, source in load_own(name).items()
        }
    else:
        splits = {
            split: _prepared(name, data_dir, split, source)
            for split, source in load_splits(name, data_dir, FORMS).items()
        }
    brightest = np.float32(max(source.images.max() for source in splits.values()))
    return {
        split: replace(source, images=fit_to(source.images / brightest, size))
        for split, source in splits.items()
    }


def _prepared(name: str, data_dir: str, split: str, source: Any) -> Images:
    """Stored images of a source of TFDS, not scaled."""
    if not {"image", "label"} <= set(source.dataset_info.features) or not len(source):
        raise DataError(f"dataset {name} has no labelled images (in {data_folder(data_dir)})")
    key = f"{split}\n{fingerprint(Path(source.dataset_info.data_dir))}"
    arrays = cached(key, partial(decode, name, source))
    images, labels = arrays["images"], arrays["labels"]
    feature = source.dataset_info.features["label"]
    if not hasattr(feature, "names"):
        raise DataError(f"the labels of dataset {name} are not classes but {feature}")
    count = len(feature.names)
    if labels.min() < 0 or labels.max() >= count:
        raise DataError(
            f"dataset {name} has labels from {labels.min()} to {labels.max()} in {split}, "
            f"for {count} classes"
        )
    return Images(images, labels, tuple(feature.names))


def decode(name: str, source: Any) -> Arrays:
    """Decode the stored images [N, H, W, C] and labels int32 [N] of a data source."""
    elements = source.__getitems__(list(range(len(source))))
    shapes = {element["image"].shape for element in elements}
    if len(shapes) > 1:
        raise DataError(f"dataset {name} has images of several shapes: {sorted(shapes)[:3]}")
    images = np.stack([element["image"] for element in elements])
    labels = np.array([element["label"] for element in elements], np.int32)
    return {"images": images, "labels": labels}


def checksum(*sets: Images) -> str:
    """SHA-256 of the images and labels of some sets, one set after the other."""
    return sha256_of(*(array for each in sets for array in (each.images, each.labels)))


def fit_to(images: np.ndarray, size: int) -> np.ndarray:
    """Pad with zeros, or resample, images [N, H, W, C] to [N, size, size, C]."""
    height, width = images.shape[1:3]
    missing = (size - height, size - width)
    if all(0 <= m <= 8 for m in missing):
        pads = [(m // 2, m - m // 2) for m in missing]
        return np.pad(images, [(0, 0), *pads, (0, 0)])
    return resample(images, size)


@dataclass(frozen=True)
class TrainingBatches(InMemory):
    """step -> {"image" [B, H, W, C], "label" [B]}: every example once per epoch.

    Raises DataError when a batch is larger than the set.
    """

    source: Images
    batch_size: int
    seed: int
    augmentation: Augmentation

    def __post_init__(self) -> None:
        """Check the sizes."""
        check_batch_size(self.batch_size, len(self.source))

    def resident(self) -> Mapping[str, np.ndarray]:
        """Return all images and labels."""
        return {"image": self.source.images, "label": self.source.labels}

    def plan(self, step: int, rows: Rows = ALL) -> Batch:
        """Return "index", the numbers of the images, and the draws of the augmentation."""
        index = epoch_examples(self.seed, step, self.batch_size, len(self.source))
        shape = (self.batch_size, *self.source.images.shape[1:])
        draws = self.augmentation.draw(shape, (self.seed, step))
        return take_rows({"index": index, **draws}, rows)

    def gather(self, arrays: Mapping[str, Any], plan: Mapping[str, Any]) -> dict[str, Any]:
        """Return the images of a plan, augmented, and their labels."""
        images = self.augmentation.apply(arrays["image"][plan["index"]], plan)
        return {"image": images, "label": arrays["label"][plan["index"]]}


@dataclass(frozen=True)
class EvaluationBatches:
    """Every example once, in order: {"image", "label", "mask" [B]}; padding rows have mask 0.

    source: Images or Photos; it has a length, and `subset` of indices gives Images.
    """

    source: Any
    batch_size: int

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches of exactly batch_size rows."""
        return self.with_rows(ALL)

    def with_rows(self, rows: Rows) -> Iterator[Batch]:
        """Yield some rows of every batch."""
        chosen = np.arange(self.batch_size)[rows]
        for start in range(0, len(self.source), self.batch_size):
            real = chosen[chosen < len(self.source) - start]
            # a set may read its examples one by one: only those of these rows
            examples = self.source.subset(start + real)
            arrays = {"image": examples.images, "label": examples.labels}
            yield padded(arrays, len(chosen))
