"""Average precision of R-CNN's published classifier and regression beside that of the network.

    python -m bench.published_detector --runs runs/rcnn/seed=* \\
        --save=experiments/results/rcnn_svm.json

The measurement of --mode=svm for several runs: linear support vector machines and ridge regressions
on the features of the trained network.
"""

import argparse
from pathlib import Path

from bench.results import measure_variants, write_result
from experiments.image.published_detector import compare


def main() -> None:
    """Print the precision of each classifier; with --save write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="run directories")
    parser.add_argument("--save", type=Path, help="result file to write")
    args = parser.parse_args()
    groups = measure_variants(args.runs, compare, "classifier")
    for group in groups:
        print(group.label, *(f"{value:.4f}" for value in group.values("test/map")), sep="\t")
    if args.save:
        write_result("published_detector", groups, "test/map", args.save)


if __name__ == "__main__":
    main()
