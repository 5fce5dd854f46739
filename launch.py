"""Run an experiment over a sweep of settings, and report the results.

    python launch.py --experiment=char_lm --workdir=runs/cells --sweep=cell=rnn,gru,lstm \\
        --sweep=seed=0..4 --workers=2 --config.steps=2000
    python launch.py --status --workdir=runs/cells
    python launch.py --report --workdir=runs/cells
    python launch.py --report --workdir=runs/cells,runs/wide --format=markdown

Every combination gets its own run directory below --workdir. The same command continues a sweep:
finished runs are not repeated, interrupted ones are resumed. It ends with a table (mean, 95 %
interval and n over seeds) and the learning curves. This file imports no experiment: each run is a
process of its own. --report reports finished runs again, also those of several sweeps, and
--baseline, --format, --metric and --output are its options: experiments/report/report.py.

--sweep=cell=rnn,gru, --sweep=seed=0..4 and --sweep='widths=[(3,4),(5,6)]' are axes, and their
product is run. --zip=hidden=64,128 --zip=learning_rate=0.01,0.003 are paired value by value, and
the pairs multiplied by the axes. --sweep_file=FILE has one set of settings per line, such as
`cell=gru hidden=64`, multiplied by both. The folder of a run is named after its settings: first
those of its line, then of --zip, then of --sweep.

--backend=slurm submits the runs as one array job and does not wait. --slurm_partition=NAME,
--slurm_time=2:00:00 and so on are options of sbatch; --workers=N limits the number of concurrent
runs (without it, there is no limit). --backend=print starts nothing: it prints the commands, and a
script for sbatch. --backend=kubernetes prints a manifest for kubectl, or creates it with --submit;
--kubernetes_image=IMAGE and so on describe the pods. --dry_run only checks every setting.

    python launch.py --experiment=char_lm --workdir=runs/search --search=tpe --trials=40 \\
        --objective=validation/loss --space=learning_rate=1e-4..1e-1:log --space=cell=rnn,gru

lets optuna choose the settings. A trial is a run; it is stopped early when it is worse than the
median of the other trials at the same step. A range of integers is hidden=32..512, one of other
numbers dropout=0.0..0.5. --trials is the total number, over all launches. The search ends with the
best trial.
"""

import contextlib
import importlib
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from absl import flags

from jobs.check import check_runs
from jobs.choice import Choice, hint
from jobs.cluster import find_client, submit
from jobs.local import run_all
from jobs.manifest import manifest, to_yaml
from jobs.pod_options import OPTIONS as POD_OPTIONS
from jobs.pod_options import PodOptions, parse_options
from jobs.record import add_runs, check_folder
from jobs.run import ROOT, Run, environment, exit_code, is_finished, make_runs, shell_line
from jobs.sbatch import OPTIONS, sbatch_script, write_lines
from jobs.slurm import find_submitit, submit_all
from jobs.status import PREEMPTED, run_status, status_table, sweep_status
from jobs.sweep import UsageError, expand

FINAL = ("test", "heldout")  # sets that are scored at the end, after everything has been chosen
REPORT_FLAGS = ("baseline", "format", "metric", "output")  # passed to experiments.report


def define_flags() -> flags.FlagValues:
    """Flags of this command; --config.* and --flagfile belong to the experiment."""
    values = flags.FlagValues()

    def text(name: str, help: str) -> None:
        flags.DEFINE_string(name, "", help, flag_values=values)

    def texts(name: str, help: str) -> None:
        flags.DEFINE_multi_string(name, [], help, flag_values=values)

    def choice(name: str, default: str | None, choices: list[str], help: str) -> None:
        help = f"<{'|'.join(choices)}>: {help}"  # as absl writes it
        flags.DEFINE(Choice(choices), name, default, help, flag_values=values)

    def count(name: str, default: int, help: str) -> None:
        flags.DEFINE_integer(name, default, help, lower_bound=1, flag_values=values)

    text("experiment", "name of a module in experiments/")
    text("workdir", "folder of the sweep, with a subfolder for each run; several for --report: A,B")
    texts("sweep", "NAME=VALUES: an axis of the sweep; the product of all axes is run")
    texts("zip", "NAME=VALUES: an axis that is paired value by value with the other --zip")
    text("sweep_file", "file with the settings of one run per line")
    backends = ["local", "slurm", "kubernetes", "print"]
    choice("backend", "local", backends, "where to start the runs, or print their commands")
    for name in OPTIONS:
        text(f"slurm_{name}", f"option --{name.replace('_', '-')} of sbatch")
    for name, option in POD_OPTIONS.items():
        (texts if option.repeated else text)(f"kubernetes_{name}", f"{option.form}: {option.help}")
    flags.DEFINE_bool("submit", False, "create the objects of Kubernetes", flag_values=values)
    flags.DEFINE_bool("dry_run", False, "only check every setting", flag_values=values)
    count("workers", 1, "maximum number of concurrent runs")
    flags.DEFINE_bool("status", False, "only print the state of every run", flag_values=values)
    flags.DEFINE_bool("report", False, "only report the finished runs", flag_values=values)
    for name in REPORT_FLAGS:
        text(name, "option of the report; see experiments/report/report.py")
    choice("search", None, ["random", "tpe"], "let optuna choose the settings, by this sampler")
    count("trials", 20, "total number of trials of --search, over all launches")
    texts("space", "NAME=LOW..HIGH[:log] or NAME=A,B: a setting that --search chooses")
    text("objective", "metric that --search optimizes")
    directions = ["minimize", "maximize"]
    choice("direction", "minimize", directions, "whether to minimize or maximize --objective")
    text("result", "write the result to experiments/results/NAME.json")
    return values


def main(argv: list[str]) -> int:
    """Parse the flags, then print the status, or run and report; return the exit code."""
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
        raise UsageError(f"flags start with --, got {rest[1]!r}")
    if not values.workdir:
        raise UsageError("--workdir=DIR is required: the folder of the sweep")
    workdir = Path(os.path.expanduser(values.workdir)).absolute()
    report = [sys.executable, "-m", "experiments.report", f"--workdir={workdir}"]
    report += [f"--{name}={values[name].value}" for name in REPORT_FLAGS if values[name].value]
    if values.status:
        print(status_table(sweep_status(workdir)))
        return 0
    if values.report:  # of several folders, whose list only the report can split
        report[3] = f"--workdir={values.workdir}"
        return exit_code(subprocess.run(report, check=False, env=environment()).returncode)
    check_name(values.experiment)
    check_search(values, config)
    if values.search:
        code = run_trials(values, workdir, config)
        return code if values.dry_run else end(code, workdir, report)
    if values.result:
        path = ROOT / "experiments" / "results" / f"{values.result}.json"
        report += ["--save", str(path), "--command", own_command(argv)]
    return sweep(values, workdir, config, report)


def sweep(
    values: flags.FlagValues, workdir: Path, config: Sequence[str], report: Sequence[str]
) -> int:
    """Check all runs, then print, submit, or run and report; return the exit code."""
    file = Path(os.path.expanduser(values.sweep_file)) if values.sweep_file else None
    sets = expand(values.sweep, values.zip, file)
    slurm = backend_options(values, "slurm", OPTIONS, ["slurm", "print"])
    pods = pod_options(values, workdir)
    if pods and pods.hosts > 1:
        config = [*config, "--config.distributed=True"]
    runs = make_runs(values.experiment, workdir, config, sets)
    unlimited = values.backend != "local" and not values["workers"].present
    workers = len(runs) if unlimited else values.workers
    if values.result:
        if values.backend in ("kubernetes", "print"):
            raise UsageError("--result needs --backend=local or --backend=slurm")
        check_result(values.result, runs)
    if values.backend == "slurm":
        find_submitit()  # fails early: checking the settings takes a while
    client = find_client(values.kubernetes_namespace) if values.submit else None
    check_folder(workdir, values.experiment)
    steps = check_runs(values.experiment, runs)
    runs = [replace(run, steps=count) for run, count in zip(runs, steps, strict=True)]
    if values.dry_run:
        states = [run_status(run.workdir, n, None) for run, n in zip(runs, steps, strict=True)]
        print(status_table(states))
    elif values.backend == "print":
        print("\n".join(shell_line(run) for run in runs))
        print(write_lines(workdir, sbatch_script(workdir, runs, slurm, workers)))
    elif pods:
        shared = {"experiment": values.experiment, "config": config, "workers": workers}
        objects = manifest(workdir, runs, steps, pods, **shared)
        if client:
            submit(client, pods.namespace, objects)
        else:
            print(to_yaml(objects), end="")
    else:
        start = run_all if values.backend == "local" else partial(submit_all, workdir, slurm)
        with writing(workdir):
            add_runs(workdir, values.experiment, runs, steps)
            code = start(runs, steps, workers)
        if values.backend == "local" or all(run.finished for run in runs):
            return end(code, workdir, report)
        return code  # nothing to report yet
    return 0


@contextlib.contextmanager
def writing(workdir: Path) -> Iterator[None]:
    """Raise UsageError when the folder of the sweep is not writable."""
    try:
        yield
    except BrokenPipeError:  # of the output
        raise
    except OSError as error:
        raise UsageError(f"cannot write to workdir {workdir}: {error.strerror}") from error


def end(code: int, workdir: Path, report: Sequence[str]) -> int:
    """Report, unless the runs were stopped or none is finished; return the exit code."""
    results = workdir.glob("*/result.json")
    if code != PREEMPTED and any(is_finished(path.parent, 0) for path in results):
        done = subprocess.run(report, check=False, env=environment())
        return code or exit_code(done.returncode)
    return code


def backend_options(
    values: flags.FlagValues, prefix: str, names: Iterable[str], backends: Sequence[str]
) -> dict[str, Any]:
    """Flags PREFIX_NAME on the command line; UsageError when the backend ignores them."""
    chosen = {name: value for name in names if (value := values[f"{prefix}_{name}"].value)}
    if chosen and values.backend not in backends:
        needed = " or ".join(f"--backend={backend}" for backend in backends)
        raise UsageError(f"--{prefix}_{min(chosen)} needs {needed}")
    return chosen


def pod_options(values: flags.FlagValues, workdir: Path) -> PodOptions | None:
    """Options of Kubernetes, None with another backend; UsageError when they are invalid."""
    chosen = backend_options(values, "kubernetes", POD_OPTIONS, ["kubernetes"])
    if values.backend != "kubernetes":
        if values.submit:
            raise UsageError("--submit needs --backend=kubernetes")
        return None
    pods = parse_options(chosen, workdir)
    if pods.hosts > 1 and values["workers"].present:
        raise UsageError("--workers does not limit runs on several hosts: each is a JobSet")
    return pods


def check_search(values: flags.FlagValues, config: Sequence[str]) -> None:
    """Raise UsageError when flags of a search are combined with incompatible flags."""
    if not values.search:
        if values.space or values.objective:
            raise UsageError("--space and --objective need --search=tpe or --search=random")
        return
    chosen, _, metric = values.objective.partition("/")
    if metric and chosen.removesuffix("_best") in FINAL:
        raise UsageError(
            f"--objective={values.objective} would choose settings by a test set; "
            f"use --objective=validation/{metric}"
        )
    others = ("sweep", "zip", "sweep_file", "result")
    if excluded := [name for name in others if values[name].value]:
        raise UsageError(
            f"--search takes its settings from --space and does not allow --{excluded[0]}"
        )
    several = ("--config.replicas=", "--config.learning_rates=", "--config.weight_decays=")
    if excluded := [word for word in config if word.startswith(several)]:
        raise UsageError(f"--search makes one run per trial and does not allow {excluded[0]}")
    if values.backend != "local":
        raise UsageError(
            f"--search runs on this machine and does not allow --backend={values.backend}"
        )


def run_trials(values: flags.FlagValues, workdir: Path, config: Sequence[str]) -> int:
    """Run a search; return the exit code."""
    try:
        search = importlib.import_module("jobs.search")
    except ImportError as error:
        raise UsageError(f"--search needs the extra [search]: {error}") from error
    names = ("experiment", "space", "trials", "objective", "direction")
    settings = {name: values[name].value for name in names}
    spec = search.Search(folder=workdir, config=config, sampler=values.search, **settings)
    if values.dry_run:
        print(f"{values.trials} trials of {search.check(spec)[1]} steps")
        return 0
    with writing(workdir):
        return search.run_search(spec, values.workers)


def check_name(experiment: str) -> None:
    """Raise UsageError when there is no such module in experiments/."""
    names = sorted(path.stem for path in (ROOT / "experiments").glob("[!_]*.py"))
    if experiment not in names:
        wrong = f"there is no experiment {experiment!r}{hint(experiment, names)}"
        missing = "--experiment=NAME is required"
        raise UsageError(f"{wrong if experiment else missing}; available: {', '.join(names)}")


def check_result(name: str, runs: Sequence[Run]) -> None:
    """Raise UsageError when the folder of a result contains runs of another sweep."""
    if not re.fullmatch(r"\w+", name):
        raise UsageError(f"--result={name} must consist of letters, digits and _")
    own, folder = {run.workdir for run in runs}, runs[0].workdir.parent
    existing = [p.parent for level in ("*", "*/*") for p in folder.glob(f"{level}/config.json")]
    if others := [path for path in existing if not own & {path, path.parent}]:
        raise UsageError(f"--result: {min(others)} is a run of another sweep; give a new --workdir")


def own_command(argv: list[str]) -> str:
    """Return this command without paths of this machine, with the runs in runs/."""
    words = [word for word in argv[1:] if not word.startswith("--config.data_dir")]
    moved = [re.sub(r"^--workdir=.*?([^/]+)/?$", r"--workdir=runs/\1", word) for word in words]
    moved = [re.sub(r"^--sweep_file=/.*/", "--sweep_file=", word) for word in moved]
    return shlex.join(["python", "launch.py", *moved])


def command_line(argv: list[str]) -> int:
    """Call `main`; a user error is one line and exit code 2, Ctrl-C is exit code 75.

    The exit code is 141 when the output is a pipe that is no longer read.
    """
    open_streams()
    try:
        return main(argv)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the first run has started, or after the last has ended
        print("error: stopped; run the same command to continue", file=sys.stderr)
        return PREEMPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for buffered output
        return 128 + signal.SIGPIPE


def open_streams() -> None:
    """Open standard streams that are closed; make them write any text in any encoding."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(command_line(sys.argv))
