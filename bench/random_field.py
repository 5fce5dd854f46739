"""Scores of trained segmentations after each iteration of a random field on top of them.

    python -m bench.random_field --runs runs/scenes/seed=* \\
        --save=experiments/results/fcn_random_field.json

The measurement of --mode=iterations on the test sets of several runs. The row for 0 iterations
shows the network alone. A network that was trained without a random field gets an untrained one.
"""

from bench.results import main
from experiments.image.random_field import field_answers, iteration_scores
from train.trained import TrainedRun


def measure(run: TrainedRun) -> dict[int, dict[str, float]]:
    """Scores of the test set by the number of iterations."""
    found = iteration_scores(run, field_answers(run), run.held_out("test"))
    return {
        step: {f"test/{name}": value for name, value in scores.items()}
        for step, scores in enumerate(found)
    }


if __name__ == "__main__":
    main("random_field", __doc__, measure, "iterations", "test/mean_iu")
