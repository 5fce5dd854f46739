"""Finished runs that a benchmark measures again; its result has the format of a sweep."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.report.report import summary
from experiments.report.runs import Group
from train.rundir import machine


def write_result(name: str, groups: Sequence[Group], metric: str, save: Path) -> None:
    """Write the results of the benchmark `name` for groups of runs to a file, with its command.

    A run is in the folder of its sweep; of an absolute path, only these two names are recorded.
    """
    folders = {str(run.path) for group in groups for run in group.runs}
    words = [
        "/".join(["runs", *Path(word).parts[-2:]])
        if word in folders and Path(word).is_absolute()
        else word
        for word in sys.argv[1:]
    ]
    command = " ".join([f"python -m bench.{name}", *words])
    result = summary(groups, metric, command) | {"machine": machine()}
    save.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
