"""The study of a search: what optuna has proposed and what it was told, in the file study.log."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import optuna
from optuna.storages.journal import BaseJournalBackend, JournalStorage
from optuna.trial import FrozenTrial, TrialState

from jobs.locks import try_lock
from jobs.space import Choice, Dimension, overrides
from jobs.sweep import Overrides, UsageError

SAMPLERS = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}


class Journal(BaseJournalBackend):
    """Optuna's journal in a file that this process alone writes; a line cut by a kill is dropped.

    Optuna's own lock is a file that a killed process leaves behind; this one needs none.
    """

    def __init__(self, file: IO[bytes]):
        self.file = file
        file.seek(0)
        text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        file.truncate(len(whole))
        self.logs = [json.loads(line) for line in whole.splitlines()]
        self.held = len(self.logs)

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """Entries from a number on."""
        return self.logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add entries; `save` puts them on the disk."""
        self.logs += logs

    def save(self) -> None:
        """Write what was added since, in one piece."""
        lines = [json.dumps(log) + "\n" for log in self.logs[self.held :]]
        self.file.write("".join(lines).encode())
        self.file.flush()
        os.fsync(self.file.fileno())
        self.held = len(self.logs)


@dataclass(frozen=True)
class Trial:
    """A trial that is not told yet: its number, and its settings."""

    number: int
    overrides: Overrides


class Study:
    """Optuna's study, one step at a time; each is on the disk when it returns.

    The same trials come back for the same values, however often the process was killed: the
    sampler's seed is the number of the trial.
    """

    def __init__(self, journal: Journal, sampler: str, direction: str, space: Sequence[Dimension]):
        self.journal, self.sampler, self.space = journal, sampler, space
        self.study = optuna.create_study(
            storage=JournalStorage(journal),
            study_name="search",
            direction=optuna.study.StudyDirection[direction.upper()],
            pruner=optuna.pruners.MedianPruner(),
            load_if_exists=True,
        )
        self.judged: dict[int, int] = {}  # the last step at which a trial was let go on

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials there are."""
        return self.study.get_trials(deepcopy=False)

    @property
    def best(self) -> tuple[Trial, float] | None:
        """Best of the complete trials, and its value; None when there is none."""
        if not any(trial.state == TrialState.COMPLETE for trial in self.trials):
            return None
        best = self.study.best_trial
        return Trial(best.number, self.settings(best.number)), self.study.best_value

    def settings(self, number: int) -> Overrides:
        """Settings of a trial."""
        return overrides(self.space, self.trials[number].params)

    def known_value(self, trial: Trial) -> float | None:
        """Value of a complete trial with the same settings; None when there is none."""
        complete = (t for t in self.trials if t.state == TrialState.COMPLETE)
        return next((t.value for t in complete if self.settings(t.number) == trial.overrides), None)

    def open_trials(self) -> list[Trial]:
        """Trials that were proposed and not told."""
        return [self._propose(t.number) for t in self.trials if not t.state.is_finished()]

    def ask(self) -> Trial:
        """Return a new trial."""
        return self._propose(self.study.ask().number)

    def _propose(self, number: int) -> Trial:
        """Settings of a trial; those that it has not are drawn."""
        self.study.sampler = SAMPLERS[self.sampler](seed=number)
        trial = self._live(number)
        values: dict[str, Any] = {}
        for d in self.space:
            if isinstance(d, Choice):
                values[d.name] = trial.suggest_categorical(d.name, d.ends)
            elif isinstance(d.low, int):
                values[d.name] = trial.suggest_int(d.name, d.low, int(d.high), log=d.log)
            else:
                values[d.name] = trial.suggest_float(d.name, d.low, d.high, log=d.log)
        self.journal.save()
        return Trial(number, overrides(self.space, values))

    def _live(self, number: int) -> optuna.Trial:
        return optuna.Trial(self.study, self.trials[number]._trial_id)

    def prunes(self, trial: Trial, curve: Mapping[int, float]) -> bool:
        """Report the values of a curve by their steps until one is so bad that the run should end.

        What was measured after it is not reported: it depends on how soon the run was stopped.
        """
        live = self._live(trial.number)
        for step in [s for s in curve if s > self.judged.get(trial.number, -1)]:
            if step not in self.trials[trial.number].intermediate_values:
                live.report(curve[step], step)
                self.journal.save()
            if live.should_prune():
                return True
            self.judged[trial.number] = step
        return False

    def tell(self, trial: Trial, state: TrialState, value: float | None = None) -> None:
        """Say how a trial ended; value: of a complete one."""
        self.study.tell(trial.number, value, state)
        self.journal.save()


@contextlib.contextmanager
def open_study(
    folder: Path, sampler: str, definition: Mapping[str, Any], space: Sequence[Dimension]
) -> Iterator[Study]:
    """Hold the study of a folder; a new one where there is none or nothing was told to it yet.

    definition: objective, direction, space. Raises UsageError when another process holds it, and
    when it is of another definition.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with open(folder / "study.log", "a+b") as file:
        if not try_lock(file):
            raise UsageError(f"another launch is searching in {folder}: wait for it, or stop it")
        study = Study(Journal(file), sampler, definition["direction"], space)
        there = study.study.user_attrs.get("search", definition)
        if there != definition:
            if any(trial.state.is_finished() for trial in study.trials):
                said = " ".join(f"--space={text}" for text in there["space"])
                raise UsageError(
                    f"workdir {folder} holds another search, --objective={there['objective']} "
                    f"--direction={there['direction']} {said}: give another --workdir"
                )
            file.truncate(0)
            study = Study(Journal(file), sampler, definition["direction"], space)
        study.study.set_user_attr("search", dict(definition))
        study.journal.save()
        yield study
