"""Images with objects: boxes and classes, of scenes, PASCAL VOC, COCO or prepared datasets.

The forms of a dataset are in FORMS. Every image is resized so that its longer side has a given
number of pixels; its boxes are in the pixels of the resized image.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ..builtin.scenes import make_scene
from ..catalogue import DataError, load_splits, nearest
from ..forms.files import SPLIT_NAMES, listed
from ..forms.folders import files_below
from ..forms.splits import complete
from .coco import load_coco
from .decode import FAULTS, DamagedImage
from .voc import class_names, load_voc

FORMS = ("scenes", "voc:DIR", "coco:JSON", "or a prepared dataset with objects, such as bccd")
SCENES = {"train": 800, "validation": 60, "test": 250}


class Picture(NamedTuple):
    """An image and its objects.

    image: uint8 [H, W, 3]. boxes: float32 [N, 4], (xmin, ymin, xmax, ymax) in pixels, where 0 is
    the edge of the first one. labels: int32 [N]. difficult, crowd: bool [N]; neither is trained or
    scored, and a crowd is a box around many objects.
    """

    name: str
    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray


@dataclass(frozen=True)
class Annotated:
    """Sets "train", "validation" and "test" of pictures, and the names of the classes."""

    sets: dict[str, list[Picture]]
    classes: tuple[str, ...]


class Source(NamedTuple):
    """Sets of pictures that are read one by one: read(split, index)."""

    sizes: dict[str, int]
    read: Callable[[str, int], Picture]
    classes: tuple[str, ...]


def resized(image: np.ndarray, side: int) -> np.ndarray:
    """Return an image uint8 [H, W, 3] whose longer side has `side` pixels."""
    factor = side / max(image.shape[:2])
    height, width = (max(1, round(length * factor)) for length in image.shape[:2])
    if (height, width) == image.shape[:2]:
        return image
    size = (width, height)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def load_annotated(name: str, data_dir: str, side: int, most: int = 0) -> Annotated:
    """Sets of a dataset in one of FORMS, with images of `side` pixels.

    most: only the first `most` images of each set are read; 0: all. Missing sets are made from the
    training set, see `complete`. A damaged image is left out, with a warning that names it, and so
    is an object without area. A warning also names a class that training never sees. Raises
    DataError when the dataset is unknown, an annotation is faulty or has no image, or training has
    no object.
    """
    form, _, rest = name.partition(":")
    if name == "scenes":
        source = _scenes()
    elif form == "voc" and rest:
        source = _voc(rest)
    elif form == "coco" and rest:
        source = _coco(rest)
    elif ":" in name or not name:
        near = nearest(form, [known.partition(":")[0] for known in FORMS[:-1]])
        raise DataError(f"dataset {name!r} is none of {listed(FORMS)}{near}")
    else:
        source = _prepared(name, data_dir)
    if most:
        source = source._replace(sizes={s: min(n, most) for s, n in source.sizes.items()})
    found = {split: list(_readable(source, split, side)) for split in source.sizes}
    sets = complete(found, lambda picture: picture.name, f"dataset {name}")
    _check_classes(sets, source.classes, name)
    return Annotated(sets, source.classes)


def _readable(source: Source, split: str, side: int) -> Iterator[Picture]:
    for index in range(source.sizes[split]):
        try:
            picture = source.read(split, index)
        except DamagedImage as error:
            print(f"warning: {error}; the image is left out", file=sys.stderr, flush=True)
            continue
        image = resized(picture.image, side)
        factor = np.array(image.shape[1::-1] * 2) / np.array(picture.image.shape[1::-1] * 2)
        boxes = (picture.boxes * factor).astype(np.float32)
        yield picture._replace(image=image, boxes=boxes)


def _check_classes(sets: dict[str, list[Picture]], classes: Sequence[str], name: str) -> None:
    """Raise DataError when training has no object; warn of a class that only another set has."""
    trained = {label for p in sets["train"] for label in p.labels[~(p.difficult | p.crowd)]}
    if not trained:
        raise DataError(f"the training set of dataset {name} has no objects")
    for split, pictures in sets.items():
        for picture in pictures:
            if unknown := set(picture.labels[~(picture.difficult | picture.crowd)]) - trained:
                print(
                    f"warning: {picture.name} of the {split} set has the class "
                    f"{classes[min(unknown)]!r}, which training never sees",
                    file=sys.stderr,
                    flush=True,
                )
                return


def _scenes() -> Source:
    def read(split: str, index: int) -> Picture:
        first = SCENES["train"] if split == "validation" else 0
        digits = "test" if split == "test" else "train"
        scene = make_scene("detection", digits, 0, first + index)
        none = np.zeros(len(scene.labels), bool)
        name = f"scene {first + index} of {digits} digits"
        return Picture(name, scene.pixels, scene.boxes, scene.labels, none, none)

    return Source(SCENES, read, tuple(map(str, range(10))))


def _voc(folder: str) -> Source:
    main = Path(os.path.expanduser(folder)) / "ImageSets" / "Main"
    names = {path.stem for path in files_below(main, (".txt",))} if main.is_dir() else {"train"}
    chosen = {split: sorted(SPLIT_NAMES[split] & names) for split in SPLIT_NAMES}
    classes = class_names(folder, *(chosen["train"] or ["train"]))
    sets = {split: load_voc(folder, of[0], "Main", classes) for split, of in chosen.items() if of}

    def read(split: str, index: int) -> Picture:
        voc = sets[split]
        image, (boxes, labels, difficult), _ = voc[index]
        crowd = np.zeros(len(labels), bool)
        return Picture(voc.names[index], image, boxes, labels, difficult, crowd)

    return Source({split: len(voc) for split, voc in sets.items()}, read, classes)


def _coco(path: str) -> Source:
    coco = load_coco(path).having("boxes")
    if not len(coco):
        raise DataError(f"{path} has no image with boxes")

    def read(split: str, index: int) -> Picture:
        found = coco[index]
        none = np.zeros(len(found.labels), bool)
        name = coco.records[index].file  # its set must not depend on where the folder is
        return Picture(name, found.image, found.boxes, found.labels, none, found.crowd)

    return Source({"train": len(coco)}, read, coco.classes)


def _prepared(name: str, data_dir: str) -> Source:
    """Sets of a TFDS dataset whose elements have "objects" with "bbox" and "label"."""
    sets = load_splits(name, data_dir, FORMS[:-1])
    features = next(iter(sets.values())).dataset_info.features
    try:
        label, _ = features["objects"]["label"], features["objects"]["bbox"]
    except (KeyError, TypeError):
        raise DataError(f"dataset {name} has no objects with bbox and label") from None
    parts = {s: k for s, names in SPLIT_NAMES.items() for k in sets if k in names}

    def read(split: str, index: int) -> Picture:
        where = f"example {index} of {parts[split]} of {name}"
        try:
            example: dict[str, Any] = sets[parts[split]][index]
        except FAULTS as error:
            raise DamagedImage(f"cannot read {where}: {error}") from None
        image = np.broadcast_to(example["image"], (*example["image"].shape[:2], 3))
        found = example["objects"]
        count = len(found["label"])
        # ymin, xmin, ymax, xmax as parts of the sides
        shares = np.array(found["bbox"], np.float64).reshape(count, 4)[:, [1, 0, 3, 2]]
        good = checked_shares(shares, where)
        boxes = np.clip(shares, 0, 1) * np.array(image.shape[1::-1] * 2)
        labels, difficult, crowd = (
            np.array(found.get(key, np.zeros(count)), kind)[good]
            for key, kind in (("label", np.int32), ("is_difficult", bool), ("is_crowd", bool))
        )
        return Picture(where, image, boxes[good].astype(np.float32), labels, difficult, crowd)

    sizes = {split: len(sets[part]) for split, part in parts.items()}
    return Source(sizes, read, tuple(label.names))


def checked_shares(boxes: np.ndarray, where: str) -> np.ndarray:
    """Which of the boxes [N, 4], in parts of the sides, have an area, bool [N].

    Prints a warning for a box without one. Raises DataError for a box that is outside of the image
    or whose sides are exchanged.
    """
    margin = 1e-3  # of rounding
    inside: np.ndarray = np.all((boxes >= -margin) & (boxes <= 1 + margin), axis=1)
    area: np.ndarray = np.all(boxes[:, :2] < boxes[:, 2:], axis=1)
    for number in np.flatnonzero(~(inside & area)):
        values = listed(f"{value:g}" for value in boxes[number])
        text = f"object {number + 1} of {where} has the box {values} in parts of the sides, which"
        if not inside[number] or (boxes[number, :2] > boxes[number, 2:]).any():
            raise DataError(f"{text} is outside the image or has exchanged sides")
        print(f"warning: {text} is empty; it is left out", file=sys.stderr, flush=True)
    return area
