"""Image files in a folder per class, and encoded images in tables."""

import unicodedata
from pathlib import Path
from typing import Any

from ..catalogue import DataError, nearest
from ..forms.content import check_no_pipe
from ..forms.files import SPLIT_NAMES, listed, nearest_file
from ..forms.folders import files_below, files_in, is_left_behind
from ..forms.labels import read_labels
from ..forms.readers import load_tables
from .decode import common_shape
from .own import Example, OwnImages, make_splits

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


def read_folder(folder: Path) -> dict[str, OwnImages]:
    """Splits of `folder:DIR`: a sub-folder per class, with images at any depth.

    DIR may have the sub-folders train, validation (or valid, val, dev) and test, each with a
    sub-folder per class; sets that are missing are made by a hash of CLASS/FILE, see `complete`.
    Raises DataError when an image is unreadable, a class has no images, or a class of another set
    is not in training.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}{nearest_file(folder)}")
    inside = _sub_folders(folder)
    named = {
        split: [p for p in inside if p.name.lower() in SPLIT_NAMES[split]] for split in SPLIT_NAMES
    }
    parts = {split: paths[0] for split, paths in named.items() if paths}
    if "train" in parts or (parts and len(parts) == len(inside)):
        others = [path.name for path in inside if path not in parts.values()]
        if others:
            raise DataError(
                f"{folder} has both train and {listed(others)}; its sub-folders must be "
                "train, validation and test, or one for each class"
            )
    else:
        parts = {"train": folder}
    found = {split: _class_files(path) for split, path in parts.items()}
    classes = tuple(sorted({name for name, *_ in found.get("train", [])}))
    for split, files in found.items():
        for name in sorted({name for name, *_ in files} - set(classes)):
            raise DataError(
                f"{split} has the class {name!r}, which train has not{nearest(name, classes)}; "
                f"the classes are {listed(classes)}"
            )
    examples = {
        split: [Example(p, classes.index(name), str(p), key) for name, key, p in files]
        for split, files in found.items()
    }
    every = [example for of_split in examples.values() for example in of_split]
    shape = common_shape([x.item for x in every], [x.name for x in every])
    return make_splits(examples, classes, shape, str(folder))


def _sub_folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not is_left_behind(p.name))


def _class_files(folder: Path) -> list[tuple[str, str, Path]]:
    """Class, CLASS/FILE and path of each image below the class folders of a folder.

    Names are in the composed form of Unicode (NFC), because systems differ in the form they store.
    """
    files: list[tuple[str, str, Path]] = []
    skipped = []
    for of_class in _sub_folders(folder):
        before = len(files)
        for path in files_below(of_class):
            if path.suffix.lower() not in SUFFIXES:
                skipped.append(path)
                continue
            key = unicodedata.normalize("NFC", path.relative_to(folder).as_posix())
            files.append((key.partition("/")[0], key, path))
        if len(files) == before:
            raise DataError(f"the class folder {of_class} has no images ({', '.join(SUFFIXES)})")
    if not files:
        names = [path.name for path in files_in(folder)]
        raise DataError(f"{folder} needs a sub-folder for each class, found {listed(names)}")
    if skipped:
        print(f"skipped {len(skipped)} files that are no images, for example {skipped[0]}")
    return files


def read_table(form: str, rest: str) -> dict[str, OwnImages]:
    """Splits of a table with columns image (or img) and label.

    An image is encoded bytes, or a struct with bytes, or with the path of a file beside the table.
    Sets that are missing are made by a hash of the encoded image, see `complete`.
    """
    tables = load_tables(form, rest)
    every = [table for of_split in tables.values() for table in of_split]
    for table in every:
        table.require(table.first_of("image", "img") or "image", "label")
    classes, labels = read_labels(tables, "label")
    examples = {}
    for split, of_split in tables.items():
        found = [
            (_encoded(value, table.path.parent, table.place(row)), table.place(row))
            for table in of_split
            for row, value in enumerate(table.read(table.first_of("image", "img")))
        ]
        examples[split] = [
            Example(item, label, f"the image in {place}", item)
            for (item, place), label in zip(found, labels[split], strict=True)
        ]
    images = [example for of_split in examples.values() for example in of_split]
    shape = common_shape([x.item for x in images], [x.name for x in images])
    return make_splits(examples, classes, shape, rest)


def _encoded(value: Any, folder: Path, place: str) -> bytes:
    """Encoded image of a value in a table."""
    content, path = (
        (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, "")
    )
    if content is None and path:
        check_no_pipe(folder / path)
        try:
            content = (folder / path).read_bytes()
        except OSError as error:
            raise DataError(f"cannot read the image in {place}, {path}: {error.strerror}") from None
    if not isinstance(content, bytes):
        raise DataError(f"the image in {place} has no encoded bytes, but {str(content)[:40]!r}")
    return content
