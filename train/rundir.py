"""The run directory: what a run was made with, what it measured, and who is working in it."""

import contextlib
import dataclasses
import fcntl
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax

from .config import ConfigError, RunConfig

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


def write_json(path: Path, value: Any) -> None:
    """Write in one move: a reader sees the old file or the new one, never a part."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)


def read_json(path: Path) -> Any:
    """Contents of a JSON file, or None when there is none; ConfigError when it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error


def finished(workdir: Path) -> bool:
    """Return whether a run is finished; if so, print a line with its metrics."""
    result = read_json(workdir / "result.json")
    if result:
        metrics = "  ".join(f"{name} {value:.4f}" for name, value in result["metrics"].items())
        print(f"{workdir} is finished at step {result['step']}: {metrics}")
    return bool(result)


def check_config(workdir: Path, config: RunConfig) -> None:
    """Raise ConfigError when what is in a folder was made with another config; write nothing.

    Fields that cannot change a result (data_dir, save_every, ...) may differ; one that was not
    known then counts as its default.
    """
    if read_json(workdir / file_of(not config.replicated)) is not None:
        kind = "a run of its own" if config.replicated else "replicas, each a run in a folder of it"
        raise ConfigError(f"workdir {workdir} holds {kind}: give another --workdir")
    fields = dataclasses.fields(config)
    volatile = {f.name for f in fields if f.metadata["volatile"]}
    here, defaults = dataclasses.asdict(config), {f.name: f.default for f in fields}
    path = workdir / file_of(config.replicated)
    _compare(path, "another config", here, free=volatile, defaults=defaults)


def file_of(replicated: bool) -> str:
    """Name of the file that holds the config, of a run or of the runs below a folder."""
    return "replicas.json" if replicated else "config.json"


def check_data(workdir: Path, provenance: Mapping[str, Any]) -> None:
    """Raise ConfigError when the run in a folder was made with other data; write nothing."""
    _compare(workdir / "data.json", "other data", dict(provenance))


def _compare(
    path: Path,
    other: str,
    here: dict[str, Any],
    *,
    free: Collection[str] = (),
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    there = read_json(path)
    if there is None:
        return
    here, there = json.loads(json.dumps([here, {**defaults, **there}]))
    changed = [
        f"{name} {there.get(name, 'absent')!r} there, {here.get(name, 'absent')!r} here"
        for name in sorted({*there, *here} - set(free))
        if there.get(name, "absent") != here.get(name, "absent")
    ]
    if changed:
        raise ConfigError(
            f"workdir {path.parent} was made with {other}: {'; '.join(changed)}. "
            "Give another --workdir, or delete this one to start afresh"
        )


def environment() -> dict[str, Any]:
    """Versions, commit, machine and devices of this process."""
    return {
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "commit": commit(),
        "machine": machine(),
        "devices": [device.device_kind for device in jax.devices()],
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
    }


def commit() -> str:
    """Hash of the code's commit, with +changes when tracked files differ; empty without git."""
    words = ["describe", "--always", "--exclude=*", "--abbrev=40", "--dirty=+changes"]
    git = ["git", "-C", str(Path(__file__).parent), *words]
    with contextlib.suppress(OSError):
        return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return ""


def machine() -> str:
    """Processor model and the cores this process may use."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.is_file() else ""
    found = re.search(r"^model name\s*: *(.*)$", text, re.M)
    model = found[1] if found else platform.processor() or platform.machine()
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    return f"{model}, {cores} core{'' if cores == 1 else 's'}"


@contextlib.contextmanager
def open_run(workdir: Path, config: RunConfig, provenance: Mapping[str, Any]) -> Iterator[None]:
    """Make the folder and its descriptions, and hold it against a second process.

    Raises ConfigError when it cannot be written, when another process holds it, and when the run
    there was made with another config or other data.
    """
    with contextlib.ExitStack() as stack:
        try:
            workdir.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(open(workdir / ".lock", "w", encoding="utf-8"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"workdir {workdir} is in use by another process") from error
        except OSError as error:
            raise ConfigError(f"cannot write to workdir {workdir}: {error.strerror}") from error
        check_config(workdir, config)
        check_data(workdir, provenance)
        write_json(workdir / "data.json", dict(provenance))
        write_json(workdir / "environment.json", environment())
        write_config(workdir, config)
        yield


def write_config(workdir: Path, config: RunConfig) -> None:
    """Write a config, and the flags that give it again, into a folder, which may be new.

    Raises ConfigError when it cannot be written.
    """
    fields = dataclasses.asdict(config)
    flags = [f"--config.{name}={value}" for name, value in fields.items()]
    lines = [f"{flag}\n" for flag in flags if "\n" not in flag]  # as a prompt's may be
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / "flags.txt").write_text("".join(lines), encoding="utf-8")
        write_json(workdir / file_of(config.replicated), fields)
    except OSError as error:
        raise ConfigError(f"cannot write to workdir {workdir}: {error.strerror}") from error


def log_attempt(workdir: Path, event: str, step: int, **more: Any) -> None:
    """Append to attempts.jsonl: when the run was started, stopped and finished, and why."""
    line = {"event": event, "step": step, "time": round(time.time(), 3), **more}
    with open(workdir / "attempts.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def seconds_trained(workdir: Path) -> tuple[float | None, int]:
    """Return (wall-clock seconds of all attempts, their number); no seconds when one was killed."""
    lines = []
    for text in (workdir / "attempts.jsonl").read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError):  # a line that a kill cut off
            lines.append(json.loads(text))
    seconds = [line["seconds"] for line in lines if "seconds" in line]
    begun = len(lines) - len(seconds)
    return (round(sum(seconds), 1) if len(seconds) == begun else None), begun
