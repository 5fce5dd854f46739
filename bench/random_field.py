"""Scores of trained segmentations after each iteration of a random field on top of them.

    python -m bench.random_field --runs runs/scenes/seed=* \\
        --save=experiments/results/fcn_random_field.json

The measurement of --mode=iterations on the test sets of several runs. The row for 0 iterations
shows the network alone. A network that was trained without a random field gets an untrained one.
"""

import argparse
from pathlib import Path

from bench.results import measure_variants, write_result
from experiments.image.random_field import field_answers, iteration_scores
from train.trained import TrainedRun


def measure(run: TrainedRun) -> dict[int, dict[str, float]]:
    """Scores of the test set by the number of iterations."""
    found = iteration_scores(run, field_answers(run), run.held_out("test"))
    return {
        step: {f"test/{name}": value for name, value in scores.items()}
        for step, scores in enumerate(found)
    }


def main() -> None:
    """Print the scores of each number of iterations; with --save write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="run directories")
    parser.add_argument("--save", type=Path, help="result file to write")
    args = parser.parse_args()
    groups = measure_variants(args.runs, measure, "iterations")
    for group in groups:
        print(group.label, *(f"{value:.4f}" for value in group.values("test/mean_iu")), sep="\t")
    if args.save:
        write_result("random_field", groups, "test/mean_iu", args.save)


if __name__ == "__main__":
    main()
