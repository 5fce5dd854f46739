"""Results of finished runs that are measured anew, in the form of a sweep's."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments._report import summary
from experiments._runs import Group
from train.rundir import machine


def write_result(name: str, groups: Sequence[Group], metric: str, save: Path) -> None:
    """Write what the benchmark `name` measured of groups of runs to a file, with its command.

    A run lies in the folder of its sweep: of an absolute path the last two parts are recorded.
    """
    folders = {str(run.path) for group in groups for run in group.runs}
    words = [
        "/".join(["runs", *Path(word).parts[-2:]])
        if word in folders and Path(word).is_absolute()
        else word
        for word in sys.argv[1:]
    ]
    command = " ".join([f"python -m bench.{name}", *words])
    found = summary(groups, metric, command) | {"machine": machine()}
    save.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
