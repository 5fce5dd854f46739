"""A search over settings: each trial is a run, proposed and stopped early by optuna."""

import collections
import difflib
import math
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from jobs import local
from jobs.check import check_runs
from jobs.record import (
    add_runs,
    check_experiment,
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

SAID = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


@dataclass(frozen=True)
class Search:
    """What is searched for: settings of an experiment that lead to the best `objective`.

    config: flags that all trials share. trials: their number in the end. objective: a metric.
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
        """What a search that goes on must have in common with the one that was begun."""
        return {
            "objective": self.objective,
            "direction": self.direction,
            "space": list(self.space),
        }

    def run(self, overrides: Overrides) -> Run:
        """The run that has these settings."""
        return make_runs(self.experiment, self.folder, self.config, [overrides])[0]


def run_search(search: Search, workers: int) -> int:
    """Run trials until there are as many as wanted; say which is the best; return the exit code.

    That is 0; 1 when a trial failed; 75 when some are to go on with the same command. Raises
    UsageError before anything starts when the search cannot be made, and later when the runs do not
    measure the objective.
    """
    if not (search.objective and search.space):
        raise UsageError("--search needs --objective=METRIC and --space=NAME=VALUES")
    check_experiment(search.folder, search.experiment)
    space = parse_space(search.space)
    steps = check_space(search, space)
    search.folder.mkdir(parents=True, exist_ok=True)
    with open_study(search.folder, search.sampler, search.definition, space) as study:
        code = _Loop(search, study, steps, workers).run()
        write_record(search, study)
        print(summary(search, study), flush=True)
    return code


def check_space(search: Search, space: Sequence[Dimension]) -> int:
    """Check the ends of the space, and that runs there are of these settings; return the steps."""
    names = [dimension.name for dimension in space]
    known = [tuple(run["overrides"]) for run in read_sweep(search.folder)["runs"]]
    mine = [sets for sets in known if [text.partition("=")[0] for text in sets] == names]
    sets = list(dict.fromkeys([*samples(space), *mine]))
    runs = make_runs(search.experiment, search.folder, search.config, sets)
    return check_runs(search.experiment, runs)[0]


@dataclass
class Attempt:
    """A trial that goes on, its run, the steps that takes, and whether it is being stopped."""

    trial: Trial
    run: Run
    steps: int
    pruned: bool = False


class _Loop:
    """The trials that go on and those that wait."""

    def __init__(self, search: Search, study: Study, steps: int, workers: int):
        self.search, self.study, self.steps = search, study, steps
        self.pool = local.Pool(workers)
        self.waiting = study.open_trials()  # of an earlier launch
        self.going: list[Attempt] = []
        self.left_open = False  # a run was stopped, by others: its trial is for the next launch

    def run(self) -> int:
        """Go on until every trial is told, or a signal comes; return the exit code."""
        if told := len(self.study.trials) - len(self.waiting):
            print(f"{told} of {self.search.trials} trials are over already", flush=True)
        with local.stop_signals() as stopped:
            try:
                while not stopped:
                    while not self.pool.full and (trial := self.next_trial()):
                        self.start(trial)
                    if not self.going:
                        break
                    time.sleep(local.POLL_SECONDS)
                    self.follow()
            finally:
                self.pool.stop()
        if stopped or self.left_open:
            return PREEMPTED
        return int(any(trial.state == TrialState.FAIL for trial in self.study.trials))

    def next_trial(self) -> Trial | None:
        """Return one that an earlier launch left open, else a new one while some are wanted."""
        if self.waiting:
            return self.waiting.pop(0)
        return self.study.ask() if len(self.study.trials) < self.search.trials else None

    def start(self, trial: Trial) -> None:
        """Start the run of a trial, unless an earlier trial or launch has measured it enough."""
        settings = dict(text.split("=", 1) for text in trial.overrides)
        attempt = Attempt(
            trial, self.search.run(trial.overrides), int(settings.get("steps", self.steps))
        )
        add_runs(self.search.folder, self.search.experiment, [attempt.run], [attempt.steps])
        value = self.study.known_value(trial)
        if value is not None:
            self.tell(attempt, TrialState.COMPLETE, value)
        elif self.prunes(attempt):
            self.tell(attempt, TrialState.PRUNED)
        else:
            self.going.append(attempt)
            self.pool.add(attempt.run)

    def follow(self) -> None:
        """Stop runs that are to be pruned, and tell optuna of those that have ended."""
        for attempt in self.going:
            if not attempt.pruned and self.prunes(attempt):
                attempt.pruned = True
                self.pool.terminate(attempt.run)
        for run, code in self.pool.ended():
            attempt = next(a for a in self.going if a.run.name == run.name)
            self.going.remove(attempt)
            self.end(attempt, code)

    def prunes(self, attempt: Attempt) -> bool:
        """True when what a run measured is too bad to go on.

        What an untrained network measures says nothing, and at the last step it is too late.
        """
        curve = read_curve(attempt.run.workdir, self.search.objective)
        told = {step: value for step, value in curve.items() if 0 < step < attempt.steps}
        return self.study.prunes(attempt.trial, told)

    def end(self, attempt: Attempt, code: int | None) -> None:
        """Tell optuna how a run ended; code: None when that was in another launch's hands."""
        run = attempt.run
        if attempt.pruned or self.prunes(attempt):
            self.tell(attempt, TrialState.PRUNED)
        elif run.finished:
            value = self.final_value(run)
            state = TrialState.FAIL if math.isnan(value) else TrialState.COMPLETE
            self.tell(attempt, state, value)
        elif code is None:
            self.going.append(attempt)
            self.pool.add(run)
        elif code in STOPPED:
            self.left_open = True
            print(f"{run.name}: stopped; the same command goes on", flush=True)
        else:
            local.tell_end(run, code)
            self.tell(attempt, TrialState.FAIL)

    def final_value(self, run: Run) -> float:
        """Return the objective at the end of a run; UsageError when it is none of its metrics."""
        metrics = read_json(run.workdir / "result.json")["metrics"]
        name = self.search.objective
        if name not in metrics:
            near = difflib.get_close_matches(name, metrics, n=1, cutoff=0.0)
            raise UsageError(
                f"--objective={name} is not measured by these runs (did you mean {near[0]}?)"
            )
        return metrics[name]

    def tell(self, attempt: Attempt, state: TrialState, value: float = math.nan) -> None:
        """Tell optuna, the terminal, and the files that others read."""
        self.study.tell(attempt.trial, state, value if state == TrialState.COMPLETE else None)
        if state == TrialState.PRUNED:
            log_exit(self.search.folder, attempt.run.name, PREEMPTED, pruned=True)
        write_record(self.search, self.study)
        said = f"{value:.6g}" if state == TrialState.COMPLETE else SAID[state]
        print(f"trial {attempt.trial.number}: {said}  {attempt.run.name}", flush=True)


def read_curve(workdir: Path, metric: str) -> dict[int, float]:
    """Value of a metric at each step of metrics.jsonl that has it."""
    lines = read_lines(workdir / "metrics.jsonl")
    return {line["step"]: line[metric] for line in lines if metric in line}


def write_record(search: Search, study: Study) -> None:
    """Write search.json: what is searched for, and how far every trial is."""
    trials = [
        {
            "number": t.number,
            "settings": study.settings(t.number),
            "state": SAID.get(t.state, "open"),
            "value": t.value,
        }
        for t in study.trials
    ]
    write_json(search.folder / "search.json", {**search.definition, "trials": trials})


def summary(search: Search, study: Study) -> str:
    """How many trials ended in which way, and the settings of the best."""
    counts = collections.Counter(SAID.get(trial.state, "open") for trial in study.trials)
    said = ", ".join(f"{counts[word]} {word}" for word in (*SAID.values(), "open") if counts[word])
    lines = [f"{len(study.trials)} of {search.trials} trials: {said}"]
    if best := study.best:
        trial, value = best
        lines.append(f"best: trial {trial.number}, {search.objective} {value:.6g}")
        lines.append("  " + shlex.join(f"--config.{text}" for text in trial.overrides))
    return "\n".join(lines)
