"""The run of one pod of an indexed Job: the entry of the sweep that has the pod's index.

python -m jobs.pod '["EXPERIMENT", "FOLDER", [SHARED FLAGS]]' '{"overrides": [...], "steps": N}'...
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from jobs.record import add_runs
from jobs.run import make_runs
from jobs.task import work


def main(words: Sequence[str]) -> None:
    """Run the entry of index JOB_COMPLETION_INDEX; exit with the exit code of the run.

    The pod of index 0 adds all entries to sweep.json, which the machine of the launch may not see.
    """
    experiment, folder, config = json.loads(words[0])
    entries = [json.loads(word) for word in words[1:]]
    runs = make_runs(experiment, Path(folder), config, [tuple(e["overrides"]) for e in entries])
    index = int(os.environ["JOB_COMPLETION_INDEX"])
    Path(folder).mkdir(parents=True, exist_ok=True)
    if index == 0:
        add_runs(Path(folder), experiment, runs, [entry["steps"] for entry in entries])
    work(runs[index])


if __name__ == "__main__":
    main(sys.argv[1:])
