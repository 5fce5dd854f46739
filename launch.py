"""Run an experiment over a sweep of settings, and report.

    python launch.py --experiment=char_lm --workdir=runs/cells --sweep=cell=rnn,gru,lstm \\
        --sweep=seed=0..4 --workers=2 --config.steps=2000

One run directory per combination below --workdir. The same command again goes on: finished runs
are not repeated, interrupted ones continue. Ends with a table (mean, 95 % interval and n over
seeds) and the learning curves. This file imports no experiment: each run is a process of its own.
"""

import ast
import contextlib
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
LONGEST_NAME = 200


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

    @property
    def exit_code(self) -> int | None:
        """None while the run goes on; 128 + N when signal N ended it."""
        code = self.process.poll() if self.process else None
        return 128 - code if code is not None and code < 0 else code

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
        found = [str(i) for i in range(low, high + 1)]
    elif values.startswith("["):
        try:
            found = [str(item) for item in ast.literal_eval(values)]
        except (SyntaxError, TypeError, ValueError) as error:
            raise UsageError(f"--sweep={text}: {values} is not a Python list") from error
    else:
        found = values.split(",")
    if not found:
        raise UsageError(f"--sweep={text} has no values")
    return name, found


def make_jobs(experiment: str, workdir: Path, sweep: list[str], config: list[str]) -> list[Job]:
    """List the runs of the product of all axes, named after their settings."""
    axes = [parse_axis(text) for text in sweep]
    jobs: list[Job] = []
    for values in itertools.product(*(found for _, found in axes)):
        overrides = [f"{name}={value}" for (name, _), value in zip(axes, values, strict=True)]
        name = re.sub(r"[^\w.=,+-]+", "_", ",".join(overrides)) or "run"
        path = workdir / name
        flags_of_run = [f"--config.{text}" for text in overrides]
        command = [sys.executable, "-m", f"experiments.{experiment}", f"--workdir={path}"]
        jobs.append(Job(name, path, [*command, *config, *flags_of_run]))
    names = [job.name for job in jobs]
    if len({name for name, _ in axes}) < len(axes):
        raise UsageError("two --sweep flags are of the same setting: give all its values in one")
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"two runs of the sweep would have the same folder: {sorted(twice)[0]}")
    if long := [name for name in names if len(name) > LONGEST_NAME]:
        raise UsageError(f"the name of a run is too long for a folder: {long[0][:60]}...")
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
        print(f"{len(jobs) - len(waiting)} of {len(jobs)} runs are finished already", flush=True)
    running: list[Job] = []
    failed: dict[str, int] = {}
    free = list(range(workers))
    live = bool(waiting) and sys.stderr.isatty()
    bar = tqdm(total=0, unit="step", dynamic_ncols=True, disable=not live)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while waiting or running:
            while waiting and free:
                job = waiting.pop(0)
                start(job, free.pop(0), workers)
                running.append(job)
            time.sleep(POLL_SECONDS)
            for job in [job for job in running if job.exit_code is not None]:
                running.remove(job)
                free.append(job.slot)
                if job.exit_code:
                    failed[job.name] = job.exit_code
                tell_end(job, bar)
            show(bar, jobs, running)
    except KeyboardInterrupt:
        return 75
    finally:
        bar.close()
        stop(jobs)
        signal.signal(signal.SIGTERM, before)
    codes = set(failed.values())
    return 0 if not codes else codes.pop() if len(codes) == 1 else 1


def tell_end(job: Job, bar: tqdm) -> None:
    """Say how a run ended; a failure goes to stderr, and leaves no folder that it did not make."""
    bar.clear()
    if not job.exit_code:
        print(f"{job.name}: finished", flush=True)
        return
    print(f"error: {job.name}: exit {job.exit_code}: {job.last_words()}", file=sys.stderr)
    if job.workdir.exists():
        print(f"all it said: {job.log}", file=sys.stderr)
    else:
        job.log.unlink()
        with contextlib.suppress(OSError):  # other runs are in it
            job.workdir.parent.rmdir()


def stop(jobs: list[Job]) -> None:
    """Tell every run that is still going to save and stop, and wait for it."""
    going = [job.process for job in jobs if job.process and job.process.poll() is None]
    if going:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C loses nothing
        print("stopping: every run is saved and goes on with the same command", flush=True)
        for process in going:
            process.send_signal(signal.SIGTERM)
        for process in going:
            process.wait()
        signal.signal(signal.SIGINT, before)


def show(bar: tqdm, jobs: list[Job], running: list[Job]) -> None:
    """Bring the progress bar up to date from the run directories."""
    progress = {job.name: job.progress() for job in jobs}
    known = max((steps for _, steps in progress.values()), default=0)
    bar.total = sum(steps or known for _, steps in progress.values())
    bar.n = sum(step for step, _ in progress.values())
    bar.set_postfix_str(" | ".join(f"{job.name} {progress[job.name][0]}" for job in running))


def own_command(argv: list[str]) -> str:
    """Return this command as it would be given elsewhere, runs in runs/."""
    words = [word for word in argv[1:] if not word.startswith("--config.data_dir")]
    moved = [re.sub(r"^--workdir=.*?([^/]+)/?$", r"--workdir=runs/\1", word) for word in words]
    return shlex.join(["python", "launch.py", *moved])


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
    config = [word for word in argv[1:] if word.startswith(("--config.", "--flagfile="))]
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
    report = [sys.executable, "-m", "experiments._report", "--workdir", str(workdir)]
    if values.result:
        check_result(values.result, jobs)
        path = ROOT / "experiments" / "results" / f"{values.result}.json"
        report += ["--save", str(path), "--command", own_command(argv)]
    try:
        code = run_all(jobs, values.workers)
    except OSError as error:
        raise UsageError(f"cannot write to workdir {workdir}: {error.strerror}") from error
    if code != 75 and any(job.finished for job in jobs):
        done = subprocess.run(report, check=False, env=child_environment())
        return code or done.returncode
    return code


def check_result(name: str, jobs: list[Job]) -> None:
    """Raise UsageError when a result could not be this sweep's alone."""
    if not re.fullmatch(r"\w+", name):
        raise UsageError(f"--result={name} must be a name of letters, digits and _")
    others = {path.parent for path in jobs[0].workdir.parent.glob("*/config.json")}
    if others := others - {job.workdir for job in jobs}:
        raise UsageError(f"--result: {min(others)} is a run of another sweep; give a new --workdir")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv))
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
