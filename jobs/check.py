"""The check of all settings before anything starts, in one process of the experiment's side."""

import json
import subprocess
import sys
from collections.abc import Sequence

from jobs.run import Run, environment
from jobs.sweep import UsageError


def check_runs(experiment: str, runs: Sequence[Run]) -> list[int]:
    """Return how many steps each run takes, once the experiment accepts all their settings.

    Raises UsageError naming the first run whose settings, or whose folder, cannot be used.
    """
    lines = [json.dumps({"name": run.name, "argv": run.command[2:]}) for run in runs]
    done = subprocess.run(
        [sys.executable, "-m", "experiments.report.check", f"--experiment={experiment}"],
        input="\n".join(lines),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip() or f"the check of the settings ended with {done.returncode}"
        raise UsageError(said.splitlines()[-1].removeprefix("error: "))
    return json.loads(done.stdout)
