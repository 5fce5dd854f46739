"""A search over settings: each trial is a run, which optuna proposes and may stop early."""

import collections
import difflib
import math
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from jobs import local
from jobs.check import check_runs
from jobs.record import (
    add_runs,
    check_folder,
    log_exit,
    read_json,
    read_lines,
    read_sweep,
    write_json,
)
from jobs.run import Run, make_runs
from jobs.space import Dimension, parse_space, samples
from jobs.status import PREEMPTED, STOPPED
from jobs.study import Study, Trial, open_study
from jobs.sweep import Overrides, UsageError

STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


@dataclass(frozen=True)
class Search:
    """A search for the settings of an experiment with the best `objective`, a metric.

    config: flags of all trials. trials: total number of trials, over all launches.
    """

    experiment: str
    folder: Path
    config: Sequence[str]
    space: Sequence[str]
    sampler: str
    trials: int
    objective: str
    direction: str

    @property
    def definition(self) -> dict[str, Any]:
        """The properties that must not change when a search is continued."""
        return {
            "objective": self.objective,
            "direction": self.direction,
            "space": list(self.space),
        }

    def run(self, overrides: Overrides) -> Run:
        """Return the run with these settings."""
        return make_runs(self.experiment, self.folder, self.config, [overrides])[0]


def run_search(search: Search, workers: int) -> int:
    """Run trials until there are `search.trials`; print the best one; return the exit code.

    That is 0; 1 when a trial failed; 75 when the same command has to continue some of them. Raises
    UsageError before anything starts when the search is invalid, and later when the runs do not
    measure the objective.
    """
    space, steps = check(search)
    search.folder.mkdir(parents=True, exist_ok=True)
    with open_study(search.folder, search.sampler, search.definition, space) as study:
        code = _Loop(search, study, steps, workers).run()
        write_record(search, study)
        print(summary(search, study), flush=True)
    return code


def check(search: Search) -> tuple[list[Dimension], int]:
    """Check the ends of the space, and existing runs; return the space and the steps of a run."""
    if not (search.objective and search.space):
        raise UsageError("--search needs --objective=METRIC and --space=NAME=VALUES")
    check_folder(search.folder, search.experiment)
    space = parse_space(search.space)
    names = [dimension.name for dimension in space]
    known = [tuple(run["overrides"]) for run in read_sweep(search.folder)["runs"]]
    existing = [sets for sets in known if [text.partition("=")[0] for text in sets] == names]
    sets = list(dict.fromkeys([*samples(space), *existing]))
    runs = make_runs(search.experiment, search.folder, search.config, sets)
    return space, check_runs(search.experiment, runs)[0]


@dataclass
class Attempt:
    """An active trial: its run, the run's number of steps, and whether it is being pruned."""

    trial: Trial
    run: Run
    steps: int
    pruned: bool = False


class _Loop:
    """The trials of a search that are active, and those waiting to start."""

    def __init__(self, search: Search, study: Study, steps: int, workers: int):
        self.search, self.study, self.steps = search, study, steps
        self.pool = local.Pool(workers)
        self.waiting = study.open_trials()  # from an earlier launch
        self.active: list[Attempt] = []
        self.left_open = False  # a run was stopped from outside: a later launch continues it

    def run(self) -> int:
        """Run until every trial has ended or a signal arrives; return the exit code."""
        if ended := len(self.study.trials) - len(self.waiting):
            print(f"{ended} of {self.search.trials} trials have already ended", flush=True)
        with local.stop_signals() as received:
            try:
                while not received:
                    while not self.pool.full and (trial := self.next_trial()):
                        self.start(trial)
                    if not self.active:
                        break
                    time.sleep(local.POLL_SECONDS)
                    self.update()
            finally:
                self.pool.stop()
        if received or self.left_open:
            return PREEMPTED
        return int(any(trial.state == TrialState.FAIL for trial in self.study.trials))

    def next_trial(self) -> Trial | None:
        """Return a trial that an earlier launch left open, else a new one; None at the end."""
        if self.waiting:
            return self.waiting.pop(0)
        return self.study.ask() if len(self.study.trials) < self.search.trials else None

    def start(self, trial: Trial) -> None:
        """Start the run of a trial, unless earlier runs have already determined its result."""
        settings = dict(text.split("=", 1) for text in trial.overrides)
        steps = int(settings.get("steps", self.steps))
        attempt = Attempt(trial, replace(self.search.run(trial.overrides), steps=steps), steps)
        add_runs(self.search.folder, self.search.experiment, [attempt.run], [attempt.steps])
        value = self.study.known_value(trial)
        if value is not None:
            self.tell(attempt, TrialState.COMPLETE, value)
        elif self.should_prune(attempt):
            self.tell(attempt, TrialState.PRUNED)
        else:
            self.active.append(attempt)
            self.pool.add(attempt.run)

    def update(self) -> None:
        """Stop runs that should be pruned; tell optuna about runs that have ended."""
        for attempt in self.active:
            if not attempt.pruned and self.should_prune(attempt):
                attempt.pruned = True
                self.pool.terminate(attempt.run)
        for run, code in self.pool.ended():
            attempt = next(a for a in self.active if a.run.name == run.name)
            self.active.remove(attempt)
            self.end(attempt, code)

    def should_prune(self, attempt: Attempt) -> bool:
        """True when the objective of a run is too bad to continue.

        Step 0 is ignored, since the network is untrained, and so is the last step.
        """
        curve = read_curve(attempt.run.workdir, self.search.objective)
        inner = {step: value for step, value in curve.items() if 0 < step < attempt.steps}
        return self.study.should_prune(attempt.trial, inner)

    def end(self, attempt: Attempt, code: int | None) -> None:
        """Tell optuna how a run ended. code: its exit code; None for a run of another launch."""
        run = attempt.run
        if attempt.pruned or self.should_prune(attempt):
            self.tell(attempt, TrialState.PRUNED)
        elif run.finished:
            value = self.final_value(run)
            state = TrialState.FAIL if math.isnan(value) else TrialState.COMPLETE
            self.tell(attempt, state, value)
        elif code is None:
            self.active.append(attempt)
            self.pool.add(run)
        elif code in STOPPED:
            self.left_open = True
            print(f"{run.name}: stopped; run the same command to continue", flush=True)
        else:
            local.print_end(run, code)
            self.tell(attempt, TrialState.FAIL)

    def final_value(self, run: Run) -> float:
        """Return the objective at the end of a run; UsageError when it is not among its metrics."""
        metrics = read_json(run.workdir / "result.json")["metrics"]
        name = self.search.objective
        if name not in metrics:
            near = difflib.get_close_matches(name, metrics, n=1, cutoff=0.0)
            raise UsageError(
                f"--objective={name} is not measured by these runs (did you mean {near[0]}?)"
            )
        return metrics[name]

    def tell(self, attempt: Attempt, state: TrialState, value: float = math.nan) -> None:
        """Record the end of a trial with optuna, in search.json and on the terminal."""
        self.study.tell(attempt.trial, state, value if state == TrialState.COMPLETE else None)
        if state == TrialState.PRUNED:
            log_exit(self.search.folder, attempt.run.name, PREEMPTED, pruned=True)
        write_record(self.search, self.study)
        result = f"{value:.6g}" if state == TrialState.COMPLETE else STATES[state]
        print(f"trial {attempt.trial.number}: {result}  {attempt.run.name}", flush=True)


def read_curve(workdir: Path, metric: str) -> dict[int, float]:
    """Values of a metric in metrics.jsonl by step."""
    lines = read_lines(workdir / "metrics.jsonl", {"step": int})
    return {line["step"]: line[metric] for line in lines if metric in line}


def write_record(search: Search, study: Study) -> None:
    """Write search.json: the definition of the search, and the state of every trial."""
    trials = [
        {
            "number": t.number,
            "settings": study.settings(t),
            "state": STATES.get(t.state, "open"),
            "value": t.value,
        }
        for t in study.trials
    ]
    write_json(search.folder / "search.json", {**search.definition, "trials": trials})


def summary(search: Search, study: Study) -> str:
    """Number of trials in each state, and the settings of the best one."""
    counts = collections.Counter(STATES.get(trial.state, "open") for trial in study.trials)
    states = [state for state in (*STATES.values(), "open") if counts[state]]
    listed = ", ".join(f"{counts[state]} {state}" for state in states)
    lines = [f"{len(study.trials)} of {search.trials} trials: {listed}"]
    if best := study.best:
        trial, value = best
        lines.append(f"best: trial {trial.number}, {search.objective} {value:.6g}")
        lines.append("  " + shlex.join(f"--config.{text}" for text in trial.overrides))
    return "\n".join(lines)
