"""Users' own labelled images: files, encoded bytes or arrays that are decoded when needed."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..catalogue import DataError
from ..forms.cache import Arrays, cached
from ..forms.splits import complete
from .decode import Shape, decode_image


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
        return cached(
            f"own images on paper {size} {self.shape} {self.labels}\n{self.states}", decode
        )

    def _decode(self, size: int) -> Arrays:
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding releases Python's lock
            images = list(pool.map(partial(self.read, size=size), range(len(self))))
        return {"images": np.stack(images), "labels": np.array(self.labels, np.int32)}

    @property
    def states(self) -> str:
        """Text that changes when an item does: of files, their names, sizes and times."""
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


def checksum_of(sources: Iterable[OwnImages]) -> str:
    """Hex digest of all splits; it is cached, because it reads every file."""
    splits = list(sources)

    def digest() -> Arrays:
        joined = hashlib.sha256("".join(source.sha256 for source in splits).encode())
        return {"sha256": np.frombuffer(joined.digest(), np.uint8)}

    key = "\n".join(f"{source.labels} {source.states}" for source in splits)
    return cached(f"checksum\n{key}", digest)["sha256"].tobytes().hex()


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
