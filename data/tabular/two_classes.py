"""Two classes of vectors with targets -1 and +1: points in the plane, and small data sets."""

import math
from dataclasses import dataclass, replace

import numpy as np

from ..catalogue import DataError, nearest, unknown_dataset
from ..epochs import ALL, Batch, Rows, check_batch_size
from ..forms.labels import read_labels
from ..forms.readers import load_tables
from .batches import sha256_of
from .columns import NumberColumn, encode_rows
from .rows import cells_of

DATASETS = ("points", "xor", "iris:CLASS", "digits:A,B", "csv:PATH")
RETINA = 20  # side of the image of a digit
POINTS = (0, 1)  # elements of the seed after config.seed, so that no two random streams coincide


@dataclass(frozen=True)
class TwoClasses:
    """Vectors x float32 [N, D], targets t float32 [N] in {-1, +1}, names of classes -1 and +1."""

    x: np.ndarray
    t: np.ndarray
    classes: tuple[str, str]

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The vectors and targets, by the names of a batch."""
        return {"x": self.x, "t": self.t}

    @property
    def sha256(self) -> str:
        """Hex digest of the vectors and targets."""
        return sha256_of(self.x, self.t)

    def subset(self, indices: slice | np.ndarray) -> "TwoClasses":
        """Return the examples selected by a slice or by indices."""
        return replace(self, x=self.x[indices], t=self.t[indices])


@dataclass(frozen=True)
class FixedOrder:
    """step -> {"x" [B, D], "t" [B]}: the examples in their order, again and again."""

    source: TwoClasses
    batch_size: int

    def __post_init__(self) -> None:
        """Check the sizes."""
        check_batch_size(self.batch_size, len(self.source.t))

    def __call__(self, step: int, rows: Rows = ALL) -> Batch:
        """Return the rows of the batch of a step."""
        first = step * self.batch_size
        indices = np.arange(first, first + self.batch_size)[rows] % len(self.source.t)
        return {"x": self.source.x[indices], "t": self.source.t[indices]}


def points_with_margin(count: int, margin: float, seed: int) -> TwoClasses:
    """Uniform points of the square [-1, 1]^2 that are at least `margin` from a random line.

    The line passes within 0.3 of the origin, in a random direction; half of the points, rounded
    up, are on its positive side. A pure function of the arguments.
    """
    rng = np.random.default_rng((seed, *POINTS))
    angle, offset = rng.uniform(0, 2 * math.pi), rng.uniform(-0.3, 0.3)
    normal = np.array([math.cos(angle), math.sin(angle)])
    sides: dict[int, list[np.ndarray]] = {1: [], -1: []}
    wanted = {1: (count + 1) // 2, -1: count // 2}
    while any(len(sides[side]) < wanted[side] for side in sides):
        point = rng.uniform(-1, 1, 2)
        distance = float(point @ normal) + offset
        side = 1 if distance > 0 else -1
        if abs(distance) >= margin and len(sides[side]) < wanted[side]:
            sides[side].append(point)
    x = np.array([*sides[1], *sides[-1]], np.float32)
    t = np.repeat(np.array([1, -1], np.float32), [wanted[1], wanted[-1]])
    order = rng.permutation(count)
    return TwoClasses(x[order], t[order], ("-1", "+1"))


def xor() -> TwoClasses:
    """Return the exclusive or of two inputs in {-1, +1}, which no line separates."""
    x = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]], np.float32)
    return TwoClasses(x, np.array([-1, 1, 1, -1], np.float32), ("equal", "different"))


def iris_class(name: str) -> TwoClasses:
    """Four lengths in cm of 150 irises: one species against the rest, which has target -1.

    Raises DataError when there is no such species.
    """
    from sklearn import datasets  # loads slowly

    iris = datasets.load_iris()
    names = iris.target_names.tolist()
    if name not in names:
        raise DataError(
            f"iris has three classes, and a perceptron separates two; name one of "
            f"{', '.join(names)}, as in iris:setosa{nearest(name, names)}"
        )
    t = np.where(iris.target == names.index(name), 1, -1).astype(np.float32)
    return TwoClasses(iris.data.astype(np.float32), t, ("the rest", name))


def digit_pair(names: str) -> TwoClasses:
    """Scikit-learn's images of two digits "A,B" on a retina, x [N, 400] from 0 to 1; B has +1.

    The images of 8 x 8 pixels are enlarged to 20 x 20 by repeating pixels. Raises DataError when
    `names` are not two different digits.
    """
    from sklearn import datasets  # loads slowly

    pair = [name.strip() for name in names.split(",")]
    if len(set(pair)) != 2 or any(len(name) != 1 or name not in "0123456789" for name in pair):
        raise DataError(
            f"digits has ten classes, and a perceptron separates two; name two, as in digits:3,8, "
            f"got digits:{names}"
        )
    images, labels = datasets.load_digits(return_X_y=True)
    chosen = np.isin(labels, [int(name) for name in pair])
    nearest_pixel = np.arange(RETINA) * 8 // RETINA
    images = images[chosen].reshape(-1, 8, 8)[:, nearest_pixel][:, :, nearest_pixel]
    t = np.where(labels[chosen] == int(pair[1]), 1, -1).astype(np.float32)
    x = (images / 16).reshape(len(images), -1).astype(np.float32)
    return TwoClasses(x, t, (pair[0], pair[1]))


def read_two_classes(path: str) -> TwoClasses:
    """Rows of a CSV file: a column "label" with two different values; all others are numbers.

    Raises DataError when the file cannot be read so, or when it has more than two classes.
    """
    sets = load_tables("csv", path)
    if list(sets) != ["train"]:
        raise DataError(f"{path} must be one set, which is split at random, not {', '.join(sets)}")
    tables = sets["train"]
    classes, labels = read_labels(sets, "label")
    if len(classes) > 2:
        raise DataError(
            f"column label of {path} has {len(classes)} classes; a perceptron separates two"
        )
    names = [name for name in tables[0].names if name != "label"]
    cells = [row for table in tables for row in cells_of(table, names, "label")]
    columns = [NumberColumn(name, 0.0, 1.0) for name in names]  # not standardised
    x = encode_rows(columns, *zip(*cells, strict=True))
    t = 2 * np.array(labels["train"], np.float32) - 1
    return TwoClasses(x, t, (classes[0], classes[1]))


def load_two_classes(name: str) -> TwoClasses:
    """Load a dataset of DATASETS other than points; DataError when there is no such dataset."""
    kind, _, rest = name.partition(":")
    if name == "xor":
        return xor()
    if kind == "iris":
        return iris_class(rest)
    if kind == "digits":
        return digit_pair(rest)
    if kind == "csv" and rest:
        return read_two_classes(rest)
    raise unknown_dataset(name, DATASETS)
