"""Pictures of detections: boxes, precision against recall, the worst mistakes, and recall."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from data.images.detection import Picture
from data.images.window_batches import overlaps
from experiments.common.pictures import legend_text
from experiments.image.detection_scores import (
    class_average_precision,
    judge_voc,
    precision_recall,
)
from experiments.image.detections import Found, pairs
from train.drawing import MARKERS, line_style, marker_style

SHOWN = 4  # images of a picture
MISTAKES = 5  # of each kind
MOST_BOXES = 40  # before suppression, in one image
NEAR = 0.1  # least overlap of an error of localisation or confusion with an object
DRAWN = 0.3  # least score of a box that is drawn
TRUTH, ANSWER = "#FFFFFF", "#F0E442"  # differ in brightness, also from the photographs' shadows
KINDS = ("localisation", "confusion", "background")


def figures(
    found: Sequence[Found], pictures: Sequence[Picture], classes: Sequence[str]
) -> dict[str, Figure]:
    """Draw the pictures of a run, by name."""
    return {
        "boxes": boxes_picture(found[:SHOWN], pictures[:SHOWN], classes),
        "precision_recall": precision_recall_picture(found, pictures, classes),
        "mistakes": mistakes_picture(found, pictures, classes),
    }


def show(axis: Any, image: np.ndarray, title: str) -> None:
    """Show an image without ticks."""
    axis.imshow(image)
    axis.set_title(title, fontsize=8)
    axis.set_xticks([])
    axis.set_yticks([])


def outline(axis: Any, box: np.ndarray, colour: str, text: str = "", dashed: bool = False) -> None:
    """Draw a box with a dark edge around its line, and a text above it."""
    size = box[2] - box[0], box[3] - box[1]
    for width, edge in ((2.6, "black"), (1.3, colour)):
        style = "--" if dashed and edge != "black" else "-"
        frame = Rectangle((box[0], box[1]), *size, fill=False, linewidth=width)
        frame.set(edgecolor=edge, linestyle=style)
        axis.add_patch(frame)
    if text:
        back = {"facecolor": "black", "alpha": 0.7, "pad": 1, "linewidth": 0}
        axis.text(*box[:2], text, fontsize=7, color=colour, va="bottom", bbox=back, clip_on=True)


def best_boxes(found: Found, regressed: bool) -> list[tuple[np.ndarray, str]]:
    """Boxes of the highest scores before suppression: regressed boxes, or the windows."""
    labels, rows = np.nonzero(found.scores >= DRAWN)
    order = np.argsort(-found.scores[labels, rows], kind="stable")[:MOST_BOXES]
    boxes = found.boxes[labels, rows] if regressed else found.windows[rows]
    return [(boxes[i], "") for i in order]


def final_boxes(found: Found, classes: Sequence[str], least: float) -> list[tuple[np.ndarray, str]]:
    """Boxes that remain with scores of `least` or more, and what to write above them."""
    result = []
    for label, name in enumerate(classes):
        boxes, scores = found.of_class(label)
        shown = scores >= least
        texts = [f"{name} {score:.2f}" for score in scores[shown]]
        result += list(zip(boxes[shown], texts, strict=True))
    return result


def boxes_picture(
    found: Sequence[Found], pictures: Sequence[Picture], classes: Sequence[str]
) -> Figure:
    """Draw images with the best windows, their regressed boxes, and what suppression leaves."""
    titles = ("windows", "after regression of boxes", "after suppression")
    rows = len(pictures)
    figure = Figure(figsize=(8, 2.8 * rows + 0.4), layout="constrained")
    figure.suptitle(f"windows with a class of probability {DRAWN:g} or more; white dashes: objects")
    axes = figure.subplots(rows, 3, squeeze=False)
    for row, (each, picture) in enumerate(zip(found, pictures, strict=True)):
        drawn = (best_boxes(each, False), best_boxes(each, True), final_boxes(each, classes, DRAWN))
        for axis, title, boxes in zip(axes[row], titles, drawn, strict=True):
            show(axis, picture.image, title)
            for box in picture.boxes:
                outline(axis, box, TRUTH, dashed=True)
            for box, text in boxes:
                outline(axis, box, ANSWER, text)
    return figure


def precision_recall_picture(
    found: Sequence[Found], pictures: Sequence[Picture], classes: Sequence[str]
) -> Figure:
    """Draw precision against recall at an overlap of 0.5, a curve for each class."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axis = figure.subplots()
    for label, name in enumerate(classes):
        images = pairs(found, pictures, label)
        count = sum(int((~(o.difficult | o.crowd)).sum()) for _, o in images)
        if not count:
            continue
        verdicts = np.concatenate([judge_voc(d, o, 0.5) for d, o in images])
        scores = np.concatenate([d.scores for d, _ in images])
        precision, recall = precision_recall(verdicts, scores, count)
        axis.plot(
            recall,
            precision,
            **line_style(label),
            marker=MARKERS[label % len(MARKERS)],
            markevery=max(1, len(recall) // 8),
            markersize=4,
            label=legend_text(f"{name} ({class_average_precision(images):.2f})"),
        )
    axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="recall", ylabel="precision")
    axis.set_title(f"detections in {len(pictures)} images, overlap 0.5 (average precision)")
    if len(classes) <= 20:
        figure.legend(loc="outside right upper", fontsize=8)
    return figure


class Mistake(NamedTuple):
    """A wrong detection of an image: its kind, class, box and score."""

    kind: str
    image: int
    label: int
    box: np.ndarray
    score: float


def mistakes_of(
    found: Sequence[Found], pictures: Sequence[Picture], classes: Sequence[str]
) -> list[Mistake]:
    """Wrong detections, the highest scores first.

    localisation: an object of the class is near, with an overlap of 0.1 or more, but is missed or
    already found. confusion: an object of another class is near. background: no object is near.
    Source: Hoiem, Chodpathumwan and Dai, "Diagnosing error in object detectors", 2012.
    """
    mistakes = []
    for label in range(len(classes)):
        for index, (detections, objects) in enumerate(pairs(found, pictures, label)):
            wrong = np.flatnonzero(judge_voc(detections, objects, 0.5) == 0)
            if not len(wrong):
                continue
            boxes, picture = detections.boxes[wrong], pictures[index]
            table = np.pad(overlaps(boxes, picture.boxes), [(0, 0), (0, 1)])
            own = np.append(picture.labels == label, False)
            same = table[:, own].max(axis=1, initial=0) >= NEAR
            near = table.max(axis=1) >= NEAR
            for i, row in enumerate(wrong):
                kind = KINDS[0] if same[i] else KINDS[1] if near[i] else KINDS[2]
                score = float(detections.scores[row])
                mistakes.append(Mistake(kind, index, label, boxes[i], score))
    return sorted(mistakes, key=lambda mistake: -mistake.score)


def mistakes_picture(
    found: Sequence[Found], pictures: Sequence[Picture], classes: Sequence[str]
) -> Figure:
    """Draw the wrong detections of the highest scores, a row for each kind."""
    mistakes = mistakes_of(found, pictures, classes)
    figure = Figure(figsize=(2 * MISTAKES, 2.3 * len(KINDS) + 0.5), layout="constrained")
    sure = [mistake.kind for mistake in mistakes if mistake.score >= 0.5]
    counts = ", ".join(f"{sure.count(kind)} of {kind}" for kind in KINDS)
    figure.suptitle(f"mistakes with probability 0.5 or more: {counts}")
    axes = figure.subplots(len(KINDS), MISTAKES, squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    for row, kind in enumerate(KINDS):
        worst = [mistake for mistake in mistakes if mistake.kind == kind][:MISTAKES]
        for axis, mistake in zip(axes[row], worst, strict=False):
            axis.set_axis_on()
            title = f"{kind}: {classes[mistake.label]} {mistake.score:.2f}"
            show(axis, pictures[mistake.image].image, title)
            for box in pictures[mistake.image].boxes:
                outline(axis, box, TRUTH, dashed=True)
            outline(axis, mistake.box, ANSWER)
    return figure


def detections_picture(
    images: Sequence[np.ndarray],
    names: Sequence[str],
    boxes: Sequence[Sequence[tuple[np.ndarray, str]]],
) -> Figure:
    """Draw images with boxes and texts."""
    columns = min(3, len(images))
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(3.4 * columns, 3 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[len(images) :]:
        axis.set_axis_off()
    for axis, image, name, found in zip(axes, images, names, boxes, strict=False):
        show(axis, image, name)
        for box, text in found:
            outline(axis, box, ANSWER, text)
    return figure


def recall_picture(counts: Sequence[int], curves: dict[tuple[str, float], np.ndarray]) -> Figure:
    """Draw recall against the windows of an image: curves by (method, overlap)."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axis = figure.subplots()
    methods = sorted({method for method, _ in curves})
    for (method, overlap), recall in curves.items():
        axis.plot(
            counts,
            100 * recall,
            **marker_style(methods.index(method)),
            linestyle="-" if overlap == 0.5 else "--",
            label=f"{method}, overlap {overlap:g}",
        )
    axis.set(xscale="log", ylim=(0, 100))
    axis.set_xlabel("windows of an image")
    axis.set_ylabel("objects found by a window (%)")
    axis.set_title("recall of the windows")
    axis.grid(alpha=0.3)
    # handles are long enough to show the dashes
    axis.legend(loc="upper left", fontsize=8, handlelength=3.5)
    return figure
