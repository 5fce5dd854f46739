"""--mode=restarts: the best of several runs that differ in the seed, by validation loss."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from train.trained import TrainedRun


def expected_of_best(losses: Sequence[float], values: Sequence[float]) -> list[float]:
    """Expected value of the run with the lowest loss among k, for k = 1 .. N.

    The k runs are drawn from the N without replacement; the mean over all draws is exact: of the
    C(N, k) draws, C(N - i, k - 1) have the i-th best run as their best, i = 1 .. N.
    """
    ordered, count = np.asarray(values)[np.argsort(losses, kind="stable")], len(values)
    return [
        sum(math.comb(count - i, k - 1) * value for i, value in enumerate(ordered, 1))
        / math.comb(count, k)
        for k in range(1, count + 1)
    ]


def sibling_runs(workdir: Path) -> dict[str, Mapping[str, Any]]:
    """Results by folder of all finished runs next to a run that differ from it only in the seed."""

    def settings(folder: Path) -> dict[str, Any]:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return {name: value for name, value in values.items() if name != "seed"}

    own, found = settings(workdir), {}
    for path in sorted(workdir.resolve().parent.glob("*/result.json")):
        if (path.parent / "config.json").is_file() and settings(path.parent) == own:
            found[path.parent.name] = json.loads(path.read_text(encoding="utf-8"))
    return found


def restarts(run: TrainedRun) -> None:
    """Print the runs next to this one, best first, and what the best of k runs reaches."""
    results = sibling_runs(run.workdir)
    names = ("validation/loss", "validation/accuracy", "test/accuracy")
    rows = {folder: [each["metrics"][name] for name in names] for folder, each in results.items()}
    print("run", *names, sep="\t")
    for folder, values in sorted(rows.items(), key=lambda row: row[1][0]):
        print(folder, *(f"{value:.4f}" for value in values), sep="\t")
    losses, _, tests = zip(*rows.values(), strict=True)
    print("\nrestarts\texpected test/accuracy of the run with the lowest validation loss")
    for count, value in enumerate(expected_of_best(losses, tests), 1):
        print(count, f"{value:.4f}", sep="\t")
