"""Finished runs that are measured anew: they are opened, and the result has a sweep's form."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.report.report import summary
from experiments.report.runs import Group
from train.cli import load_run, parse
from train.evaluate import Predictor
from train.rundir import machine
from train.task import Experiment


def trained(module: Any, folder: Path) -> tuple[Any, Experiment, Predictor]:
    """Return (config, experiment, network at its best checkpoint) of a run of a module's."""
    words = [module.__name__, f"--workdir={folder}", "--mode=measure"]
    config, *_ = parse(module.Config, ("train", "measure"), words)
    return config, *load_run(module.build, config, folder)


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
