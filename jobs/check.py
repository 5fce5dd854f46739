"""Validation of all settings before any run starts, in one process that imports the experiment."""

import json
import subprocess
import sys
from collections.abc import Sequence

from jobs.run import Run, environment
from jobs.sweep import UsageError


def check_runs(experiment: str, runs: Sequence[Run]) -> list[int]:
    """Return the number of steps of each run, if the experiment accepts all settings.

    Raises UsageError naming the first run with an invalid setting or an unusable folder.
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
        message = done.stderr.strip() or f"the check of the settings exited with {done.returncode}"
        raise UsageError(message.splitlines()[-1].removeprefix("error: "))
    return json.loads(done.stdout)
