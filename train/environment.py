"""The environment of a process: software, machine, devices, cores, and flags of JAX."""

import contextlib
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from .config import ConfigError

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
FLAGS = (  # of JAX that change results
    "jax_threefry_partitionable",
    "jax_default_prng_impl",
    "jax_default_matmul_precision",
    "jax_enable_x64",
    "jax_numpy_dtype_promotion",
)
# what may change the last digits: with other cores or devices, sums have another order
DECISIVE = ("cores", "devices", "versions", "XLA_FLAGS", "choices", "jax_flags")


def environment() -> dict[str, Any]:
    """Software versions, commit, machine, devices, cores and flags of this process."""
    return {
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "commit": commit(),
        "machine": machine(),
        "devices": [device.device_kind for device in jax.devices()],
        "cores": cores(),
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
        "choices": choices(),
        "jax_flags": {name: jax.config.values.get(name) for name in FLAGS},
    }


def choices() -> Any:
    """Thresholds of the file that UNFOLD_CHOICES names (nets/choices.py); {}: the defaults.

    Raises ConfigError when it cannot be read.
    """
    path = os.environ.get("UNFOLD_CHOICES")
    try:
        return json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"UNFOLD_CHOICES: cannot read {path}: {error}") from None


def commit() -> str:
    """Commit hash of the code, with +changes when tracked files differ; empty without git."""
    words = ["describe", "--always", "--exclude=*", "--abbrev=40", "--dirty=+changes"]
    git = ["git", "-C", str(Path(__file__).parent), *words]
    with contextlib.suppress(OSError):
        return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return ""


def machine() -> str:
    """Processor model and the number of cores that this process may use."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.is_file() else ""
    match = re.search(r"^model name\s*: *(.*)$", text, re.M)
    model = match[1] if match else platform.processor() or platform.machine()
    return f"{model}, {cores()} core{'' if cores() == 1 else 's'}"


def cores() -> int:
    """Number of cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def environment_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What differs between two environments and may change a result; empty when nothing does."""
    return "; ".join(
        f"{name} was {before[name]}, now {now[name]}"
        for name in DECISIVE
        if name in before and before[name] != now[name]
    )
