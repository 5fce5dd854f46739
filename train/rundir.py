"""The run directory: what a run was made with, what it measured, and who is working in it."""

import contextlib
import dataclasses
import fcntl
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from train.config import Config, ConfigError

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


def write_json(path: Path, value: Any) -> None:
    """Write in one move: a reader sees the old file or the new one, never a part."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)


def as_plain(config: Config) -> dict[str, Any]:
    """Fields of a config as JSON would give them back."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def read_config(workdir: Path) -> dict[str, Any] | None:
    """Config that the run was made with, as plain values, or None when there is no run."""
    path = workdir / "config.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def read_result(workdir: Path) -> dict[str, Any] | None:
    """Contents of result.json, which only a finished run has, or None."""
    path = workdir / "result.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def check_workdir(workdir: Path, config: Config) -> None:
    """Raise ConfigError when the folder cannot be used for this config; write nothing.

    Fields that cannot change a result (data_dir, save_every, ...) may differ.
    """
    existing = workdir.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        raise ConfigError(f"cannot write to workdir {workdir}: {existing} is not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(f"cannot write to workdir {workdir}: no permission in {existing}")
    made_with = read_config(workdir)
    if made_with is None:
        return
    here = as_plain(config)
    volatile = {f.name for f in dataclasses.fields(config) if f.metadata["volatile"]}
    names = sorted({*made_with, *here} - volatile)
    changed = [
        f"{name} {made_with.get(name, 'absent')!r} there, {here.get(name, 'absent')!r} here"
        for name in names
        if made_with.get(name, "absent") != here.get(name, "absent")
    ]
    if changed:
        raise ConfigError(
            f"workdir {workdir} was made with another config: {'; '.join(changed)}. "
            "Give another --workdir, or delete this one to start afresh"
        )


def environment() -> dict[str, Any]:
    """Versions, commit, machine and devices of this process."""
    here = Path(__file__).parent
    git = ["git", "-C", str(here)]
    commit = subprocess.run(
        [*git, "rev-parse", "--verify", "-q", "HEAD"], capture_output=True, text=True, check=False
    )
    dirty = subprocess.run(
        [*git, "status", "--porcelain"], capture_output=True, text=True, check=False
    )
    return {
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "commit": commit.stdout.strip() + ("+changes" if dirty.stdout.strip() else ""),
        "machine": machine(),
        "devices": [device.device_kind for device in jax.devices()],
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
    }


def machine() -> str:
    """Processor model and the cores this process may use."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    return f"{model}, {cores} core{'' if cores == 1 else 's'}"


@contextlib.contextmanager
def open_run(workdir: Path, config: Config, provenance: Mapping[str, Any]) -> Iterator[None]:
    """Make the folder and its descriptions, and hold it against a second process.

    Raises ConfigError when another process holds it, or when the run was made with other data.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    with open(workdir / ".lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"workdir {workdir} is in use by another process") from error
        facts, path = json.loads(json.dumps(dict(provenance))), workdir / "data.json"
        if path.is_file() and (before := json.loads(path.read_text(encoding="utf-8"))) != facts:
            raise ConfigError(
                f"workdir {workdir} was made with other data: {before} there, {facts} here. "
                "Give another --workdir, or delete this one to start afresh"
            )
        write_json(path, facts)
        write_json(workdir / "environment.json", environment())
        fields = dataclasses.asdict(config).items()
        flags = [f"--config.{name}={value}" for name, value in fields]
        lines = [flag for flag in flags if "\n" not in flag]  # a prompt may hold what a line cannot
        (workdir / "flags.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        write_json(workdir / "config.json", as_plain(config))
        yield


def log_attempt(workdir: Path, event: str, step: int, **more: Any) -> None:
    """Append to attempts.jsonl: when the run was started, stopped and finished, and why."""
    line = {"event": event, "step": step, "time": round(time.time(), 3), **more}
    with open(workdir / "attempts.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def seconds_trained(workdir: Path) -> tuple[float, int]:
    """Return wall-clock seconds of the attempts that ended by themselves, and how many began."""
    text = (workdir / "attempts.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    seconds = sum(line.get("seconds", 0.0) for line in lines)
    return seconds, sum(line["event"] == "start" for line in lines)
