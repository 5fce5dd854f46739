"""The study of a search: the trials that optuna proposed and their results, in study.log."""

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

from jobs.locks import no_link, try_lock
from jobs.space import Choice, Dimension, overrides
from jobs.sweep import Overrides, UsageError

SAMPLERS = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}


class Journal(BaseJournalBackend):
    """Optuna's journal in a file with a single writer; a line that a kill truncated is dropped.

    Optuna's own lock is a file that a killed process leaves behind; this journal needs no lock.
    """

    def __init__(self, file: IO[bytes]):
        self.file = file
        file.seek(0)
        text = file.read()
        complete = text[: text.rfind(b"\n") + 1]
        file.truncate(len(complete))
        self.logs = []
        for number, line in enumerate(complete.split(b"\n")[:-1], 1):
            try:
                self.logs.append(json.loads(line))
            except ValueError as error:
                raise UsageError(f"{file.name}:{number}: this line is damaged: {error}") from None
        self.saved = len(self.logs)

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """Entries from a given number on."""
        return self.logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add entries; `save` writes them to disk."""
        self.logs += logs

    def save(self) -> None:
        """Write all new entries in a single write."""
        lines = [json.dumps(log) + "\n" for log in self.logs[self.saved :]]
        self.file.write("".join(lines).encode())
        self.file.flush()
        os.fsync(self.file.fileno())
        self.saved = len(self.logs)


@dataclass(frozen=True)
class Trial:
    """Number and settings of a trial."""

    number: int
    overrides: Overrides


class Study:
    """Optuna's study; every change is on disk when its method returns.

    The same results lead to the same trials, however often the process is killed: the sampler's
    seed is the number of the trial.
    """

    def __init__(self, journal: Journal, sampler: str, direction: str, space: Sequence[Dimension]):
        self.journal, self.sampler, self.space = journal, sampler, space
        try:
            self.study = optuna.create_study(
                storage=JournalStorage(journal),
                study_name="search",
                direction=optuna.study.StudyDirection[direction.upper()],
                pruner=optuna.pruners.MedianPruner(),
                load_if_exists=True,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:  # in its entries
            name = journal.file.name
            raise UsageError(f"{name} is not the log of a search: {error!r}") from error
        self.last_checked: dict[int, int] = {}  # last step at which a trial was not pruned

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials, finished or not."""
        return self.study.get_trials(deepcopy=False)

    @property
    def best(self) -> tuple[Trial, float] | None:
        """Best complete trial and its value; None when no trial is complete."""
        if not any(trial.state == TrialState.COMPLETE for trial in self.trials):
            return None
        best = self.study.best_trial
        return Trial(best.number, self.settings(best)), self.study.best_value

    def settings(self, trial: FrozenTrial) -> Overrides:
        """Settings of a trial."""
        return overrides(self.space, trial.params)

    def known_value(self, trial: Trial) -> float | None:
        """Value of a complete trial with the same settings; None when there is none."""
        complete = (t for t in self.trials if t.state == TrialState.COMPLETE)
        return next((t.value for t in complete if self.settings(t) == trial.overrides), None)

    def open_trials(self) -> list[Trial]:
        """Trials that were proposed but have no result yet."""
        return [self._propose(t.number) for t in self.trials if not t.state.is_finished()]

    def ask(self) -> Trial:
        """Propose a new trial."""
        return self._propose(self.study.ask().number)

    def _propose(self, number: int) -> Trial:
        """Return a trial with all its settings; those that it lacks are sampled."""
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

    def should_prune(self, trial: Trial, curve: Mapping[int, float]) -> bool:
        """Report the values of a curve by step; return whether one of them prunes the trial.

        Later values are not reported, since their number depends on how soon the run was stopped.
        """
        live = self._live(trial.number)
        for step in [s for s in curve if s > self.last_checked.get(trial.number, -1)]:
            if step not in self.trials[trial.number].intermediate_values:
                live.report(curve[step], step)
                self.journal.save()
            if live.should_prune():
                return True
            self.last_checked[trial.number] = step
        return False

    def tell(self, trial: Trial, state: TrialState, value: float | None = None) -> None:
        """Record how a trial ended. value: the objective of a complete trial."""
        self.study.tell(trial.number, value, state)
        self.journal.save()


@contextlib.contextmanager
def open_study(
    folder: Path, sampler: str, definition: Mapping[str, Any], space: Sequence[Dimension]
) -> Iterator[Study]:
    """Open and lock the study of a folder; a new one if there is none or it has no results yet.

    definition: objective, direction, space. Raises UsageError when another process has locked it,
    or when it has another definition.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with open(folder / "study.log", "a+b", opener=no_link) as file:
        if not try_lock(file):
            raise UsageError(f"another launch is searching in {folder}: wait for it or stop it")
        study = Study(Journal(file), sampler, definition["direction"], space)
        saved = study.study.user_attrs.get("search", definition)
        if saved != definition:
            if any(trial.state.is_finished() for trial in study.trials):
                axes = " ".join(f"--space={text}" for text in saved["space"])
                raise UsageError(
                    f"workdir {folder} contains another search, --objective={saved['objective']} "
                    f"--direction={saved['direction']} {axes}: give another --workdir"
                )
            file.truncate(0)
            study = Study(Journal(file), sampler, definition["direction"], space)
        study.study.set_user_attr("search", dict(definition))
        study.journal.save()
        yield study
