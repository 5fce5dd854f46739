"""Image files in a folder per class, and encoded images in tables."""

import io
import os
import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ..catalogue import DataError, nearest
from ..forms.files import SPLIT_NAMES, listed, nearest_file
from ..forms.labels import read_labels
from ..forms.readers import load_tables
from .own import Example, OwnImages, Shape, make_splits

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
GREY = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L")
ORIENTATION, TURNED = 0x0112, 5  # of EXIF: from 5 on, height and width are exchanged
FAULTS = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def decode_image(item: Path | bytes, channels: int, size: int, name: str) -> np.ndarray:
    """Decode an image to uint8 [H, W, channels], resized to size x size unless size is 0.

    channels: 1 (grey) or 3 (RGB). A photograph is turned as its EXIF data say; transparency is
    dropped; of an animation the first picture is read. Raises DataError, naming the image, when it
    is damaged or its pixels have more than 16 bits.
    """
    try:
        with Image.open(io.BytesIO(item) if isinstance(item, bytes) else item) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I;16"):
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            elif image.mode in ("I", "F"):
                raise ValueError("its pixels have 32 bits, not 8 or 16")
            elif image.mode == "P":
                image = image.convert("RGBA")
            image = image.convert("L" if channels == 1 else "RGB")
    except FAULTS as error:
        raise DataError(f"cannot read {name}: {error}") from None
    if size:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[..., None] if channels == 1 else pixels


def common_shape(items: Sequence[Path | bytes], names: Sequence[str]) -> Shape:
    """Height, width and channels of images, from their headers; None where they differ.

    Channels are 1 if all images are grey, else 3.
    """

    def header(item: Path | bytes, name: str) -> tuple[int, int, int]:
        try:
            with Image.open(io.BytesIO(item) if isinstance(item, bytes) else item) as image:
                width, height = image.size
                if image.getexif().get(ORIENTATION, 1) >= TURNED:
                    width, height = height, width
                return height, width, 1 if image.mode in GREY else 3
        except FAULTS as error:
            raise DataError(f"cannot read {name}: {error}") from None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        heights, widths, channels = zip(*pool.map(header, items, names), strict=True)
    height, width = (side[0] if len(set(side)) == 1 else None for side in (heights, widths))
    return height, width, max(channels)


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
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _class_files(folder: Path) -> list[tuple[str, str, Path]]:
    """Class, CLASS/FILE and path of each image below the class folders of a folder.

    Names are in the composed form of Unicode (NFC), because systems differ in the form they store.
    """
    files: list[tuple[str, str, Path]] = []
    skipped = []
    for of_class in _sub_folders(folder):
        before = len(files)
        for path in sorted(of_class.rglob("*")):
            if path.name.startswith(".") or not path.is_file():
                continue
            if path.suffix.lower() not in SUFFIXES:
                skipped.append(path)
                continue
            key = unicodedata.normalize("NFC", path.relative_to(folder).as_posix())
            files.append((key.partition("/")[0], key, path))
        if len(files) == before:
            raise DataError(f"the class folder {of_class} has no images ({', '.join(SUFFIXES)})")
    if not files:
        names = sorted(path.name for path in folder.iterdir())
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
        try:
            content = (folder / path).read_bytes()
        except OSError as error:
            raise DataError(f"cannot read the image in {place}, {path}: {error.strerror}") from None
    if not isinstance(content, bytes):
        raise DataError(f"the image in {place} has no encoded bytes, but {str(content)[:40]!r}")
    return content
