"""Check the settings of many runs of one experiment, without training.

    python -m experiments.report.check --experiment=char_lm

reads one JSON object per line, {"name": ..., "argv": [...]} with the command line of a run, and
prints a JSON list of their numbers of steps.
"""

import dataclasses
import importlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from train.cli import parse
from train.config import ConfigError, RunConfig
from train.rundir import check_config, read_json


def check(config_class: type[RunConfig], lines: Iterable[str]) -> list[int]:
    """Steps of each run; raises ConfigError with the name of the first run that is invalid."""
    steps = []
    folders: set[Path] = set()
    for line in lines:
        run = json.loads(line)
        try:
            config, workdir, _ = parse(config_class, ("train",), run["argv"])
            config.check()
            config.check_training()
            if workdir.parent not in folders:
                check_neighbours(workdir.parent, config_class)
            check_config(workdir, config)
        except ConfigError as error:
            raise ConfigError(f"{run['name']}: {error}") from error
        folders.add(workdir.parent)
        steps.append(config.steps)
    return steps


def check_neighbours(folder: Path, config_class: type[RunConfig]) -> None:
    """Raise ConfigError when a run in the folder has a setting that this experiment lacks."""
    names = {field.name for field in dataclasses.fields(config_class)}
    for path in sorted(folder.glob("*/config.json")):
        if unknown := sorted(set(read_json(path)) - names):
            raise ConfigError(
                f"{path.parent} is a run of another experiment, which has config.{unknown[0]}: "
                "choose another --workdir"
            )


def main(argv: list[str], lines: Iterable[str]) -> None:
    """Print the steps of the runs; if one is invalid, print one line and exit with 2."""
    name = argv[1].removeprefix("--experiment=")
    try:
        print(check(importlib.import_module(f"experiments.{name}").Config, lines))
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(ConfigError.exit_code)


if __name__ == "__main__":
    main(sys.argv, sys.stdin)
