"""Files in a folder that belong to no run: training must not add a run's files to them."""

import os
from fnmatch import fnmatch
from pathlib import Path

from .config import ConfigError

# what a run has written before its config, or still has when it was killed while being removed
EARLY = ("data.json", "environment.json", "flags.txt", "batch.json", "assets", "*.part")
# outputs of a run that a shell or Slurm has opened before the run starts; an empty file system
BESIDE = ("*.log", "*.out", "*.err", "log.txt", "lost+found", ".*")
MARKS = ("config.json", "replicas.json", "attempts.jsonl", "result.json")  # of runs and replicas
SHOWN = 3


def check_folder(workdir: Path) -> None:
    """Raise ConfigError when a folder has files, but neither those of a run nor only its logs.

    A folder in which a run was killed at any moment is not refused.
    """
    try:
        names = sorted(os.listdir(workdir))
    except OSError:  # it does not exist, or opening it says what is wrong
        return
    others = [name for name in names if not any(fnmatch(name, x) for x in (*EARLY, *BESIDE))]
    # asked after the names: another process of the same run may be writing its first files
    if others and not any((workdir / name).exists() for name in MARKS):
        listed = ", ".join([*others[:SHOWN], *["..."][: len(others) - SHOWN]])
        raise ConfigError(
            f"workdir {workdir} is not empty and contains no run, but {listed}: give another "
            "--workdir, such as a new folder"
        )
