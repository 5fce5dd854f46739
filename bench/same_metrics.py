"""Compare the metrics that two checkouts of this project log, bit for bit.

    python -m bench.same_metrics OLD NEW --workdir=/tmp/same

trains every experiment of both checkouts for a few steps with its default settings and seed 0,
once with the code of OLD and once with that of NEW, both with the Python that runs this script. It
prints one line per experiment and exits with 1 when a value that OLD logs differs in NEW; values
that measure time are ignored, and NEW may log others. A finished run in --workdir is not repeated,
so after a change only --workdir/new needs to be deleted.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

TIMES = ("seconds", "per_second")


def experiments_of(checkout: Path) -> set[str]:
    """Names of the experiments of a checkout."""
    return {path.stem for path in (checkout / "experiments").glob("[!_]*.py")}


def train(checkout: Path, name: str, workdir: Path, steps: int) -> None:
    """Train one experiment with the code of a checkout, unless the run is finished.

    Raises CalledProcessError when the run fails.
    """
    command = [
        *(sys.executable, "-m", f"experiments.{name}"),
        *(f"--workdir={workdir}", f"--config.steps={steps}", "--config.seed=0"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    subprocess.run(command, cwd=checkout, env=environment, stdout=subprocess.DEVNULL, check=True)


def logged(workdir: Path) -> dict[tuple[int, str], float]:
    """Logged metrics of a run by step and name, without values that measure time."""
    lines = (workdir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return {
        (values["step"], name): value
        for values in map(json.loads, lines)
        for name, value in values.items()
        if not name.endswith(TIMES)
    }


def main() -> None:
    """Compare the two checkouts named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--workdir", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--steps", type=int, default=30, help="optimizer steps of each run")
    arguments = parser.parse_args()

    sides = {"old": arguments.old.resolve(), "new": arguments.new.resolve()}
    different = 0
    for name in sorted(set.intersection(*map(experiments_of, sides.values()))):
        metrics = []
        for side, checkout in sides.items():
            workdir = arguments.workdir.resolve() / side / name
            train(checkout, name, workdir, arguments.steps)
            metrics.append(logged(workdir))
        old, new = metrics
        differing = [f"{key[1]} of step {key[0]}" for key in old if old[key] != new.get(key)]
        different += bool(differing)
        names = sorted({name for _, name in set(new) - set(old)})
        more = f"; new: {', '.join(names)}" if names else ""
        outcome = f"DIFFERENT: {differing[0]}" if differing else f"equal ({len(old)} values)"
        print(f"{name:<20} {outcome}{more}", flush=True)
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
