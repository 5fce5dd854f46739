"""Images with boxes, captions and masks in the JSON files of COCO, and in a compact form of it.

Format: Lin et al., "Microsoft COCO: common objects in context", 2014. A file such as
instances_val2017.json or captions_val2017.json has lists "images", "annotations" and, with boxes,
"categories". In the compact form, annotations.json, each entry of "images" holds its own "captions"
and "boxes" and names a file with its "mask". Either lies in a folder or in a ZIP file.
"""

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from ..catalogue import DataError
from ..forms.files import as_folder, listed, nearest_file, read_bytes
from .decode import decode_image, decode_mask

COMPACT = "annotations.json"  # its name in a ZIP file
BORDER = 1.0  # pixels by which a rounded box may leave the image; such boxes are clipped
UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)  # of COCO's category ids
CATEGORY_IDS = tuple(i for i in range(1, 91) if i not in UNUSED)  # of the 80 classes, in order


class CocoImage(NamedTuple):
    """An image and its annotations.

    name: its path. image: uint8 [H, W, 3]. boxes: float32 [N, 4], (xmin, ymin, xmax, ymax) in
    pixels. labels: int32 [N]. crowd: bool [N], boxes around many objects. mask: int32 [H, W], 0 or
    1 + label; None if there is none.
    """

    name: str
    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    captions: tuple[str, ...]
    mask: np.ndarray | None


class Shape(NamedTuple):
    """Outline of an object with a label: polygons or a run-length code of COCO."""

    label: int
    segmentation: Any


@dataclass(frozen=True)
class Record:
    """What the JSON says of an image; boxes is None where boxes were not annotated."""

    file: str
    size: tuple[int, int]  # height, width
    boxes: np.ndarray | None
    labels: np.ndarray
    crowd: np.ndarray
    captions: tuple[str, ...]
    mask: str | tuple[Shape, ...] | None


@dataclass(frozen=True)
class Coco:
    """Images of a file, decoded when they are needed: len(coco), coco[i].

    place: the folder with the images, which may be a ZIP file.
    """

    place: Path | zipfile.Path
    records: Sequence[Record]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.records)

    def having(self, *what: str) -> "Coco":
        """Only the images with all of these annotations: "boxes", "captions" and "mask"."""

        def has(record: Record) -> bool:
            present = {
                "boxes": record.boxes is not None,
                "captions": bool(record.captions),
                "mask": record.mask is not None,
            }
            return all(present[name] for name in what)

        return replace(self, records=[record for record in self.records if has(record)])

    def __getitem__(self, index: int) -> CocoImage:
        """Read an image; DataError when a file is missing, damaged or does not fit the JSON."""
        record = self.records[index]
        path = self.place / record.file
        name = str(path)
        image = decode_image(read_bytes(path), 3, 0, name)
        if image.shape[:2] != record.size:
            raise DataError(
                f"{name} has shape {image.shape[:2]}, but its annotations are for {record.size}"
            )
        boxes = np.zeros((0, 4), np.float32) if record.boxes is None else record.boxes
        mask = self._mask(record)
        return CocoImage(name, image, boxes, record.labels, record.crowd, record.captions, mask)

    def _mask(self, record: Record) -> np.ndarray | None:
        """Mask of an image, read from its file or drawn from the outlines of its objects."""
        if record.mask is None:
            return None
        if not isinstance(record.mask, str):
            return drawn(record.mask, record.size, str(self.place / record.file))
        path = self.place / record.mask
        name = str(path)
        pixels = decode_mask(read_bytes(path), name)
        if pixels.shape != record.size:
            raise DataError(f"{name} has shape {pixels.shape}, its image {record.size}")
        values = np.zeros(256, np.int32)
        values[list(CATEGORY_IDS)] = np.arange(1, 1 + len(CATEGORY_IDS))
        return values[pixels]


def load_coco(path: str, images: str = "") -> Coco:
    """Images of `coco:JSON`, a JSON file of either form, or a ZIP file with annotations.json.

    images: folder with the images; by default that of the JSON file, or one beside it that COCO's
    names suggest, such as val2017 for annotations/instances_val2017.json. Raises DataError when
    a file is missing, or an annotation is faulty or belongs to no image.
    """
    file = Path(os.path.expanduser(path))
    if not file.is_file():
        raise DataError(f"coco: needs a JSON file; there is no file {file}{nearest_file(file)}")
    try:
        inside = as_folder(file) / COMPACT if zipfile.is_zipfile(file) else file
        content = json.loads(read_bytes(inside))
        entries = content["images"]
    except KeyError as error:
        raise DataError(f"{file} is no COCO file: it has no {error}") from None
    except (ValueError, TypeError) as error:
        raise DataError(f"cannot read {file}: {error}") from None
    try:
        read = standard if "annotations" in content else compact
        records, classes = read(content, str(file))
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file} is no COCO file: {type(error).__name__} {error}") from None
    if not entries:
        raise DataError(f"{file} has no images")
    return Coco(_place(file, images, records[0].file), records, classes)


def _place(file: Path, images: str, first: str) -> Path | zipfile.Path:
    """ZIP file or folder of the images, which has the first one."""
    if zipfile.is_zipfile(file):
        return as_folder(file)
    split = file.stem.rsplit("_", 1)[-1]
    beside = [file.parent, file.parent.parent / split, file.parent.parent / "images" / split]
    folders = [Path(os.path.expanduser(images))] if images else beside
    for folder in folders:
        if (folder / first).is_file():
            return folder
    raise DataError(f"{file} names the image {first}, which is not in {listed(map(str, folders))}")


def compact(content: Mapping[str, Any], where: str) -> tuple[list[Record], tuple[str, ...]]:
    """Records and classes of the compact form."""
    classes = tuple(content["categories"])
    records = []
    for entry in content["images"]:
        name = f"image {entry['file']} of {where}"
        size = (entry["height"], entry["width"])
        found = entry.get("boxes")
        for one in found or ():
            if one["label"] not in classes:
                raise DataError(f"{name} has the class {one['label']!r}, not known")
        labels = [classes.index(one["label"]) for one in found or ()]
        records.append(
            Record(
                f"images/{entry['file']}",
                size,
                None if found is None else corners([one["bbox"] for one in found], size, name),
                np.array(labels, np.int32),
                np.array([one.get("iscrowd", 0) for one in found or ()], bool),
                tuple(entry.get("captions") or ()),
                entry.get("mask"),
            )
        )
    return records, classes


def standard(content: Mapping[str, Any], where: str) -> tuple[list[Record], tuple[str, ...]]:
    """Records and classes of COCO's own files; the classes are in the order of their ids."""
    categories = {entry["id"]: entry["name"] for entry in content.get("categories", ())}
    label_of = {number: label for label, number in enumerate(sorted(categories))}
    of_image: dict[Any, list[Mapping[str, Any]]] = {image["id"]: [] for image in content["images"]}
    boxed = False
    for one in content["annotations"]:
        if one["image_id"] not in of_image:
            raise DataError(
                f"annotation {one.get('id')} of {where} belongs to image {one['image_id']}, "
                "which is not there"
            )
        if "bbox" in one and one["category_id"] not in categories:
            raise DataError(
                f"annotation {one.get('id')} of {where} has category {one['category_id']}, "
                "which is not there"
            )
        boxed |= "bbox" in one
        of_image[one["image_id"]].append(one)
    records = []
    for entry in content["images"]:
        size = (entry["height"], entry["width"])
        found = [one for one in of_image[entry["id"]] if "bbox" in one]
        labels = [label_of[one["category_id"]] for one in found]
        boxes = [one["bbox"] for one in found]
        outlines = tuple(
            Shape(label, one["segmentation"])
            for label, one in zip(labels, found, strict=True)
            if one.get("segmentation")
        )
        captions = (one["caption"].strip() for one in of_image[entry["id"]] if "caption" in one)
        records.append(
            Record(
                entry["file_name"],
                size,
                corners(boxes, size, f"image {entry['file_name']} of {where}") if boxed else None,
                np.array(labels, np.int32),
                np.array([one.get("iscrowd", 0) for one in found], bool),
                tuple(captions),
                outlines or None,
            )
        )
    return records, tuple(categories[number] for number in sorted(categories))


def corners(boxes: Sequence[Sequence[float]], size: tuple[int, int], name: str) -> np.ndarray:
    """Boxes float32 [N, 4] by their corners, of boxes (x, y, width, height).

    Raises DataError for a box that is empty or more than BORDER outside the image.
    """
    try:
        found = np.array(boxes, np.float32).reshape(-1, 4)
    except ValueError:
        raise DataError(f"{name} has a box that is not four numbers") from None
    found[:, 2:] += found[:, :2]
    limit = np.array([size[1], size[0]] * 2, np.float32)
    inside = (found >= -BORDER) & (found <= limit + BORDER)
    good = inside.all(axis=1) & (found[:, :2] < found[:, 2:]).all(axis=1)
    if not good.all():
        number = int(np.argmin(good))
        raise DataError(
            f"box {number + 1} of {name}, {listed(f'{x:g}' for x in boxes[number])}, is empty or "
            f"outside of {size[1]} x {size[0]} pixels"
        )
    return np.clip(found, 0, limit)


def drawn(shapes: Sequence[Shape], size: tuple[int, int], name: str) -> np.ndarray:
    """Mask int32 [H, W] of outlines, the later ones above the earlier ones.

    Raises DataError for a run-length code of another size, or a compressed one.
    """
    mask = np.zeros(size, np.int32)
    for label, segmentation in shapes:
        if isinstance(segmentation, Mapping):
            counts = segmentation["counts"]
            if not isinstance(counts, list) or sum(counts) != mask.size:
                raise DataError(f"a mask of {name} is compressed or not of its size {size}")
            ink = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
            mask[ink.reshape(size[::-1]).T] = label + 1  # runs go down the columns
            continue
        picture = Image.new("1", size[::-1])
        for polygon in segmentation:
            ImageDraw.Draw(picture).polygon(polygon, fill=1)
        mask[np.asarray(picture)] = label + 1
    return mask
