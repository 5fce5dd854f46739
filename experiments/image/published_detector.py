"""--mode=svm: the published classifier and regression of boxes on the features of a network.

Source: Girshick et al., "Rich feature hierarchies for accurate object detection and semantic
segmentation", 2014, section 2.3 and appendices B and C.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from data.images.window_batches import EvaluationWindows, overlaps
from experiments.image.detection_task import Detect, suppressed
from experiments.image.detections import Found
from nets.image.boxes import decode, encode
from train.trained import TrainedRun

NEGATIVE = 0.3  # windows of less overlap with every object of a class are its negatives
REGRESSED = 0.6  # least overlap of a window that trains the regression
NORM = 20.0  # mean norm of the features, as in the published program
HARD = -1.0  # negatives above this score are hard
START = 500  # negatives of a class, drawn before there is a classifier
LEAST = -1.2  # smaller scores are no detections


class Windows(NamedTuple):
    """Features [N, F] of windows [N, 4], and their overlaps [N, M] with objects [M, 4]."""

    features: np.ndarray
    windows: np.ndarray
    overlap: np.ndarray
    objects: np.ndarray
    labels: np.ndarray


class Ridge(NamedTuple):
    """Targets = (features - mean) @ weights @ colour + centre."""

    mean: np.ndarray
    weights: np.ndarray
    colour: np.ndarray
    centre: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return targets [N, 4] of features [N, F]."""
        return (features - self.mean) @ self.weights @ self.colour + self.centre


def fit_ridge(features: np.ndarray, targets: np.ndarray, penalty: float) -> Ridge:
    """Regress targets [N, 4] on features [N, F] by least squares with penalty |weights|^2.

    The targets are whitened: they are uncorrelated and have variance 1. Directions without
    variance are not regressed.
    """
    mean, centre = features.mean(axis=0), targets.mean(axis=0)
    x, y = features - mean, targets - centre
    values, vectors = np.linalg.eigh(y.T @ y / len(y))
    deviation = np.sqrt(np.maximum(values, 0))
    whitening = vectors / np.where(deviation > 1e-6, deviation, np.inf)
    penalised = x.T @ x + penalty * np.eye(x.shape[1])
    weights = np.linalg.solve(penalised, x.T @ (y @ whitening))
    return Ridge(mean, weights, (vectors * deviation).T, centre)


def windows_of(run: TrainedRun, batches: EvaluationWindows) -> Iterator[Windows]:
    """Yield the features of all windows of each picture, and of its objects in training."""
    for indices, batch in batches.every_window():
        features = np.asarray(run.predict(batch)[0].features)
        for row, index in enumerate(indices):
            picture, own = batches.pictures[index], batches.windows[index]
            real = ~(picture.difficult | picture.crowd)
            objects = picture.boxes[real]
            yield Windows(
                features[row, : len(own)],
                own,
                overlaps(own, objects),
                objects,
                picture.labels[real],
            )


def fit_svm(images: list[Windows], label: int, cost: float, seed: int) -> Any:
    """Fit the support vector machine of a class; None when the class or its negatives are missing.

    Positives are the objects; negatives are the windows whose overlap with each of them is below
    NEGATIVE. The machine is trained with START random negatives, then once more with these and all
    negatives that it scores above HARD.
    """
    from sklearn.svm import LinearSVC

    positive, negative = [], []
    for image in images:
        own = image.overlap[:, image.labels == label]
        # the objects are among the windows, see `compare`
        positive.append(image.features[(own >= 1 - 1e-6).any(axis=1)])
        negative.append(image.features[own.max(axis=1, initial=0) < NEGATIVE])
    good, bad = np.concatenate(positive), np.concatenate(negative)
    if not len(good) or not len(bad):
        return None
    rng = np.random.default_rng((seed, label))
    chosen = rng.permutation(len(bad)) < START
    for attempt in range(2):
        x = np.concatenate([good, bad[chosen]])
        y = np.arange(len(x)) < len(good)
        machine = LinearSVC(C=cost, loss="hinge", random_state=0, max_iter=5000).fit(x, y)
        if attempt == 0:
            chosen |= machine.decision_function(bad) > HARD
    return machine


def svm(run: TrainedRun) -> None:
    """Fit classifier and regression; print their test scores beside those of the network."""
    for name, values in compare(run).items():
        print(name, *(f"{score} {value:.4f}" for score, value in values.items()), sep="  ")


def compare(run: TrainedRun) -> dict[str, dict[str, float]]:
    """Scores of the test set by classifier: the network's own, and the two fitted here."""
    test = run.held_out("test")
    source: Any = run.experiment.train
    joined = [
        np.concatenate([windows, picture.boxes])
        for picture, windows in zip(source.pictures, source.windows, strict=True)
    ]
    train = EvaluationWindows(
        source.pictures, joined, source.side, source.batch_size, source.count, source.objects
    )
    print(f"features of {sum(map(len, joined))} training windows", flush=True)
    images = list(windows_of(run, train))
    unit = NORM / np.mean([np.linalg.norm(image.features, axis=1).mean() for image in images])
    images = [image._replace(features=unit * image.features) for image in images]

    task: Detect = run.task
    machines, ridges = {}, {}
    for label, name in enumerate(task.classes):
        machines[label] = fit_svm(images, label, run.config.svm_cost, run.config.seed)
        ridges[label] = regression_of(images, label, run.config.ridge)
        print(f"class {name}: {'not in training' if machines[label] is None else 'fitted'}")

    rows: dict[str, list[Found]] = {name: [] for name in ("softmax", "svm", "svm, ridge")}
    for number, image in enumerate(windows_of(run, test)):
        picture = test.pictures[number]
        scaled = image._replace(features=unit * image.features)
        size = picture.image.shape[1::-1]
        for name, found in answers(scaled, machines, ridges, size, run.config.nms).items():
            rows[name].append(found)
    rows["softmax"] = list(task.found(run.predict, test))
    scores_of = {name: task.precision(found, test.pictures) for name, found in rows.items()}
    return {
        name: {f"test/{score}": values[score] for score in ("map", "map_75")}
        for name, values in scores_of.items()
    }


def answers(
    image: Windows,
    machines: Mapping[int, Any],
    ridges: Mapping[int, Ridge | None],
    size: tuple[int, ...],
    threshold: float,
) -> dict[str, Found]:
    """Detections in an image of `size`, (width, height), without and with regression of boxes.

    machines, ridges: by class; None where there is none.
    """
    scores = np.full((len(machines), len(image.windows)), -np.inf)
    plain = np.repeat(image.windows[None], len(machines), axis=0)
    moved = plain.copy()
    for label, machine in machines.items():
        if machine is not None:
            scores[label] = machine.decision_function(image.features)
    for label, ridge in ridges.items():
        if ridge is not None:
            boxes = np.asarray(decode(image.windows, ridge(image.features)))
            moved[label] = np.clip(boxes, 0, np.tile(size, 2))
    return {
        "svm": select(plain, scores, image.windows, threshold),
        "svm, ridge": select(moved, scores, image.windows, threshold),
    }


def regression_of(images: list[Windows], label: int, penalty: float) -> Ridge | None:
    """Regression of the boxes of a class; None without windows to train it."""
    features, targets = [], []
    for image in images:
        own = image.labels == label
        if not own.any():
            continue
        table = image.overlap[:, own]
        near = table.max(axis=1) >= REGRESSED
        best = image.objects[own][table[near].argmax(axis=1)]
        features.append(image.features[near])
        targets.append(np.asarray(encode(image.windows[near], best)))
    if not features or not sum(map(len, features)):
        return None
    return fit_ridge(np.concatenate(features), np.concatenate(targets), penalty)


def select(boxes: np.ndarray, scores: np.ndarray, windows: np.ndarray, threshold: float) -> Found:
    """What non-maximum suppression leaves of boxes [K, N, 4] with scores [K, N]."""
    kept = jax.device_get(suppressed(boxes, np.where(scores >= LEAST, scores, -np.inf), threshold))
    return Found(boxes, scores, kept, windows)
