"""Run an experiment over a sweep of settings, and report.

    python launch.py --experiment=char_lm --workdir=runs/cells --sweep=cell=rnn,gru,lstm \\
        --sweep=seed=0..4 --workers=2 --config.steps=2000

One run directory per combination below --workdir. The same command again goes on: finished runs
are not repeated, interrupted ones continue. Ends with a table (mean, 95 % interval and n over
seeds) and the learning
curves. This file imports no experiment: each run is a process of its own.
"""

import ast
import difflib
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from absl import flags
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent
POLL_SECONDS = 0.3


class UsageError(ValueError):
    """A command line that cannot be used."""


@dataclass
class Job:
    """One run of the sweep."""

    name: str
    workdir: Path
    command: list[str]
    process: subprocess.Popen | None = field(default=None, repr=False)
    slot: int = 0

    @property
    def log(self) -> Path:
        """What the run prints."""
        return self.workdir.parent / f"{self.name}.log"

    @property
    def finished(self) -> bool:
        """True once result.json is there."""
        return (self.workdir / "result.json").is_file()

    def progress(self) -> tuple[int, int]:
        """Return (step, steps), as far as the run directory tells."""
        try:
            steps = json.loads((self.workdir / "config.json").read_text())["steps"]
            if self.finished:
                return steps, steps
            with open(self.workdir / "metrics.jsonl", "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
                lines = [line for line in file.read().split(b"\n")[:-1] if line.endswith(b"}")]
            return (json.loads(lines[-1])["step"] if lines else 0), steps
        except (OSError, ValueError):  # not begun, or being written at this moment
            return 0, 0

    def last_words(self) -> str:
        """Last line of the log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "no output"


def parse_axis(text: str) -> tuple[str, list[str]]:
    """'cell=rnn,gru' -> ('cell', ['rnn', 'gru']); 'seed=0..2' and '=[(3,4),(5,6)]' as well."""
    name, equals, values = text.partition("=")
    if not (name.isidentifier() and equals and values):
        raise UsageError(f"--sweep={text} must be NAME=VALUES, as in cell=rnn,gru or seed=0..4")
    if bounds := re.fullmatch(r"(-?\d+)\.\.(-?\d+)", values):
        low, high = map(int, bounds.groups())
        if low > high:
            raise UsageError(f"--sweep={text}: the range is empty")
        return name, [str(i) for i in range(low, high + 1)]
    if values.startswith("["):
        try:
            return name, [str(item) for item in ast.literal_eval(values)]
        except (SyntaxError, ValueError) as error:
            raise UsageError(f"--sweep={text}: {values} is not a Python list") from error
    return name, values.split(",")


def make_jobs(experiment: str, workdir: Path, sweep: list[str], config: list[str]) -> list[Job]:
    """List the runs of the product of all axes, named after their settings."""
    axes = dict(parse_axis(text) for text in sweep)
    jobs = []
    for values in itertools.product(*axes.values()):
        overrides = [f"{name}={value}" for name, value in zip(axes, values, strict=True)]
        name = re.sub(r"[^\w.=,+-]+", "_", ",".join(overrides)) or "run"
        path = workdir / name
        flags_of_run = [f"--config.{text}" for text in overrides]
        command = [sys.executable, "-m", f"experiments.{experiment}", f"--workdir={path}"]
        jobs.append(Job(name, path, [*command, *config, *flags_of_run]))
    return jobs


def child_environment() -> dict[str, str]:
    """Environment in which the project is found from any folder, so that relative paths hold."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}


def start(job: Job, slot: int, workers: int) -> None:
    """Start a run; with several workers each gets its own share of the cores."""
    job.slot = slot
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    share = cores[slot::workers] if 1 < workers <= len(cores) else []
    job.workdir.parent.mkdir(parents=True, exist_ok=True)
    if share:  # a child has the affinity of the thread that starts it
        os.sched_setaffinity(0, share)
    with open(job.log, "ab") as log:
        job.process = subprocess.Popen(
            job.command,
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches this process alone, which passes it on once
        )
    if share:
        os.sched_setaffinity(0, cores)


def run_all(jobs: list[Job], workers: int) -> int:
    """Run what is not finished, `workers` at a time; returns the exit code of the whole."""
    waiting = [job for job in jobs if not job.finished]
    if len(waiting) < len(jobs):
        print(f"{len(jobs) - len(waiting)} of {len(jobs)} runs are finished already")
    running: list[Job] = []
    failed: dict[str, int] = {}
    free = list(range(workers))
    bar = tqdm(
        total=0, unit="step", dynamic_ncols=True, disable=not (waiting and sys.stderr.isatty())
    )
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while waiting or running:
            while waiting and free:
                job = waiting.pop(0)
                start(job, free.pop(0), workers)
                running.append(job)
            time.sleep(POLL_SECONDS)
            for job in [job for job in running if job.process and job.process.poll() is not None]:
                running.remove(job)
                free.append(job.slot)
                code = job.process.returncode if job.process else 1
                if code:
                    failed[job.name] = code
                tqdm.write(
                    f"{job.name}: {'finished' if not code else f'exit {code}'}: {job.last_words()}"
                )
            show(bar, jobs, running)
    except KeyboardInterrupt:
        bar.close()
        print("stopping: every run is saved and goes on with the same command", flush=True)
        for job in running:
            if job.process:
                job.process.send_signal(signal.SIGTERM)
        for job in running:
            if job.process:
                job.process.wait()
        return 75
    finally:
        bar.close()
        signal.signal(signal.SIGTERM, previous)
    codes = set(failed.values())
    return 0 if not codes else codes.pop() if len(codes) == 1 else 1


def show(bar: tqdm, jobs: list[Job], running: list[Job]) -> None:
    """Bring the progress bar up to date from the run directories."""
    progress = {job.name: job.progress() for job in jobs}
    known = max((steps for _, steps in progress.values()), default=0)
    bar.total = sum(steps or known for _, steps in progress.values())
    bar.n = sum(step for step, _ in progress.values())
    bar.set_postfix_str(" | ".join(f"{job.name} {progress[job.name][0]}" for job in running))


def own_command(argv: list[str]) -> str:
    """Return this command as another machine would give it: its data folder is in TFDS_DATA_DIR."""
    words = [word for word in argv[1:] if not word.startswith("--config.data_dir")]
    return shlex.join(["python", "launch.py", *words])


def main(argv: list[str]) -> int:
    """Parse, run, report."""
    values = flags.FlagValues()
    flags.DEFINE_string("experiment", "", "name of a file in experiments/", flag_values=values)
    flags.DEFINE_string(
        "workdir", "", "folder of the sweep, a run a sub-folder", flag_values=values
    )
    flags.DEFINE_multi_string("sweep", [], "NAME=VALUES, the product is run", flag_values=values)
    flags.DEFINE_enum("backend", "local", ["local", "print"], "run, or print", flag_values=values)
    flags.DEFINE_integer("workers", 1, "runs at a time", lower_bound=1, flag_values=values)
    flags.DEFINE_string("result", "", "write experiments/results/NAME.json", flag_values=values)
    config = [word for word in argv[1:] if word.startswith("--config.")]
    if {"-h", "--help"} & set(argv):
        print(__doc__.strip(), "flags:", values.get_help().strip(), sep="\n\n")
        return 0
    try:
        rest = values([word for word in argv if word not in config])
    except flags.Error as error:
        raise UsageError(str(error)) from error
    if rest[1:]:
        raise UsageError(f"flags begin with --, got {rest[1]!r}")
    there = sorted(path.stem for path in (ROOT / "experiments").glob("[!_]*.py"))
    if values.experiment not in there:
        near = difflib.get_close_matches(values.experiment, there, n=1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        raise UsageError(
            f"there is no experiment {values.experiment!r}{meant}; there are {', '.join(there)}"
        )
    if not values.workdir:
        raise UsageError("--workdir=DIR is needed: the folder of the sweep")
    workdir = Path(values.workdir).absolute()
    jobs = make_jobs(values.experiment, workdir, values.sweep, config)
    if values.backend == "print":
        print("\n".join(shlex.join(job.command) for job in jobs))
        return 0
    code = run_all(jobs, values.workers)
    if any(job.finished for job in jobs):
        save = ["--save", str(ROOT / "experiments" / "results" / f"{values.result}.json")]
        command = ["--command", own_command(argv)]
        report = [sys.executable, "-m", "train.report", "--workdir", str(workdir)]
        done = subprocess.run(
            [*report, *(save + command if values.result else [])],
            env=child_environment(),
            check=False,
        )
        return code or done.returncode
    return code


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv))
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
