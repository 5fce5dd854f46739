"""The run directory: config, data, environment and result of a run, and its lock."""

import contextlib
import dataclasses
import fcntl
import importlib
import json
import shutil
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np

from .config import ConfigError, RunConfig
from .environment import environment, environment_changes
from .files import append_text, no_link, replace_file
from .foreign import check_folder
from .task import Assets, Batch

ASSETS, EXAMPLE = "assets", "batch.json"  # a folder, and a file with the shapes of a batch
START_AGAIN = "Give another --workdir, or delete the run in it to start again"


def write_json(path: Path, value: Any) -> None:
    """Write a value as readable JSON, atomically."""
    replace_file(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Contents of a JSON file, None when it does not exist; ConfigError when it is unreadable."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error


def read_result(workdir: Path) -> dict[str, Any] | None:
    """Result of the run in a folder; None when it has none.

    A damaged result does not count: the run writes it again, from its last checkpoint.
    """
    with contextlib.suppress(ConfigError):
        result = read_json(workdir / "result.json")
        if isinstance(result, dict) and isinstance(result.get("metrics"), dict):
            return result
    return None


def finished(workdir: Path, steps: int) -> bool:
    """Return whether a run is finished; if so, print a line with its metrics.

    A run of fewer than `steps` steps is not, unless it ended for another reason.
    """
    result = read_result(workdir)
    if not result or (result.get("end") == "steps" and result.get("step", steps) < steps):
        return False
    metrics = "  ".join(f"{name} {value:.4f}" for name, value in result["metrics"].items())
    print(f"{workdir} is finished at step {result.get('step', steps)}: {metrics}")
    return True


def read_config(path: Path, names: Collection[str], training: bool) -> dict[str, Any] | None:
    """Settings in the config file of a run; None when it does not exist.

    Raises ConfigError when the file is unreadable, or, in training, when it has a setting that is
    not one of `names`. Other modes ignore such settings.
    """
    saved = read_json(path)
    if not isinstance(saved, dict | None):
        raise ConfigError(f"{path} has no settings")
    if (unknown := sorted(set(saved or {}) - set(names))) and training:
        raise ConfigError(
            f"workdir {path.parent} was made by another version, with settings that no longer "
            f"exist: {', '.join(unknown)}; see CHANGELOG.md. If it is a run of another experiment, "
            "give another --workdir"
        )
    return None if saved is None else {name: saved[name] for name in names if name in saved}


def restore_config(config: RunConfig, workdir: Path, overrides: Collection[str] = ()) -> None:
    """Give a config the settings of the run in a folder, except those of `overrides`.

    Paths to write to are left out: whoever can write to the folder could choose any file.
    """
    fields = dataclasses.fields(config)
    names = [field.name for field in fields]
    path = workdir / config_file(False)
    saved = read_config(path, names, training=False) or {}
    if unknown := sorted(set(read_json(path) or {}) - set(names)):
        print(
            f"warning: {workdir} was made by another version; its settings that no longer exist "
            f"are ignored: {', '.join(unknown)}",
            file=sys.stderr,
        )
    outputs = {field.name for field in fields if field.metadata["output"]}
    for name in set(saved) - set(overrides) - outputs:
        value = saved[name]  # JSON returns tuples as lists
        setattr(config, name, tuple(value) if isinstance(value, list) else value)


def check_config(workdir: Path, config: RunConfig, training: bool = True) -> None:
    """Raise ConfigError when the run in a folder was made with another config; write nothing.

    Training also refuses a folder with other files and no run. Settings that cannot change the
    result (data_dir, save_every, ...) may differ, and in a mode other than training also those
    of search, batches, input and output. The dataset may be at another place, and training may
    go on to more steps. A field that did not exist when the run was made counts as its default;
    one that no longer exists is an error in training.
    """
    if read_json(workdir / config_file(not config.replicated)) is not None:
        kind = "a single run" if config.replicated else "replicas, one run in each subfolder"
        raise ConfigError(f"workdir {workdir} contains {kind}: give another --workdir")
    experiment = read_environment(workdir).get("experiment")
    if experiment not in (None, module_of(config)):
        raise ConfigError(
            f"workdir {workdir} is a run of {experiment}, not of {module_of(config)}: give another "
            f"--workdir, or use it by `python -m experiments {workdir}`"
        )
    fields = dataclasses.fields(config)
    defaults = {field.name: field.default for field in fields}
    saved = read_config(workdir / config_file(config.replicated), defaults, training)
    if saved is None:
        if training:
            check_folder(workdir)
        return
    free = "volatile" if training else "free_in_modes"
    ignored = {field.name for field in fields if field.metadata[free]}
    saved, current = {**defaults, **saved}, dataclasses.asdict(config)
    if saved["dataset"].partition(":")[0] == current["dataset"].partition(":")[0]:
        ignored.add("dataset")  # check_data compares the contents
    if training and saved["steps"] < current["steps"]:
        ignored.add("steps")
    if changes := _changes(saved, current, ignored):
        if training:
            problem = f"workdir {workdir} was made with another config: {changes}. {START_AGAIN}"
        else:
            problem = f"the network in {workdir} cannot be used with other settings: {changes}"
        raise ConfigError(problem)


def config_file(replicated: bool) -> str:
    """Name of the file with the config of a run, or of replicas in subfolders."""
    return "replicas.json" if replicated else "config.json"


def check_data(workdir: Path, provenance: Mapping[str, Any]) -> None:
    """Raise ConfigError when the run in a folder was made with other data; write nothing."""
    if changes := data_changes(workdir, provenance):
        raise ConfigError(f"workdir {workdir} was made with other data: {changes}. {START_AGAIN}")


def data_changes(workdir: Path, provenance: Mapping[str, Any]) -> str:
    """Differences of the data from those of the run in a folder; empty when there are none."""
    saved = read_json(workdir / "data.json")
    return "" if saved is None else _changes(saved, dict(provenance))


def _changes(saved: dict, current: dict, ignored: Collection[str] = ()) -> str:
    saved, current = json.loads(json.dumps([saved, current]))  # tuples become lists
    return "; ".join(
        f"{name} was {saved.get(name, 'absent')!r}, now {current.get(name, 'absent')!r}"
        for name in sorted({*saved, *current} - set(ignored))
        if saved.get(name, "absent") != current.get(name, "absent")
    )


def module_of(config: RunConfig) -> str:
    """Module of an experiment, by its class of settings; it may be the one that Python runs."""
    name = type(config).__module__
    spec = sys.modules[name].__spec__ if name == "__main__" else None
    return spec.name if spec else name


def experiment_of(workdir: Path) -> ModuleType:
    """Module of the experiment that the run in a folder names.

    Raises ConfigError when the folder has no run, or when its experiment cannot be imported.
    """
    name = read_environment(workdir).get("experiment")
    if not name:
        raise ConfigError(f"{workdir} is not the directory of a run: it names no experiment")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"cannot import {name}, the experiment of {workdir}: {error}") from None


@contextlib.contextmanager
def locked_run(workdir: Path, config: RunConfig, provenance: Mapping[str, Any]) -> Iterator[None]:
    """Create the run directory with its descriptions, and lock it against other processes.

    Raises ConfigError when it cannot be written, when another process has locked it, or when the
    run in it was made with another config or other data.
    """
    check_config(workdir, config)  # now, to add no lock to a folder; below, since it may change
    with contextlib.ExitStack() as stack:
        try:
            workdir.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(open(workdir / ".lock", "ab", opener=no_link))
            lock_file(lock)
        except BlockingIOError as error:
            raise ConfigError(f"workdir {workdir} is in use by another process") from error
        except OSError as error:
            raise ConfigError(f"cannot write to workdir {workdir}: {error.strerror}") from error
        check_config(workdir, config)
        check_data(workdir, provenance)
        if read_json(workdir / config_file(False)) is None:
            stack.enter_context(removed_if_refused(workdir))
        write_json(workdir / "data.json", dict(provenance))
        record_environment(workdir, config)
        announce_more_steps(workdir, config)
        write_config(workdir, config)
        yield


def read_environment(workdir: Path) -> dict[str, Any]:
    """Contents of environment.json; empty when it does not exist or is not an object."""
    saved = read_json(workdir / "environment.json")
    return saved if isinstance(saved, dict) else {}


def record_environment(workdir: Path, config: RunConfig) -> None:
    """Add the environment of this attempt to environment.json; warn when it may change the result.

    The file has the experiment, the latest environment, and those of all attempts in order.
    """
    now, saved = environment(), read_environment(workdir)
    latest = {
        name: value for name, value in saved.items() if name not in ("experiment", "attempts")
    }
    attempts = saved.get("attempts", [latest] if latest else [])
    if attempts and (changes := environment_changes(attempts[-1], now)):
        text = f"warning: {changes}: the last digits of the results may differ"
        print(text, file=sys.stderr, flush=True)
    record = {"experiment": module_of(config), **now, "attempts": [*attempts, now]}
    write_json(workdir / "environment.json", record)


def lock_file(file: IO[bytes]) -> None:
    """Lock an open file; BlockingIOError when another process holds the lock.

    On a file system without locks, as with some mounts of Lustre, print a warning.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        print(
            f"warning: {file.name} cannot be locked ({error.strerror}): do not start a second "
            "process in this folder",
            file=sys.stderr,
        )


@contextlib.contextmanager
def removed_if_refused(workdir: Path) -> Iterator[None]:
    """On a ConfigError before anything is trained, remove the files of a new run directory.

    So the same directory may be given again with other settings.
    """
    try:
        yield
    except ConfigError:
        if not (workdir / "checkpoints").is_dir():
            for name in (config_file(False), "flags.txt", "data.json", "environment.json", EXAMPLE):
                (workdir / name).unlink(missing_ok=True)
            shutil.rmtree(workdir / ASSETS, ignore_errors=True)
            (workdir / ".lock").unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # it contains other files
                workdir.rmdir()
        raise


def announce_more_steps(workdir: Path, config: RunConfig) -> None:
    """Say that a run is to have more steps than it was made for; it is no longer finished."""
    before = (read_json(workdir / config_file(False)) or {}).get("steps", config.steps)
    if before < config.steps:
        constant = getattr(config, "schedule", "") == "constant"
        effect = "" if constant else f"; the learning rate follows the schedule of {config.steps}"
        print(f"{workdir}: {config.steps} steps instead of {before}{effect}", flush=True)
        (workdir / "result.json").unlink(missing_ok=True)


def write_assets(workdir: Path, assets: Assets, example: Batch) -> None:
    """Write the assets of an experiment once, and the shapes and dtypes of a training batch."""
    folder = workdir / ASSETS
    if folder.is_dir():
        return
    batch = {name: np.asarray(array) for name, array in example.items()}
    shapes = {name: [array.dtype.name, *array.shape] for name, array in batch.items()}
    write_json(workdir / EXAMPLE, shapes)
    partial = workdir / f"{ASSETS}.part"
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    partial.mkdir()
    for name, content in assets.items():
        (partial / name).write_bytes(content)
    partial.rename(folder)


def read_assets(workdir: Path) -> dict[str, bytes]:
    """Assets of the run in a folder, by name."""
    return {path.name: path.read_bytes() for path in (workdir / ASSETS).iterdir()}


def read_example(workdir: Path) -> Batch:
    """Batch of zeros with the shapes and dtypes of the first training batch of a run."""
    shapes = read_json(workdir / EXAMPLE)
    return {name: np.zeros(shape, dtype) for name, (dtype, *shape) in shapes.items()}


def write_config(workdir: Path, config: RunConfig) -> None:
    """Write a config, and the flags that reproduce it, to a folder, which is created if needed.

    Raises ConfigError when it cannot be written.
    """
    fields = dataclasses.asdict(config)
    flags = [f"--config.{name}={value}" for name, value in fields.items()]
    lines = [f"{flag}\n" for flag in flags if "\n" not in flag]  # a prompt may have one
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        replace_file(workdir / "flags.txt", "".join(lines))
        write_json(workdir / config_file(config.replicated), fields)
    except OSError as error:
        raise ConfigError(f"cannot write to workdir {workdir}: {error.strerror}") from error


def log_attempt(workdir: Path, event: str, step: int, **more: Any) -> None:
    """Append an event to attempts.jsonl: a start, or the end of an attempt and its reason."""
    line = {"event": event, "step": step, "time": round(time.time(), 3), **more}
    append_text(workdir / "attempts.jsonl", json.dumps(line) + "\n")


def seconds_trained(workdir: Path) -> tuple[float | None, int]:
    """Return (wall-clock seconds of all attempts, their number); None seconds if one was killed."""
    lines = []
    for text in (workdir / "attempts.jsonl").read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError):  # a line that a kill truncated
            lines.append(json.loads(text))
    seconds = [line["seconds"] for line in lines if "seconds" in line]
    starts = len(lines) - len(seconds)
    return (round(sum(seconds), 1) if len(seconds) == starts else None), starts
