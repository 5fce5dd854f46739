"""A sweep as objects of Kubernetes: one indexed Job, or a JobSet for each run on several hosts."""

import hashlib
import json
import math
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from jobs.run import Run
from jobs.status import PREEMPTED
from jobs.sweep import UsageError

Object = dict[str, Any]  # of Kubernetes, or a part of one

API_VERSIONS = {"Job": "batch/v1", "JobSet": "jobset.x-k8s.io/v1alpha2"}
FINAL_CODES = [2, 3]  # exit codes of a run that would fail again: an invalid setting, divergence
COORDINATOR_PORT = 8476
TOPOLOGY = "cloud.google.com/gke-tpu-topology"
NODE_POOL = "cloud.google.com/gke-nodepool"
MAX_SLUG = 36  # with the digest, the index of a pod and a random suffix, a name has at most 63
AMBIGUOUS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}  # in YAML 1.1 or 1.2


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
        "CLAIM:/PATH", r"([a-z0-9][-a-z0-9.]{0,252}):(/[^:]*)", "claim to mount", repeated=True
    ),
    "env": Option("NAME=VALUE", r"([A-Za-z_]\w*)=(.*)", "environment variable", repeated=True),
    "label": Option("KEY=VALUE", _PAIR, "label of the Job and its pods", repeated=True),
}


@dataclass(frozen=True)
class Pods:
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


def parse_options(texts: Mapping[str, str | Sequence[str]], workdir: Path) -> Pods:
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
    if not any(workdir.is_relative_to(path) for _, path in parsed["volume"]):
        raise UsageError(
            f"--workdir={workdir} is on no volume and would be lost with its pod: "
            "give --kubernetes_volume=CLAIM:/PATH with a folder above it"
        )
    parsed["hosts"] = _hosts(parsed["hosts"], parsed["node_selector"], parsed["resource"])
    for name in ("grace_seconds", "retries"):
        parsed[name] = int(parsed[name])
    return Pods(**parsed)


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
    chips = resources.get("google.com/tpu", "")
    if not (
        re.fullmatch(r"[1-9]\d*(x[1-9]\d*){1,2}", topology) and re.fullmatch(r"[1-9]\d*", chips)
    ):
        raise UsageError(
            f"{TOPOLOGY}={topology} must be AxB or AxBxC, and needs "
            "--kubernetes_resource=google.com/tpu=N, the number of chips of one host"
        )
    hosts, rest = divmod(math.prod(map(int, topology.split("x"))), int(chips))
    if rest or not hosts or given not in ("", str(hosts)):
        raise UsageError(
            f"{TOPOLOGY}={topology} with {chips} chips per host has {hosts} hosts and {rest} more "
            f"chips{f', not {given} hosts' if given else ''}"
        )
    return hosts


def manifest(
    folder: Path,
    runs: Sequence[Run],
    steps: Sequence[int],
    pods: Pods,
    *,
    experiment: str,
    config: Sequence[str],
    workers: int,
) -> list[Object]:
    """Objects that make the runs of a sweep, at most `workers` at a time.

    One indexed Job, whose pod of index i takes run i; with several hosts, a JobSet for each run.
    config: flags that all runs share. steps: number of steps of each run.
    """
    if pods.hosts > 1:
        return [_job_set(run, pods) for run in runs]
    entries = [
        json.dumps({"overrides": run.overrides, "steps": count})
        for run, count in zip(runs, steps, strict=True)
    ]
    shared = json.dumps([experiment, str(folder), list(config)])
    template = _template([pods.python, "-m", "jobs.pod", shared, *entries], pods)
    spec = {
        "completionMode": "Indexed",
        "completions": len(runs),
        "parallelism": min(workers, len(runs)),
        "backoffLimitPerIndex": pods.retries,
        "podFailurePolicy": _failure_policy("FailIndex"),
        "template": template,
    }
    name = object_name(folder.name, folder)
    return [_object("Job", name, pods, spec)]


def _job_set(run: Run, pods: Pods) -> Object:
    """JobSet of one run on several hosts, each of which starts one process of it.

    The Job restarts pods that were stopped and have saved; any other failure restarts them all,
    since the remaining processes of the run cannot go on.
    """
    name = object_name(f"{run.workdir.parent.name}-{run.name}", run.workdir)
    index = {"fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']"}
    variables: list[Object] = [
        {"name": "JAX_COORDINATOR_ADDRESS", "value": f"{name}-run-0-0.{name}:{COORDINATOR_PORT}"},
        {"name": "JAX_NUM_PROCESSES", "value": str(pods.hosts)},
        {"name": "JAX_PROCESS_ID", "valueFrom": {"fieldRef": index}},
    ]
    job = {
        "completionMode": "Indexed",
        "completions": pods.hosts,
        "parallelism": pods.hosts,
        "backoffLimit": 0,
        "podFailurePolicy": _failure_policy("FailJob"),
        "template": _template([pods.python, *run.command[1:]], pods, variables),
    }
    final = {
        "name": "final",
        "action": "FailJobSet",
        "onJobFailureReasons": ["PodFailurePolicy"],
    }
    spec = {
        "network": {"enableDNSHostnames": True, "subdomain": name},
        "failurePolicy": {"maxRestarts": pods.retries, "rules": [final]},
        "replicatedJobs": [{"name": "run", "replicas": 1, "template": {"spec": job}}],
    }
    slice_of_its_own = {"alpha.jobset.sigs.k8s.io/exclusive-topology": NODE_POOL}
    annotations = slice_of_its_own if TOPOLOGY in pods.node_selector else {}
    return _object("JobSet", name, pods, spec, annotations)


def object_name(text: str, path: Path) -> str:
    """RFC 1123 label that begins with a letter, from a readable text and the digest of a path."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_text).strip("-")
    slug = slug if slug[:1].isalpha() else f"run-{slug}"
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
    return f"{slug[:MAX_SLUG].strip('-')}-{digest}"


def _object(
    kind: str, name: str, pods: Pods, spec: Object, annotations: Mapping[str, str] | None = None
) -> Object:
    metadata = {
        "name": name,
        "namespace": pods.namespace,
        "labels": dict(pods.label),
        "annotations": annotations,
    }
    version = API_VERSIONS[kind]
    return {"apiVersion": version, "kind": kind, "metadata": _given(metadata), "spec": spec}


def _template(command: Sequence[str], pods: Pods, variables: Sequence[Object] = ()) -> Object:
    """Template of the pods that execute a command."""
    own = [{"name": name, "value": _escape(value)} for name, value in pods.env.items()]
    quantities = dict(pods.resource)
    names = [f"volume-{i}" for i, _ in enumerate(pods.volume)]
    container = {
        "name": "run",
        "image": pods.image,
        "workingDir": pods.working_dir,
        "command": [_escape(word) for word in command],
        "env": [*own, *variables],
        "resources": quantities and {"requests": quantities, "limits": quantities},
        "volumeMounts": [
            {"name": name, "mountPath": path}
            for name, (_, path) in zip(names, pods.volume, strict=True)
        ],
    }
    spec = {
        "restartPolicy": "Never",  # a failure policy needs it
        "terminationGracePeriodSeconds": pods.grace_seconds,
        "serviceAccountName": pods.service_account,
        "nodeSelector": dict(pods.node_selector),
        "tolerations": [
            {"key": key, "operator": "Exists", "effect": effect}
            if value is None
            else {"key": key, "operator": "Equal", "value": value, "effect": effect}
            for key, value, effect in pods.toleration
        ],
        "containers": [_given(container)],
        "volumes": [
            {"name": name, "persistentVolumeClaim": {"claimName": claim}}
            for name, (claim, _) in zip(names, pods.volume, strict=True)
        ],
    }
    metadata = {"labels": dict(pods.label)} if pods.label else {}
    return _given({"metadata": metadata, "spec": _given(spec)})


def _failure_policy(final: str) -> Object:
    """Policy that restarts stopped pods without counting; `final` is the action on FINAL_CODES."""
    codes = [("Ignore", [PREEMPTED]), (final, FINAL_CODES)]
    disrupted = [{"type": "DisruptionTarget", "status": "True"}]
    return {
        "rules": [
            {"action": "Ignore", "onPodConditions": disrupted},
            *(
                {"action": action, "onExitCodes": {"operator": "In", "values": values}}
                for action, values in codes
            ),
        ]
    }


def _escape(text: str) -> str:
    """Escape a word of a command or environment, in which Kubernetes replaces $(NAME) and $$."""
    return text.replace("$", "$$")


def _given(fields: Object) -> Object:
    """Fields that have a value."""
    return {name: value for name, value in fields.items() if value}


class _Dumper(yaml.SafeDumper):
    """Writes no anchors, and quotes every string that some parser could read as another type."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style: str | None = "'" if '"' in text and text.isprintable() else '"'
    if re.fullmatch(r"[A-Za-z][\w./-]*", text, re.ASCII) and text.lower() not in AMBIGUOUS:
        style = None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent)


def to_yaml(objects: Sequence[Object]) -> str:
    """Objects as YAML documents, for kubectl create -f -."""
    return yaml.dump_all(objects, Dumper=_Dumper, sort_keys=False, width=math.inf)
