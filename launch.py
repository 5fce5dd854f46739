"""Run an experiment over a sweep of settings, and report.

    python launch.py --experiment=char_lm --workdir=runs/cells --sweep=cell=rnn,gru,lstm \\
        --sweep=seed=0..4 --workers=2 --config.steps=2000
    python launch.py --status --workdir=runs/cells
    python launch.py --report --workdir=runs/cells

One run directory per combination below --workdir. The same command again goes on: finished runs
are not repeated, interrupted ones continue. Ends with a table (mean, 95 % interval and n over
seeds) and the learning curves. This file imports no experiment: each run is a process of its own.

--backend=slurm submits the runs as one array job and does not wait; --slurm_partition=NAME,
--slurm_time=2:00:00 and so on are sbatch's options, --workers=N is how many run at a time (all of
them when it is not given). --backend=print starts nothing: it prints the commands, and the script
for sbatch.

--sweep=cell=rnn,gru, --sweep=seed=0..4 and --sweep='widths=[(3,4),(5,6)]' are axes: their product
is run. --zip=hidden=64,128 --zip=learning_rate=0.01,0.003 are paired value by value, the pairs
multiplied by the axes. --sweep_file=FILE has a set of settings a line, as in `cell=gru hidden=64`,
multiplied by both. A run's folder is named after its settings: the line's, then --zip's, then
--sweep's.

    python launch.py --experiment=char_lm --workdir=runs/search --search=tpe --trials=40 \\
        --objective=validation/loss --space=learning_rate=1e-4..1e-1:log --space=cell=rnn,gru

lets optuna choose the settings: a trial is a run, stopped early when it is worse than the median of
the others at the same step. A range of whole numbers is hidden=32..512, of others dropout=0.0..0.5.
--trials is their number in all, over all launches. Ends with the best.
"""

import difflib
import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from absl import flags

from jobs.check import check_runs
from jobs.local import run_all
from jobs.record import add_runs, check_experiment
from jobs.run import ROOT, Run, environment, exit_code, make_runs, shell_line
from jobs.sbatch import OPTIONS, sbatch_script, write_lines
from jobs.slurm import find_submitit, submit_all
from jobs.status import PREEMPTED, status_table, sweep_status
from jobs.sweep import UsageError, expand

REPORT_FLAGS = ("baseline", "format", "metric")  # handed on


def define_flags() -> flags.FlagValues:
    """Flags of this command; --config.* and --flagfile are the experiment's."""
    values = flags.FlagValues()

    def text(name, help):
        flags.DEFINE_string(name, "", help, flag_values=values)

    text("experiment", "name of a file in experiments/")
    text("workdir", "folder of the sweep, a run a sub-folder")
    flags.DEFINE_multi_string("sweep", [], "NAME=VALUES, the product is run", flag_values=values)
    flags.DEFINE_multi_string("zip", [], "NAME=VALUES, paired value by value", flag_values=values)
    text("sweep_file", "file of settings, a run a line")
    backends = ["local", "slurm", "print"]
    flags.DEFINE_enum("backend", "local", backends, "run, submit or print", flag_values=values)
    for name in OPTIONS:
        text(f"slurm_{name}", f"sbatch's --{name.replace('_', '-')}")
    flags.DEFINE_integer("workers", 1, "runs at a time in all", lower_bound=1, flag_values=values)
    flags.DEFINE_bool("status", False, "only say how far the runs are", flag_values=values)
    flags.DEFINE_bool("report", False, "only report the finished runs", flag_values=values)
    for name in REPORT_FLAGS:
        text(name, "of the report; see experiments/report/__main__.py")
    flags.DEFINE_enum("search", None, ["random", "tpe"], "optuna's sampler", flag_values=values)
    flags.DEFINE_integer("trials", 20, "of --search, in all", lower_bound=1, flag_values=values)
    flags.DEFINE_multi_string("space", [], "NAME=LOW..HIGH[:log] or NAME=A,B", flag_values=values)
    text("objective", "metric that --search makes best")
    ways = ["minimize", "maximize"]
    flags.DEFINE_enum("direction", ways[0], ways, "of the objective", flag_values=values)
    text("result", "write experiments/results/NAME.json")
    return values


def main(argv: list[str]) -> int:
    """Parse, then say how far the runs are, or run and report; returns the exit code."""
    values = define_flags()
    if {"-h", "--help"} & set(argv):
        print(__doc__.strip(), "flags:", values.get_help().strip(), sep="\n\n")
        return 0
    config = [word for word in argv[1:] if word.startswith(("--config.", "--flagfile="))]
    try:
        rest = values([word for word in argv if word not in config])
    except flags.Error as error:
        raise UsageError(str(error)) from error
    if rest[1:]:
        raise UsageError(f"flags begin with --, got {rest[1]!r}")
    if not values.workdir:
        raise UsageError("--workdir=DIR is needed: the folder of the sweep")
    workdir = Path(values.workdir).absolute()
    report = [sys.executable, "-m", "experiments.report", f"--workdir={workdir}"]
    report += [f"--{name}={values[name].value}" for name in REPORT_FLAGS if values[name].value]
    if values.status:
        print(status_table(sweep_status(workdir)))
        return 0
    if values.report:
        return exit_code(subprocess.run(report, check=False, env=environment()).returncode)
    check_name(values.experiment)
    check_search(values, config)
    if values.search:
        return end(run_trials(values, workdir, config), workdir, report)
    if values.result:
        path = ROOT / "experiments" / "results" / f"{values.result}.json"
        report += ["--save", str(path), "--command", own_command(argv)]
    return sweep(values, workdir, config, report)


def sweep(
    values: flags.FlagValues, workdir: Path, config: Sequence[str], report: Sequence[str]
) -> int:
    """Print, submit, or run and report; returns the exit code."""
    file = Path(values.sweep_file) if values.sweep_file else None
    sets = expand(values.sweep, values.zip, file)
    runs = make_runs(values.experiment, workdir, config, sets)
    options = slurm_options(values)
    all_at_once = values.backend != "local" and not values["workers"].present
    workers = len(runs) if all_at_once else values.workers
    if values.backend == "print":
        print("\n".join(shell_line(run) for run in runs))
        print(write_lines(workdir, sbatch_script(workdir, runs, options, workers)))
        return 0
    if values.result:
        check_result(values.result, runs)
    slurm = values.backend == "slurm"
    if slurm:
        find_submitit()  # before the settings are checked, which takes a while
    start = partial(submit_all, workdir, options) if slurm else run_all
    code = run_sweep(values.experiment, workdir, runs, partial(start, workers=workers))
    if slurm and not all(run.finished for run in runs):
        return code  # a report of what was just submitted says nothing
    return end(code, workdir, report)


def end(code: int, workdir: Path, report: Sequence[str]) -> int:
    """Report, unless the runs were stopped or none is finished; returns the exit code."""
    if code != PREEMPTED and any(workdir.glob("*/result.json")):
        done = subprocess.run(report, check=False, env=environment())
        return code or exit_code(done.returncode)
    return code


def slurm_options(values: flags.FlagValues) -> dict[str, str]:
    """Options of sbatch that were given; UsageError when nothing would read them."""
    every = {name: values[f"slurm_{name}"].value for name in OPTIONS}
    given = {name: value for name, value in every.items() if value}
    if given and values.backend == "local":
        raise UsageError(f"--slurm_{min(given)} needs --backend=slurm, or print")
    return given


def run_sweep(
    experiment: str,
    workdir: Path,
    runs: Sequence[Run],
    start: Callable[[Sequence[Run], Sequence[int]], int],
) -> int:
    """Check all runs, then record and start them; returns the exit code."""
    check_experiment(workdir, experiment)
    steps = check_runs(experiment, runs)
    try:
        add_runs(workdir, experiment, runs, steps)
        return start(runs, steps)
    except OSError as error:
        raise UsageError(f"cannot write to workdir {workdir}: {error.strerror}") from error


def check_search(values: flags.FlagValues, config: Sequence[str]) -> None:
    """Raise UsageError when flags of a search and others are mixed."""
    if not values.search:
        if values.space or values.objective:
            raise UsageError("--space and --objective are of a search: give --search=tpe or random")
        return
    others = ("sweep", "zip", "sweep_file", "result")
    if given := [name for name in others if values[name].value]:
        raise UsageError(f"--search takes its settings from --space: not with --{given[0]}")
    several = ("--config.replicas=", "--config.learning_rates=", "--config.weight_decays=")
    if given := [word for word in config if word.startswith(several)]:
        raise UsageError(f"--search makes one run of a trial: not with {given[0]}")
    if values.backend != "local":
        raise UsageError(f"--search runs on this machine: not with --backend={values.backend}")


def run_trials(values: flags.FlagValues, workdir: Path, config: Sequence[str]) -> int:
    """Search; returns the exit code."""
    try:
        search = importlib.import_module("jobs.search")
    except ImportError as error:
        raise UsageError(f"--search needs the extra [search]: {error}") from error
    names = ("experiment", "space", "trials", "objective", "direction")
    settings = {name: values[name].value for name in names}
    wanted = search.Search(folder=workdir, config=config, sampler=values.search, **settings)
    try:
        return search.run_search(wanted, values.workers)
    except OSError as error:
        raise UsageError(f"cannot write to workdir {workdir}: {error.strerror}") from error


def check_name(experiment: str) -> None:
    """Raise UsageError when there is no such file in experiments/."""
    there = sorted(path.stem for path in (ROOT / "experiments").glob("[!_]*.py"))
    if experiment not in there:
        near = difflib.get_close_matches(experiment, there, n=1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        raise UsageError(
            f"there is no experiment {experiment!r}{meant}; there are {', '.join(there)}"
        )


def check_result(name: str, runs: Sequence[Run]) -> None:
    """Raise UsageError when a result could not be this sweep's alone."""
    if not re.fullmatch(r"\w+", name):
        raise UsageError(f"--result={name} must be a name of letters, digits and _")
    own, folder = {run.workdir for run in runs}, runs[0].workdir.parent
    there = [path.parent for level in ("*", "*/*") for path in folder.glob(f"{level}/config.json")]
    if others := [path for path in there if not own & {path, path.parent}]:
        raise UsageError(f"--result: {min(others)} is a run of another sweep; give a new --workdir")


def own_command(argv: list[str]) -> str:
    """Return this command as it would be given elsewhere, runs in runs/."""
    words = [word for word in argv[1:] if not word.startswith("--config.data_dir")]
    moved = [re.sub(r"^--workdir=.*?([^/]+)/?$", r"--workdir=runs/\1", word) for word in words]
    moved = [re.sub(r"^--sweep_file=/.*/", "--sweep_file=", word) for word in moved]
    return shlex.join(["python", "launch.py", *moved])


def command_line(argv: list[str]) -> int:
    """Call `main`; what the user can mend is one line and exit code 2, Ctrl-C loses nothing."""
    try:
        return main(argv)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the first run was started, or after the last had ended
        print("error: stopped; the same command goes on", file=sys.stderr)
        return PREEMPTED


if __name__ == "__main__":
    sys.exit(command_line(sys.argv))
