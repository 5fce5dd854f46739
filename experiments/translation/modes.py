"""What a trained translator does with lines of the input: --mode=translate and --mode=states."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from data.catalogue import DataError
from experiments.common.pictures import save
from experiments.common.plane import principal_components
from experiments.common.stdin import lines_of_input, texts_of_input
from experiments.translation.task import Translate
from train.evaluate import Predictor


def translate(task: Translate, predict: Predictor) -> None:
    """Print a translation for each line of the input, or the n best with their scores."""
    for lines in texts_of_input():
        sentences = [line.strip() for line in lines]
        for hypotheses in task.n_best(predict.variables, sentences):
            for score, text in hypotheses:
                print(text if len(hypotheses) == 1 else f"{score:8.3f}  {text}", flush=True)


def states(task: Translate, predict: Predictor) -> None:
    """Draw where the encoder's last state lies after each line of the input.

    An empty line of the input begins a new group, with a colour of its own. Says how much of the
    variance the plane shows, and how many phrases have their nearest neighbour in their own group.
    """
    groups: list[list[str]] = [[]]
    for line in lines_of_input():
        if line.strip():
            groups[-1].append(line.strip())
        else:
            groups.append([])
    groups = [group for group in groups if group]
    phrases = [phrase for group in groups for phrase in group]
    if len(phrases) < 3:
        raise DataError(f"a plane needs three phrases or more, the input has {len(phrases)}")
    vectors = np.array(task.encode(predict.variables, phrases))
    points, shares = principal_components(vectors)
    number = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    near = nearest_neighbours(vectors)
    path = task.config.picture
    save(draw(points, shares, number, phrases), path)
    print(f"{shares.sum():.0%} of the variance lies in the plane: {path}")
    print(
        f"{(number[near] == number).sum()} of {len(phrases)} phrases have their nearest neighbour "
        "in their own group"
    )


def nearest_neighbours(vectors) -> np.ndarray:
    """Place int [N] of the nearest other vector, by Euclidean distance, of vectors [N, D]."""
    distances = np.linalg.norm(vectors[:, None] - vectors, axis=-1)
    np.fill_diagonal(distances, np.inf)
    return distances.argmin(axis=1)


def draw(points, shares, number, phrases: Sequence[str]) -> Figure:
    """Phrases in the plane of their first two components, a colour a group."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    axis = figure.subplots()
    middle, width = points[:, 0].mean(), np.ptp(points[:, 0])
    right = points[:, 0] > middle  # the text goes to where there is room
    heights, gap = np.zeros(len(points)), np.ptp(points[:, 1]) / 35
    for side in (right, ~right):
        heights[side] = apart(points[side, 1], gap)
    for i, (x, y) in enumerate(points):
        axis.plot(x, y, "o", color=f"C{number[i]}")
        axis.annotate(
            phrases[i],
            (x, y),
            (x - 0.04 * width if right[i] else x + 0.04 * width, heights[i]),
            ha="right" if right[i] else "left",
            va="center",
            fontsize=8,
            color=f"C{number[i]}",
            arrowprops={"arrowstyle": "-", "alpha": 0.4, "relpos": (float(right[i]), 0.5)},
        )
    axis.set_ylim(points[:, 1].min() - 2 * gap, max(points[:, 1].max(), heights.max()) + 2 * gap)
    axis.set_xlabel(f"first principal component, {shares[0]:.0%} of the variance")
    axis.set_ylabel(f"second, {shares[1]:.0%}")
    axis.set_title("the encoder's last state after each phrase")
    axis.grid(alpha=0.3)
    return figure


def apart(heights, gap: float) -> np.ndarray:
    """Heights [N] in the same order, each at least `gap` above the one below it."""
    order = np.argsort(heights, kind="stable")
    steps = gap * np.arange(len(heights))
    out = np.empty(len(heights))
    out[order] = np.maximum.accumulate(heights[order] - steps) + steps
    return out
