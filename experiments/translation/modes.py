"""--mode=translate and --mode=states: translations and encoder states of standard input."""

import sys
from typing import Any

import numpy as np

from data.catalogue import DataError
from experiments.common.stdin import lines_of_input, texts_of_input
from experiments.translation.search import translator
from experiments.translation.task import Translate
from train.trained import TrainedRun


def selected(run: TrainedRun) -> tuple[Translate, Any]:
    """Task and variables of a run; of several language pairs, those of config.direction."""
    if isinstance(run.task, Translate):
        return run.task, run.variables
    return run.task.selected(run.variables, run.config.direction)


def translate(run: TrainedRun) -> None:
    """Translate each line of standard input; a blank line remains one.

    With config.n_best above 1, print that many translations per line, each after its score, which
    sampled translations do not have. Warnings on standard error name the translations that were cut
    at their maximum length.
    """
    task, variables = selected(run)
    translations, number = translator(task), 0
    for lines in texts_of_input():
        sentences = [line.strip() for line in lines]
        found = iter(translations(variables, [sentence for sentence in sentences if sentence]))
        for sentence in sentences:
            number += 1
            if not sentence:
                print(flush=True)
                continue
            hypotheses = next(found)
            for score, text, cut in hypotheses:
                scored = len(hypotheses) > 1 and score is not None
                print(f"{score:8.3f}  {text}" if scored else text, flush=True)
                if cut:
                    print(f"warning: the translation of line {number} was cut", file=sys.stderr)


def states(run: TrainedRun) -> None:
    """Draw the encoder states of phrases from standard input.

    The input has one phrase per line; an empty line starts a new group, with another colour and
    marker. Print the variance that the picture explains, and how many phrases have their nearest
    neighbour in their own group. Raises DataError for fewer than three phrases.
    """
    from experiments.common.output import picture_of, save_to

    output = picture_of(run, "states")
    task, variables = selected(run)
    groups: list[list[str]] = [[]]
    for line in lines_of_input():
        if line.strip():
            groups[-1].append(line.strip())
        else:
            groups.append([])
    groups = [group for group in groups if group]
    phrases = [phrase for group in groups for phrase in group]
    if len(phrases) < 3:
        raise DataError(f"a plane needs at least three phrases, the input has {len(phrases)}")
    from experiments.common.plane import principal_components
    from experiments.translation.pictures import draw_states

    vectors = np.array(task.encode(variables, phrases))
    points, shares = principal_components(vectors)
    group_ids = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    nearest = nearest_neighbours(vectors)
    figure = draw_states(points, shares, group_ids, phrases)
    path = save_to(output, figure)
    print(f"the plane explains {shares.sum():.0%} of the variance: {path}")
    print(
        f"{(group_ids[nearest] == group_ids).sum()} of {len(phrases)} phrases have their nearest "
        "neighbour in their own group"
    )


def nearest_neighbours(vectors) -> np.ndarray:
    """Index int [N] of the nearest other vector of vectors [N, D], by Euclidean distance."""
    distances = np.linalg.norm(vectors[:, None] - vectors, axis=-1)
    np.fill_diagonal(distances, np.inf)
    return distances.argmin(axis=1)
