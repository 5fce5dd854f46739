"""Images as arrays: IDX files, the format of MNIST, and .npz files."""

import math
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..catalogue import DataError, nearest
from ..forms.content import read_content
from ..forms.files import listed, nearest_file
from ..forms.folders import files_in
from .own import Example, OwnImages, make_splits

IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
USUAL = "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
USUAL += "t10k-labels-idx1-ubyte"
KEYS = ("x_train", "y_train", "x_test", "y_test")


class Arrays(NamedTuple):
    """Images and labels as they are stored, and what messages call them."""

    images: np.ndarray
    labels: np.ndarray
    images_name: str
    labels_name: str


def read_idx_file(path: Path) -> np.ndarray:
    """Array of an IDX file, plain or gzipped; DataError when it is none or is truncated.

    Two zero bytes, the type, the number of axes, their lengths in 32 bits, and the values, all with
    the most significant byte first.
    """
    try:
        content = read_content(path)
    except FileNotFoundError:
        raise DataError(f"there is no file {path}{nearest_file(path)}") from None
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_TYPES:
        raise DataError(f"{path} is not an IDX file: it begins with {content[:4].hex(' ')}")
    dtype, axes = np.dtype(IDX_TYPES[content[2]]), content[3]
    start = 4 + 4 * axes
    shape = struct.unpack(f">{axes}I", content[4:start]) if len(content) >= start else (0,)
    needed = start + dtype.itemsize * math.prod(shape)
    if len(content) != needed:
        raise DataError(f"{path} has {len(content)} bytes, but its header needs {needed}")
    return np.frombuffer(content, dtype, offset=start).reshape(shape)


def read_idx(folder: Path) -> dict[str, OwnImages]:
    """Splits of `idx:DIR`, with the four files of MNIST, plain or gzipped.

    Raises DataError when one of them is missing or damaged.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}{nearest_file(folder)}")
    names = [path.name for path in files_in(folder)]
    sets = {}
    for split, prefix in (("train", "train"), ("test", "(t10k|test)")):
        arrays = []
        for kind in ("images", "labels"):
            form = rf"(.*[-_])?{prefix}[-_]{kind}[-.]idx\d-\w+(\.gz)?"
            matches = sorted((n for n in names if re.fullmatch(form, n)), key=len)
            plain = {name.removesuffix(".gz") for name in matches}
            if len(plain) != 1:
                what = f"several: {listed(matches)}" if plain else f"has {listed(names)}"
                raise DataError(
                    f"{folder} needs one file of the {split} {kind}; {what}; needs {USUAL}"
                )
            arrays.append((read_idx_file(folder / matches[0]), str(folder / matches[0])))
        (images, images_name), (labels, labels_name) = arrays
        sets[split] = Arrays(images, labels, images_name, labels_name)
    return _splits(sets, str(folder))


def read_npz(path: Path) -> dict[str, OwnImages]:
    """Splits of `npz:FILE` with x_train, y_train, x_test and y_test, as mnist.npz of Keras.

    Raises DataError when one of them is missing or the file is damaged.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}{nearest_file(path)}")
    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                raise ValueError("it is a single array")
            keys = list(loaded)
            arrays = {key: loaded[key] for key in KEYS if key in keys}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"cannot read {path} as .npz: {str(error).splitlines()[0]}") from None
    missing = [key for key in KEYS if key not in keys]
    if missing:
        hint = nearest(missing[0], keys)
        raise DataError(f"{path} has the arrays {listed(keys)}; needs {listed(KEYS)}{hint}")
    sets = {
        split: Arrays(
            arrays[f"x_{split}"],
            arrays[f"y_{split}"],
            f"x_{split} of {path}",
            f"y_{split} of {path}",
        )
        for split in ("train", "test")
    }
    return _splits(sets, str(path))


def _splits(sets: dict[str, Arrays], where: str) -> dict[str, OwnImages]:
    """Splits of arrays, after checking their shapes and values."""
    examples = {split: _examples(arrays) for split, arrays in sets.items()}
    shapes = {split: of_split[0].item.shape for split, of_split in examples.items()}
    if len(set(shapes.values())) > 1:
        raise DataError(f"the images of {where} differ in shape: {shapes}")
    count = 1 + max(example.label for example in examples["train"])
    for split, of_split in examples.items():
        wrong = next((x.label for x in of_split if not 0 <= x.label < count), None)
        if wrong is not None:
            raise DataError(
                f"{sets[split].labels_name} has the label {wrong}; the classes are 0 to {count - 1}"
            )
    return make_splits(examples, tuple(map(str, range(count))), shapes["train"], where)


def _examples(arrays: Arrays) -> list[Example]:
    """Examples of one split; DataError for another shape or type, or values that are no images."""
    raw, labels, name, labels_name = arrays
    images = raw[..., None] if raw.ndim == 3 else raw
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if images.ndim != 4 or not images.size or images.shape[3] not in (1, 3):
        raise DataError(f"{name} has shape {raw.shape}, not N x height x width (x 1 or 3)")
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise DataError(
            f"{labels_name} has shape {labels.shape} and type {labels.dtype}, "
            f"not a whole number for each of the {len(images)} images"
        )
    if images.dtype.kind not in "iuf" or not (np.isfinite(images).all() and images.min() >= 0):
        raise DataError(f"{name} has values that are no brightness: negative or not finite")
    if not images.any():
        raise DataError(f"{name} is black everywhere")
    return [
        Example(image, int(label), f"image {i} of {name}", image.tobytes())
        for i, (image, label) in enumerate(zip(images, labels, strict=True))
    ]
