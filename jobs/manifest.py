"""A sweep as objects of Kubernetes: one indexed Job, or a JobSet for each run on several hosts."""

import hashlib
import json
import math
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from jobs.pod_options import TOPOLOGY, PodOptions
from jobs.run import Run
from jobs.status import PREEMPTED

Object = dict[str, Any]  # of Kubernetes, or a part of one

API_VERSIONS = {"Job": "batch/v1", "JobSet": "jobset.x-k8s.io/v1alpha2"}
FINAL_CODES = [2, 3]  # exit codes of a run that would fail again: an invalid setting, divergence
CONTAINER = "run"
COORDINATOR_PORT = 8476
NODE_POOL = "cloud.google.com/gke-nodepool"
MAX_SLUG = 36  # with the digest, the index of a pod and a random suffix, a name has at most 63
AMBIGUOUS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}  # in YAML 1.1 or 1.2


def manifest(
    folder: Path,
    runs: Sequence[Run],
    steps: Sequence[int],
    pods: PodOptions,
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


def _job_set(run: Run, pods: PodOptions) -> Object:
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
    kind: str,
    name: str,
    pods: PodOptions,
    spec: Object,
    annotations: Mapping[str, str] | None = None,
) -> Object:
    metadata: Object = {
        "name": name,
        "namespace": pods.namespace,
        "labels": dict(pods.label),
        "annotations": annotations,
    }
    version = API_VERSIONS[kind]
    return {"apiVersion": version, "kind": kind, "metadata": _given(metadata), "spec": spec}


def _template(command: Sequence[str], pods: PodOptions, variables: Sequence[Object] = ()) -> Object:
    """Template of the pods that execute a command."""
    own = [{"name": name, "value": _escape(value)} for name, value in pods.env.items()]
    quantities = dict(pods.resource)
    names = [f"volume-{i}" for i, _ in enumerate(pods.volume)]
    container: Object = {
        "name": CONTAINER,
        "image": pods.image,
        "workingDir": pods.working_dir,
        "command": [_escape(word) for word in command],
        "env": [*own, *variables],
        "resources": {"requests": quantities, "limits": quantities} if quantities else {},
        "volumeMounts": [
            {"name": name, "mountPath": path}
            for name, (_, path) in zip(names, pods.volume, strict=True)
        ],
    }
    spec: Object = {
        "restartPolicy": "Never",  # a failure policy needs it
        "terminationGracePeriodSeconds": pods.grace_seconds,
        "serviceAccountName": pods.service_account,
        "nodeSelector": dict(pods.node_selector),
        "tolerations": [_toleration(*taint) for taint in pods.toleration],
        "containers": [_given(container)],
        "volumes": [
            {"name": name, "persistentVolumeClaim": {"claimName": claim}}
            for name, (claim, _) in zip(names, pods.volume, strict=True)
        ],
    }
    metadata: Object = {"metadata": {"labels": dict(pods.label)}} if pods.label else {}
    return {**metadata, "spec": _given(spec)}


def _toleration(key: str, value: str | None, effect: str) -> Object:
    if value is None:
        return {"key": key, "operator": "Exists", "effect": effect}
    return {"key": key, "operator": "Equal", "value": value, "effect": effect}


def _failure_policy(final: str) -> Object:
    """Policy that restarts stopped pods without counting; `final` is the action on FINAL_CODES."""
    codes = [("Ignore", [PREEMPTED]), (final, FINAL_CODES)]
    of_run = {"containerName": CONTAINER}  # not of a container that the cluster adds
    disrupted = [{"type": "DisruptionTarget", "status": "True"}]
    return {
        "rules": [
            {"action": "Ignore", "onPodConditions": disrupted},
            *(
                {"action": action, "onExitCodes": {**of_run, "operator": "In", "values": values}}
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
