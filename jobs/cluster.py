"""Submission of objects to a Kubernetes cluster with its official Python client."""

import importlib
import json
from collections.abc import Sequence
from types import ModuleType

from jobs.manifest import Object
from jobs.sweep import UsageError

CONFLICT = 409  # HTTP status: an object of this name exists


def find_client(namespace: str) -> ModuleType:
    """Return the module kubernetes with the cluster of the kubeconfig file, or of this pod.

    Raises UsageError when there is no namespace, client or cluster.
    """
    if not namespace:
        raise UsageError("--submit needs --kubernetes_namespace=NAME")
    try:
        kubernetes = importlib.import_module("kubernetes")
    except ImportError as error:
        raise UsageError("--submit needs the client: pip install '.[kubernetes]'") from error
    try:
        kubernetes.config.load_config()
    except kubernetes.config.ConfigException as error:
        raise UsageError(f"--submit: {error}") from error
    return kubernetes


def submit(kubernetes: ModuleType, namespace: str, objects: Sequence[Object]) -> None:
    """Create objects and print their names; those that exist are left alone.

    Raises UsageError when the cluster cannot be reached or rejects an object.
    """
    api = kubernetes.client.CustomObjectsApi()
    unreachable = importlib.import_module("urllib3").exceptions.HTTPError
    for item in objects:
        kind, name = item["kind"].lower(), item["metadata"]["name"]
        try:
            api.create_namespaced_custom_object(
                *item["apiVersion"].split("/"), namespace, f"{kind}s", item
            )
        except kubernetes.client.ApiException as error:
            if error.status != CONFLICT:
                raise UsageError(f"{kind} {name}: {_message(error)}") from error
            again = f"kubectl delete {kind} {name} -n {namespace}"
            print(f"{kind} {name} exists already; to start it again, run {again} first")
        except unreachable as error:
            raise UsageError(f"--submit cannot reach the cluster: {error}") from error
        else:
            print(f"{kind} {name} submitted", flush=True)


def _message(error: Exception) -> str:
    """Reason for which the cluster rejected a request, in one line."""
    try:
        text = json.loads(getattr(error, "body", ""))["message"]
    except (KeyError, TypeError, ValueError):
        text = str(getattr(error, "reason", error))
    return " ".join(text.split())
