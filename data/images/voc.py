"""Images with boxes and masks in the folders of PASCAL VOC.

Format: Everingham et al., "The PASCAL Visual Object Classes (VOC) challenge", 2010. A folder has
JPEGImages/NAME.jpg and Annotations/NAME.xml, lists of names in ImageSets/Main/SET.txt, and for
segmentation SegmentationClass/NAME.png with lists in ImageSets/Segmentation/SET.txt.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from ..catalogue import DataError, nearest
from ..forms.files import listed, nearest_file
from ..forms.folders import files_below
from ..text.line_files import fields_of, read_lines
from .decode import decode_image, decode_mask

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
BACKGROUND, VOID = 0, 255  # values of a mask; label i has the value i + 1


class Boxes(NamedTuple):
    """Objects of an image: boxes float32 [N, 4], labels int32 [N], difficult bool [N].

    A box is (left, top, right, bottom) in pixels from the upper left corner of the image; its width
    is right - left. VOC counts the first and the last pixel of a box from 1: left and top are one
    less than in the file.
    """

    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray


class VocImage(NamedTuple):
    """Image uint8 [H, W, 3], its objects, and its mask int32 [H, W], None if there is no file.

    A mask has BACKGROUND, 1 + label, or VOID where the class is not annotated.
    """

    image: np.ndarray
    objects: Boxes
    mask: np.ndarray | None


@dataclass(frozen=True)
class Voc:
    """The images of a set in a folder, read when they are needed: len(voc), voc[i]."""

    folder: Path
    names: Sequence[str]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> VocImage:
        """Read an image; DataError when a file is missing, damaged or does not fit the image."""
        name = self.names[index]
        path = self.folder / "JPEGImages" / f"{name}.jpg"
        if not path.is_file():
            raise DataError(f"{name} has an entry in a set but no image {path}{nearest_file(path)}")
        image = decode_image(path, 3, 0, str(path))
        mask = None
        mask_path = self.folder / "SegmentationClass" / f"{name}.png"
        if mask_path.is_file():
            mask = read_mask(mask_path, len(self.classes))
            if mask.shape != image.shape[:2]:
                raise DataError(f"{mask_path} has shape {mask.shape}, its image {image.shape[:2]}")
        annotation = self.folder / "Annotations" / f"{name}.xml"
        return VocImage(image, read_boxes(annotation, self.classes, image.shape[:2]), mask)


def load_voc(
    folder: str, chosen: str, task: str = "Main", classes: tuple[str, ...] = CLASSES
) -> Voc:
    """Images of a set such as train, val or trainval; task: "Main" or "Segmentation".

    Raises DataError when the folder is no VOC folder, or the set is missing or empty.
    """
    root = Path(os.path.expanduser(folder))
    needed = ("JPEGImages", "Annotations", f"ImageSets/{task}")
    if missing := [name for name in needed if not (root / name).is_dir()]:
        raise DataError(f"voc: needs a folder with {listed(needed)}; {root} has no {missing[0]}")
    path = root / "ImageSets" / task / f"{chosen}.txt"
    if not path.is_file():
        sets = [p.stem for p in files_below(path.parent, (".txt",))]
        near = nearest(chosen, sets)
        raise DataError(f"{path.parent} has no set {chosen!r}{near}; available: {listed(sets)}")
    # lists of a class have a second column, 1, 0 or -1
    names = [fields_of(line)[0] for line in read_lines(path) if line.strip()]
    if not names:
        raise DataError(f"{path} is empty")
    return Voc(root, names, classes)


def class_names(folder: str, chosen: str) -> tuple[str, ...]:
    """Classes of a folder: CLASSES, or the sorted names in a set that has others."""
    voc = load_voc(folder, chosen)
    names: set[str] = set()
    for name in voc.names:
        path = voc.folder / "Annotations" / f"{name}.xml"
        names |= {(found.findtext("name") or "").strip() for found in _objects(path)}
    return CLASSES if names <= set(CLASSES) else tuple(sorted(names))


def _objects(path: Path) -> list[ElementTree.Element]:
    """Objects of an annotation; DataError when the file is missing or malformed."""
    if not path.is_file():
        raise DataError(f"there is no file {path}{nearest_file(path)}")
    try:
        return ElementTree.parse(path).getroot().findall("object")
    except ElementTree.ParseError as error:
        raise DataError(f"{path} is not XML: {error}") from None


def read_boxes(path: Path, classes: tuple[str, ...], size: tuple[int, int]) -> Boxes:
    """Objects of an annotation of an image of `size` (height, width).

    Raises DataError for malformed XML, an unknown class, and a box that is empty or outside.
    """
    boxes, labels, difficult = [], [], []
    for number, found in enumerate(_objects(path), 1):
        name = (found.findtext("name") or "").strip()
        if name not in classes:
            near = nearest(name, classes)
            raise DataError(f"object {number} of {path} has the class {name!r}, not known{near}")
        texts = [found.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
        try:
            left, top, right, bottom = (float(text or "") for text in texts)
        except ValueError:
            raise DataError(f"object {number} of {path} has no box of numbers: {texts}") from None
        if not (1 <= left <= right <= size[1] and 1 <= top <= bottom <= size[0]):
            raise DataError(
                f"object {number} of {path} has the box {left:g}, {top:g}, {right:g}, {bottom:g}, "
                f"which is empty or outside of {size[1]} x {size[0]} pixels"
            )
        boxes.append((left - 1, top - 1, right, bottom))
        labels.append(classes.index(name))
        difficult.append((found.findtext("difficult") or "0").strip() == "1")
    return Boxes(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels, np.int32),
        np.array(difficult, bool),
    )


def read_mask(path: Path, classes: int) -> np.ndarray:
    """Mask int32 [H, W] of an indexed PNG; DataError when a value is no class."""
    mask = decode_mask(path, str(path)).astype(np.int32)
    wrong = np.unique(mask[(mask > classes) & (mask != VOID)])
    if wrong.size:
        raise DataError(f"{path} has the value {wrong[0]}; the classes are 1 to {classes}")
    return mask
