"""Users' own labelled images by name: image files, arrays, and tables of encoded images."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..catalogue import DataError, load_splits
from ..forms.splits import complete
from .decode_cache import Arrays, cached

FORMS = ("folder:DIR", "idx:DIR", "npz:FILE", "parquet:PATH", "arrow:PATH")

Shape = tuple[int | None, int | None, int]


@dataclass(frozen=True)
class OwnImages:
    """The images of one split: uint8 or float [H, W, C] when read.

    items: arrays, or files or bytes in PNG, JPEG and so on; labels: indices into `classes`. shape:
    height, width and channels; None where it varies. names: what messages call each item.
    """

    items: Sequence[Any]
    labels: Sequence[int]
    classes: tuple[str, ...]
    shape: Shape
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": self.read(index), "label": self.labels[index]}

    def read(self, index: int, size: int = 0) -> np.ndarray:
        """Image number `index`, resized to size x size unless size is 0."""
        from .files import decode_image

        item = self.items[index]
        if isinstance(item, np.ndarray):
            return item
        return decode_image(item, self.shape[2], size, self.names[index])

    def arrays(self, size: int) -> Arrays:
        """Images [N, H, W, C] and labels int32 [N] for networks that read size x size pixels.

        Encoded images that are larger, or that vary in size, are resized to size x size with a
        window as wide as an output pixel, which prevents aliasing. They are cached.
        """
        if isinstance(self.items[0], np.ndarray):
            return {"images": np.stack(self.items), "labels": np.array(self.labels, np.int32)}
        smaller = all(side is not None and side <= size for side in self.shape[:2])
        decode = partial(self._decode, 0 if smaller else size)
        return cached(f"own images {size} {self.shape} {self.labels}\n{self._states}", decode)

    def _decode(self, size: int) -> Arrays:
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding releases Python's lock
            images = list(pool.map(partial(self.read, size=size), range(len(self))))
        return {"images": np.stack(images), "labels": np.array(self.labels, np.int32)}

    @property
    def _states(self) -> str:
        """Text that changes when an item changes."""
        if isinstance(self.items[0], Path):
            stats = [(path, path.stat()) for path in self.items]
            return "\n".join(f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in stats)
        return self.sha256

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the classes, and of the label and content of each item in order."""
        digest = hashlib.sha256("\n".join(self.classes).encode())
        for item, label in zip(self.items, self.labels, strict=True):
            content = item.read_bytes() if isinstance(item, Path) else bytes(item)
            digest.update(f"\n{label} {len(content)} ".encode() + content)
        return digest.hexdigest()


def load_sources(name: str, data_dir: str) -> dict[str, Any]:
    """Splits of an image dataset: `OwnImages` for the forms of FORMS, else sources of TFDS.

    Own images always have the splits "train", "validation" and "test". Raises DataError when there
    is no such dataset, or when it is unusable.
    """
    form, _, rest = name.partition(":")
    if not rest or not any(known.startswith(f"{form}:") for known in FORMS):
        return load_splits(name, data_dir, FORMS)
    path = Path(rest).expanduser()
    if form == "folder":
        from .files import read_folder

        return read_folder(path)
    if form in ("idx", "npz"):
        from .arrays import read_idx, read_npz

        return read_idx(path) if form == "idx" else read_npz(path)
    from .files import read_table

    return read_table(form, rest)


def checksum_of(sources: dict[str, OwnImages]) -> str:
    """Hex digest of all splits."""
    digests = [f"{split} {source.sha256}\n" for split, source in sources.items()]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


class Example(NamedTuple):
    """An item of `OwnImages` with its label and name; key: what decides its set, see `complete`."""

    item: Any
    label: int
    name: str
    key: str | bytes


def make_splits(
    examples: Mapping[str, Sequence[Example]], classes: tuple[str, ...], shape: Shape, where: str
) -> dict[str, OwnImages]:
    """Splits of examples, completed to three; DataError for fewer than two classes."""
    if len(classes) < 2:
        raise DataError(f"{where} has {len(classes)} class; needs two or more")
    splits = {}
    for split, found in complete(examples, lambda example: example.key, where).items():
        items, labels, names, _ = (list(column) for column in zip(*found, strict=True))
        splits[split] = OwnImages(items, labels, classes, shape, names)
    return splits
