"""Options of the pods of a sweep on Kubernetes: the flags --kubernetes_*."""

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from jobs.sweep import UsageError

TOPOLOGY = "cloud.google.com/gke-tpu-topology"
TPU = "google.com/tpu"


class Option(NamedTuple):
    """A flag --kubernetes_*: the form of its value, its meaning, and whether it may be repeated."""

    form: str
    pattern: str
    help: str
    default: str = ""
    repeated: bool = False


_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_NAME = r"[A-Za-z0-9](?:[-\w.]{0,61}[A-Za-z0-9])?"
_KEY = rf"((?:[a-z0-9][-a-z0-9.]{{0,252}}/)?{_NAME})"
_PAIR = rf"{_KEY}=((?:{_NAME})?)"
_QUANTITY = r"(\d+(?:\.\d+)?(?:m|k|Ki|M|Mi|G|Gi|T|Ti)?)"
_EFFECT = "(NoSchedule|PreferNoSchedule|NoExecute)"
OPTIONS = {
    "image": Option("IMAGE", r"(\S+)", "container image with the project and its packages"),
    "namespace": Option("NAME", f"({_LABEL})", "namespace; default: that of kubectl"),
    "python": Option("PATH", r"(\S+)", "Python in the image", "python"),
    "working_dir": Option(
        "/PATH", r"(/.*)", "folder of the project in the image; default: WORKDIR"
    ),
    "service_account": Option("NAME", f"({_LABEL})", "service account of the pods"),
    "hosts": Option("NUMBER", r"([1-9]\d{0,3})", "number of hosts of each run"),
    "grace_seconds": Option("SECONDS", r"([1-9]\d{0,4})", "time to save after SIGTERM", "120"),
    "retries": Option("NUMBER", r"(\d{1,3})", "retries of a run after unexpected failures", "3"),
    "resource": Option("NAME=QUANTITY", f"{_KEY}={_QUANTITY}", "resource of a pod", repeated=True),
    "node_selector": Option("KEY=VALUE", _PAIR, "label of the nodes", repeated=True),
    "toleration": Option(
        "KEY[=VALUE]:EFFECT",
        rf"{_KEY}(?:=((?:{_NAME})?))?:{_EFFECT}",
        "taint of nodes that may be used",
        repeated=True,
    ),
    "volume": Option(
        "CLAIM:/PATH", r"([a-z0-9][-a-z0-9.]{0,252}):(/[^:]+)", "claim to mount", repeated=True
    ),
    "env": Option("NAME=VALUE", r"([A-Za-z_]\w*)=(.*)", "environment variable", repeated=True),
    "label": Option("KEY=VALUE", _PAIR, "label of the Job and its pods", repeated=True),
}


@dataclass(frozen=True)
class PodOptions:
    """Parsed flags --kubernetes_*; the fields have the names of the flags."""

    image: str
    namespace: str
    python: str
    working_dir: str
    service_account: str
    hosts: int
    grace_seconds: int
    retries: int
    resource: Mapping[str, str]
    node_selector: Mapping[str, str]
    toleration: Sequence[tuple[str, str | None, str]]
    volume: Sequence[tuple[str, str]]
    env: Mapping[str, str]
    label: Mapping[str, str]


def parse_options(texts: Mapping[str, str | Sequence[str]], workdir: Path) -> PodOptions:
    """Check and parse the values of the flags --kubernetes_*, without this prefix.

    Raises UsageError on a value of the wrong form, when `workdir` would be lost with its pod, and
    when the number of hosts contradicts a TPU topology.
    """
    parsed: dict[str, Any] = {}
    for name, option in OPTIONS.items():
        given = texts.get(name) or option.default or []
        found = [_match(name, text) for text in ([given] if isinstance(given, str) else given)]
        parsed[name] = found if option.repeated else found[0][0] if found else ""
    for name in ("resource", "node_selector", "env", "label"):
        parsed[name] = dict(parsed[name])
    if not parsed["image"]:
        raise UsageError("--backend=kubernetes needs --kubernetes_image=IMAGE")
    folder = Path(os.path.normpath(workdir))
    if not any(folder.is_relative_to(path) for _, path in parsed["volume"]):
        raise UsageError(
            f"--workdir={workdir} is on no volume and would be lost with its pod: "
            "give --kubernetes_volume=CLAIM:/PATH with a folder above it"
        )
    parsed["hosts"] = _hosts(parsed["hosts"], parsed["node_selector"], parsed["resource"])
    for name in ("grace_seconds", "retries"):
        parsed[name] = int(parsed[name])
    return PodOptions(**parsed)


def _match(name: str, text: str) -> tuple[str, ...]:
    option = OPTIONS[name]
    if match := re.fullmatch(option.pattern, text, re.ASCII | re.DOTALL):
        return match.groups()
    raise UsageError(f"--kubernetes_{name} must be {option.form}, got {text!r}")


def _hosts(given: str, selector: Mapping[str, str], resources: Mapping[str, str]) -> int:
    """Return the number of hosts of a run: that of its TPU slice if it has one."""
    topology = selector.get(TOPOLOGY)
    if topology is None:
        return int(given or 1)
    chips = resources.get(TPU, "")
    if not (
        re.fullmatch(r"[1-9]\d*(x[1-9]\d*){1,2}", topology) and re.fullmatch(r"[1-9]\d*", chips)
    ):
        raise UsageError(
            f"{TOPOLOGY}={topology} must be AxB or AxBxC, and needs "
            f"--kubernetes_resource={TPU}=N, the number of chips of one host"
        )
    total = math.prod(map(int, topology.split("x")))
    hosts, rest = divmod(total, int(chips))
    if rest or given not in ("", str(hosts)):
        raise UsageError(
            f"{TOPOLOGY}={topology} has {total} chips: with {chips} per host, that is not "
            f"{given or 'a whole number of'} hosts"
        )
    return hosts
