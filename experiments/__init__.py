"""Experiments: each file is one, run by `python -m experiments.NAME`; the rooms hold shared code.

Read char_lm.py first: a Config, a Task, `make_task`, and `build`, which returns an Experiment.
`open_run` opens a trained network from its run directory.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from train.trained import TrainedRun

FOLDER_MODES = {"report": "experiments.report.page:report"}  # modes of every experiment


def open_run(folder: str | Path, **settings: Any) -> "TrainedRun":
    """Open a trained run: its task, its settings and its network at the best checkpoint.

    `run.predict(batch)` returns (outputs, carry); the data of training are not needed. settings:
    those that a mode may change, such as beam_size. Raises ConfigError when the folder has no
    trained run, or when a setting does not exist or cannot be changed.
    """
    from train.trained import open_folder

    return open_folder(Path(folder), settings)
