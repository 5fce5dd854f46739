"""Verify a row of experiments/README.md: train its first run again, and compare its figure.

    make verify ROW=C8 VERIFY_FLAGS='--data_dir=/data'
    python -m bench.verify lenet5_modern sentiment_mr --data_dir=/data

A row is the name of a system, such as C8, or of one of its results. The first run of the recorded
command is started again, as it is recorded, in a folder below --workdir. A run that took at most
--minutes is trained to its end, and its headline metric is compared with those of the recorded
seeds. A longer one is stopped at the last recorded point of its learning curve that it should reach
in this time, and compared there; --whole trains it to its end. `--data_dir` replaces DATA_DIR in
the command; prepared datasets are found by TFDS_DATA_DIR.

A figure agrees when it lies in the interval that should contain one more seed of the recorded
study with a probability of 99 % (Student's t), or is within 1 % of the mean. Fewer than three seeds
give no interval: it is then within 10 % of the mean. The exit code is 1 when a figure disagrees,
and when a run fails.
"""

import argparse
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import stdtrit

import launch
from experiments.report.runs import load_runs
from experiments.report.study import is_value, nearest
from experiments.report.systems import read_systems
from jobs.run import Run, environment, make_runs
from jobs.sweep import expand

ROOT = Path(__file__).resolve().parents[1]
CONFIDENCE, LEAST, UNKNOWN = 0.99, 0.01, 0.1
SECOND = 1.0


class Point(NamedTuple):
    """Recorded values of a metric, one per seed; step: None at the end of the run."""

    metric: str
    values: Sequence[float]
    step: int | None = None


def bounds(values: Sequence[float]) -> tuple[float, float]:
    """Interval in which the value of one more seed should lie; see above."""
    mean, count = float(np.mean(values)), len(values)
    if count < 3:
        half = UNKNOWN * abs(mean)
    else:
        spread = float(np.std(values, ddof=1)) * (1 + 1 / count) ** 0.5
        half = max(float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * spread, LEAST * abs(mean))
    return mean - half, mean + half


def first_run(command: str, workdir: Path, data_dir: str) -> Run:
    """Return the first run of a recorded command of launch.py.

    Raises ValueError for another command, which has no run of its own.
    """
    words = shlex.split(command.replace("DATA_DIR", data_dir) if data_dir else command)
    if words[:2] != ["python", "launch.py"]:
        raise ValueError(f"made by another command, which is not a training: {command}")
    if not data_dir and "DATA_DIR" in command.replace("TFDS_DATA_DIR", ""):
        raise ValueError("needs its data: --data_dir=DIR, the folder that contains them")
    config = [word for word in words if word.startswith(("--config.", "--flagfile="))]
    values = launch.define_flags()
    values([word for word in words[1:] if word not in config])
    sets = expand(values.sweep, values.zip, Path(values.sweep_file) if values.sweep_file else None)
    return make_runs(values.experiment, workdir, config, sets[:1])[0]


def row_of(run: Run, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the recorded row that has the settings of a run."""
    own = dict(text.split("=", 1) for text in run.overrides)
    return next(
        row
        for row in rows
        if all(
            is_value(value, own.get(name, str(value))) for name, value in row["settings"].items()
        )
    )


def point_of(result: Mapping[str, Any], row: Mapping[str, Any], seconds: float) -> Point:
    """Return what a run of `seconds` can be compared with: the end, or a point of the curve.

    Raises ValueError when the run takes longer than its first point.
    """
    taken = max((s for s in row["seconds"] if s is not None), default=float("inf"))
    taken *= {**result["config"], **row["settings"]}.get("replicas", 1)  # a share of their time
    if taken <= seconds:
        metric = result["metric"]
        return Point(metric, row["metrics"][metric])
    curve = row.get("curve", {"steps": [], "values": []})
    reached = [
        (step, values)
        for step, values in zip(curve["steps"], curve["values"], strict=True)
        if 0 < step <= seconds / taken * curve["steps"][-1]
    ]
    if not reached:
        raise ValueError(
            f"a run takes {taken / 60:.0f} minutes, and no point of a learning curve is recorded "
            "before: --whole trains it to its end"
        )
    step, values = reached[-1]
    return Point(curve["metric"], values, step)


def measured(run: Run, point: Point, seeds: Sequence[int]) -> list[float]:
    """Train until the point; return the metric of the finished or stopped run, one value a seed.

    Raises ValueError when the run fails.
    """
    process = subprocess.Popen(run.command, cwd=ROOT, env=environment(), stdout=sys.stderr)
    try:
        while process.poll() is None:
            time.sleep(SECOND)
            if point.step is not None and values_at(run.workdir, point, seeds):
                break
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)  # the run saves its state and ends
        process.wait()
    if values := values_at(run.workdir, point, seeds):
        return values
    raise ValueError(f"the run ended with code {process.returncode}: {shlex.join(run.command)}")


def values_at(folder: Path, point: Point, seeds: Sequence[int]) -> list[float]:
    """Values of the metric at a point, for each recorded seed whose run has reached it."""
    runs = [run for run in load_runs(folder) if run.config["seed"] in seeds]
    if point.step is None:
        return [run.result["metrics"][point.metric] for run in runs if run.result]
    curves = [run.curve(point.metric) for run in runs]
    return [curve[point.step] for curve in curves if point.step in curve]


def results_of(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Recorded results by name, for names of systems or of results.

    Raises ValueError, with the nearest, for a name that is neither.
    """
    found: dict[str, dict[str, Any]] = {}
    systems = read_systems(ROOT / "experiments")
    every = {
        name: (system["id"], result)
        for system, results in systems
        for name, result in zip(system.get("results", []), results, strict=True)
    }
    known = sorted({*every, *(system for system, _ in every.values())})
    for wanted in names:
        if wanted not in known:
            raise ValueError(
                f"no row {wanted!r} has a result (did you mean {nearest(wanted, known)}?)"
            )
        found |= {n: result for n, (system, result) in every.items() if wanted in (n, system)}
    return found


def verify(name: str, result: Mapping[str, Any], workdir: Path, data: str, seconds: float) -> bool:
    """Train the first run of a result again and print one line; False if the figure disagrees."""
    try:
        run = first_run(result["command"], workdir / name, data)
        row = row_of(run, result["rows"])
        point = point_of(result, row, seconds)
    except ValueError as error:
        print(f"{name}: not checked; {error}", flush=True)
        return True
    low, high = bounds(point.values)
    where = "at the end" if point.step is None else f"at step {point.step}"
    try:
        values = measured(run, point, row["seeds"])
    except ValueError as error:
        print(f"{name}: FAILED; {error}", flush=True)
        return False
    agrees = all(low <= value <= high for value in values)
    text = ", ".join(f"{value:.4f}" for value in values[:5]) + ", ..." * (len(values) > 5)
    verdict = "agrees" if agrees else "DISAGREES"
    print(
        f"{name}: {point.metric} {where} {text}; expected {low:.4f} to {high:.4f}: {verdict}",
        flush=True,
    )
    return agrees


def main() -> None:
    """Verify the rows named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("rows", nargs="+", help="names of systems or results, such as C8")
    parser.add_argument("--data_dir", default="", help="folder that takes the place of DATA_DIR")
    parser.add_argument("--minutes", type=float, default=5.0, help="longest recorded time of a run")
    parser.add_argument("--whole", action="store_true", help="train every run to its end")
    parser.add_argument("--workdir", type=Path, help="folder of the runs; default: a temporary one")
    options = parser.parse_args()
    seconds = float("inf") if options.whole else 60 * options.minutes
    try:
        results = results_of(options.rows)
    except ValueError as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory() as folder:
        workdir = (options.workdir or Path(folder)).absolute()
        agree = [
            verify(name, result, workdir, options.data_dir, seconds)
            for name, result in results.items()
        ]
    sys.exit(not all(agree))


if __name__ == "__main__":
    main()
