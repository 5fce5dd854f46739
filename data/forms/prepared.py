"""Prepared TFDS datasets, and what is wrong with their files."""

import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

INFO, FEATURES = "dataset_info.json", "features.json"


def open_faults() -> tuple[type[Exception], ...]:
    """What TFDS raises when a dataset is unknown or the files that describe it are damaged."""
    from google.protobuf import json_format

    damage = (ValueError, LookupError, TypeError, AttributeError, AssertionError, json_format.Error)
    return (*damage, ImportError, OSError)


class Unusable(ValueError):
    """A dataset that is not prepared, is in another format, or has damaged files."""


class Unknown(ValueError):
    """A name that no dataset has."""


def open_prepared(name: str, folder: str) -> dict[str, Any]:
    """Open the splits of a dataset of the TFDS catalogue in a folder of prepared datasets.

    Raises Unknown when TFDS has no such name, Unusable with the reason, or one of `open_faults`.
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import registered

    once = how_to_prepare(name, folder)
    try:
        builder = tfds.builder(name, data_dir=folder, file_format="array_record")
        prepared = builder.is_prepared()
    except open_faults() as error:
        if fault := _faulty_files(name, folder):
            raise Unusable(damage(name, folder, fault)) from error
        text = str(error)
        # TFDS may also be unable to parse the name, such as that of a path
        unknown = isinstance(error, registered.DatasetNotFoundError)
        if unknown or text.startswith("Parsing builder name"):
            raise Unknown(text) from error
        if "file format" in text.lower():
            raise Unusable(
                f"dataset {name} in {folder} is in a format that only TensorFlow reads; "
                f"delete it and prepare it again {once}"
            ) from error
        raise
    if not prepared:
        if fault := _faulty_files(name, folder):
            raise Unusable(damage(name, folder, fault))
        raise Unusable(
            f"dataset {name} is not prepared in {folder}; "
            f"set --config.data_dir, or prepare it {once}"
        )
    if fault := faulty_shard(builder.info, whole=False):
        raise Unusable(damage(name, folder, fault))
    return builder.as_data_source()


def how_to_prepare(name: str, folder: str) -> str:
    """Command that prepares a dataset of the TFDS catalogue."""
    build = f"tfds build {name} --data_dir={folder} --file_format=array_record"
    return f"once with TensorFlow (pip install '.[tf]'): {build}"


def damage(name: str, folder: str, fault: str) -> str:
    """Message about a prepared dataset with a file that is damaged or missing."""
    again = f"delete the dataset and prepare it {how_to_prepare(name, folder)}"
    return f"dataset {name} is damaged: {fault}; {again}"


def _faulty_files(name: str, folder: str) -> str:
    """What is wrong with the files that describe a dataset, "" if nothing is."""
    parts = name.partition(":")[0].split("/")
    return "" if {"", ".", ".."} & set(parts) else faulty_description(Path(folder, *parts))


def faulty_description(folder: Path) -> str:
    """What is wrong with a file that describes a dataset below a folder, "" if nothing is."""
    described = {path.parent for path in folder.rglob("*.json") if path.name in (INFO, FEATURES)}
    for version in sorted(described):
        if not (version / INFO).is_file():
            return f"there is no file {version / INFO}"
        for path in filter(Path.is_file, (version / INFO, version / FEATURES)):
            try:
                content = json.loads(path.read_bytes())
            except (OSError, ValueError) as error:
                return f"cannot read {path}: {error}"
            if not isinstance(content, dict) or (path.name == INFO and "splits" not in content):
                return f"{path} does not describe a dataset"
    return ""


def faulty_shard(info: Any, whole: bool) -> str:
    """What is wrong with a file of the examples of a dataset, "" if nothing is.

    info: its `dataset_info`. whole: also read all examples, whose checksums are then compared.
    """
    for split in info.splits.values():
        for path, count in zip(split.filepaths, split.shard_lengths, strict=True):
            if text := _fault(Path(path), count, whole):
                return text
    return ""


def _fault(path: Path, count: int, whole: bool) -> str:
    if not path.is_file():
        return f"there is no file {path}"
    if not path.stat().st_size:
        return f"{path} is empty"
    if whole:
        from array_record.python.array_record_module import ArrayRecordReader

        try:
            found = len(ArrayRecordReader(str(path)).read_all())
        except (RuntimeError, ValueError) as error:
            return f"{path} is damaged: {str(error).splitlines()[0]}"
        if found != count:
            return f"{path} has {found} examples, not {count}"
    return ""


@dataclass(frozen=True)
class CheckedSource:
    """A source of TFDS that raises `error(text)`, naming the file, for an unreadable example."""

    source: Any
    name: str
    split: str
    folder: str
    error: Callable[[str], Exception]

    @property
    def dataset_info(self) -> Any:
        """Description of the dataset."""
        return self.source.dataset_info

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Elements at some indices, as libraries that load batches ask for them."""
        from google.protobuf.message import DecodeError

        if not all(-len(self) <= index < len(self) for index in indices):
            raise IndexError(f"{self.split} has {len(self)} examples")
        try:
            return self.source.__getitems__([index % len(self) for index in indices])
        except (RuntimeError, OSError, ValueError, DecodeError) as error:
            text = str(error).strip().split("\n")[0]
            fault = self._faulty_file(indices) or text
            raise self.error(damage(self.name, self.folder, fault)) from None

    def _faulty_file(self, indices: Sequence[int]) -> str:
        """What is wrong with the files of some examples, "" when the files are in order."""
        split = self.dataset_info.splits[self.split]
        ends = list(accumulate(split.shard_lengths))
        shards = sorted({bisect_right(ends, index % len(self)) for index in indices})
        faults = (_fault(Path(split.filepaths[i]), split.shard_lengths[i], True) for i in shards)
        return next(filter(None, faults), "")
