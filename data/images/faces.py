"""Faces of people who look into several directions: the CMU face images, or turned digits."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..catalogue import DataError, unknown_dataset
from ..forms.folders import files_below
from ..tabular.batches import sha256_of
from .decode import open_image
from .labelled import load_images

FORMS = ("digits", "faces:DIR")
FACTORS = {
    "pose": ("left", "straight", "right", "up"),
    "expression": ("neutral", "happy", "sad", "angry"),
    "eyes": ("open", "sunglasses"),
}
PER_POSE = len(FACTORS["expression"]) * len(FACTORS["eyes"])  # images of a person in a pose
REDUCTIONS = ("4", "2", "1")  # of the stored images: 32 x 30, 64 x 60 and 128 x 120 pixels
TURNS = {"left": 1, "straight": 0, "right": 3, "up": 2}  # of digits, in quarters


@dataclass(frozen=True)
class Faces:
    """Images float32 [N, H, W, 1] in 0 .. 1 with several labels.

    labels: int32 [N] by the name of a factor: "identity", "pose" and so on. classes: the names of
    its values. missing: what an incomplete set lacks, in words, or "".
    """

    images: np.ndarray
    labels: Mapping[str, np.ndarray]
    classes: Mapping[str, tuple[str, ...]]
    missing: str = ""

    def __len__(self) -> int:
        return len(self.images)

    @property
    def sha256(self) -> str:
        """Hex digest of the images and labels."""
        return sha256_of(self.images, *(self.labels[name] for name in sorted(self.labels)))

    def subset(self, indices: np.ndarray) -> "Faces":
        """Return the images selected by indices or by bools."""
        labels = {name: array[indices] for name, array in self.labels.items()}
        return replace(self, images=self.images[indices], labels=labels)

    def with_mirrored(self) -> "Faces":
        """Return the images and their mirror images, in which left and right are exchanged."""
        left, right = (self.classes["pose"].index(name) for name in ("left", "right"))
        exchanged = np.arange(len(self.classes["pose"]), dtype=np.int32)
        exchanged[[left, right]] = right, left
        other = {**self.labels, "pose": exchanged[self.labels["pose"]]}
        labels = {name: np.concatenate([self.labels[name], other[name]]) for name in other}
        return replace(
            self, images=np.concatenate([self.images, self.images[:, :, ::-1]]), labels=labels
        )


def load_faces(name: str, reduction: str = "4", data_dir: str = "") -> Faces:
    """Load `faces:DIR`, see `read_faces`, or `digits`, see `turned_digits`.

    Raises DataError when there is no such dataset or when it cannot be read.
    """
    form, _, folder = name.partition(":")
    if form == "faces" and folder:
        return read_faces(Path(os.path.expanduser(folder)), reduction)
    if name != "digits":
        raise unknown_dataset(name, FORMS)
    return turned_digits(data_dir)


def turned_digits(data_dir: str = "") -> Faces:
    """scikit-learn's digits [1797, 8, 8, 1], each in one random pose.

    A digit is upright (straight), turned a quarter to the left or to the right, or upside down
    (up). Its identity is its class.
    """
    splits = load_images("digits", data_dir, 8).values()
    upright = np.concatenate([split.images for split in splits])
    poses = np.random.default_rng(0).integers(len(TURNS), size=len(upright), dtype=np.int32)
    turns = [tuple(TURNS.values())[pose] for pose in poses]
    images = np.stack([np.rot90(x, turn) for x, turn in zip(upright, turns, strict=True)])
    identity = np.concatenate([split.labels for split in splits])
    classes = {"identity": tuple("0123456789"), "pose": tuple(TURNS)}
    return Faces(images, {"identity": identity, "pose": poses}, classes)


def read_faces(folder: Path, reduction: str = "4") -> Faces:
    """Read a folder with files user_pose_expression_eyes[_reduction].pgm at any depth.

    The parts of a name may have any order; without a user, the folder's name is the user. Only
    files of the given reduction are read ("1" is not in their names). Raises DataError when there
    are none, when a name lacks a part, or when an image is damaged or has another size.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    paths = files_below(folder, (".pgm",))
    found = {path: parts for path in paths if (parts := parse_name(path))["reduction"] == reduction}
    if not found:
        others = Counter(parse_name(path)["reduction"] for path in paths)
        known = ", ".join(f"{count} of reduction {each}" for each, count in others.items())
        raise DataError(f"{folder} has no images of reduction {reduction}, only {known or 'none'}")
    people = tuple(sorted({parts["identity"] for parts in found.values()}))
    classes = {"identity": people, **FACTORS}
    labels = {
        name: np.array([values.index(parts[name]) for parts in found.values()], np.int32)
        for name, values in classes.items()
    }
    return Faces(read_images(list(found)), labels, classes, describe_missing(labels, classes))


def parse_name(path: Path) -> dict[str, str]:
    """Return the identity, pose, expression, eyes and reduction in the name of a file.

    Raises DataError when a part is missing or occurs twice.

    >>> parse_name(Path("faces/an2i_left_angry_open_4.pgm"))["expression"]
    'angry'
    """
    words = path.stem.split("_")
    reduction = words.pop() if words[-1] in REDUCTIONS else "1"
    parts = {"reduction": reduction}
    for name, values in FACTORS.items():
        hits = [word for word in words if word in values]
        if len(hits) != 1:
            raise DataError(
                f"{path} must have one {name} in its name ({', '.join(values)}), "
                "as in user_straight_happy_open_4.pgm"
            )
        parts[name] = hits[0]
        words.remove(hits[0])
    return {"identity": "_".join(words) or path.parent.name, **parts}


def read_images(paths: list[Path]) -> np.ndarray:
    """Read PGM files, ASCII (P2) or binary (P5), as float32 [N, H, W, 1]; white is 1.

    Raises DataError when one is not a PGM file, is damaged, or has another size than the first.
    """
    images: list[np.ndarray] = []
    for path in paths:
        image = open_image(path, f"{path} as PGM", formats=("PPM",))
        if image.mode != "L":
            raise DataError(f"cannot read {path} as PGM: its pixels are of type RGB, not grey")
        images.append(np.asarray(image))
        if images[-1].shape != images[0].shape:
            sizes = " and ".join("{1} x {0}".format(*x.shape) for x in (images[0], images[-1]))
            raise DataError(f"{paths[0]} and {path} differ in size: {sizes}")
    return np.stack(images)[..., None].astype(np.float32) / 255


def describe_missing(
    labels: Mapping[str, np.ndarray], classes: Mapping[str, tuple[str, ...]]
) -> str:
    """Name the people and poses that have fewer than PER_POSE images, with their number."""
    counts = np.zeros((len(classes["identity"]), len(classes["pose"])), int)
    np.add.at(counts, (labels["identity"], labels["pose"]), 1)
    few = [
        f"{classes['identity'][person]} {classes['pose'][pose]} {counts[person, pose]}"
        for person, pose in np.argwhere(counts < PER_POSE)
    ]
    missing = int(np.maximum(PER_POSE - counts, 0).sum())
    return f"{missing} images, of {PER_POSE} in each pose: {', '.join(few)}" if few else ""
