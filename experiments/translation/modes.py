"""What a trained translator does with lines of the input: --mode=translate and --mode=states."""

from typing import Protocol

import numpy as np

from data.catalogue import DataError
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
    from experiments.common.pictures import save
    from experiments.common.plane import principal_components
    from experiments.translation.pictures import draw_states

    vectors = np.array(task.encode(predict.variables, phrases))
    points, shares = principal_components(vectors)
    number = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    near = nearest_neighbours(vectors)
    path = task.config.picture
    save(draw_states(points, shares, number, phrases), path)
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


class SeveralPairs(Protocol):
    """A task of several language pairs, which knows the one to use."""

    def chosen(self, predict: Predictor) -> tuple[Translate, Predictor]:
        """Return the task and the network of one pair."""


def translate_pair(task: SeveralPairs, predict: Predictor) -> None:
    """Translate with the network of config.direction."""
    translate(*task.chosen(predict))


def states_pair(task: SeveralPairs, predict: Predictor) -> None:
    """Draw the encoder states of phrases, for the network of config.direction."""
    states(*task.chosen(predict))
