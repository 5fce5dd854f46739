"""Submission to Kubernetes, with a client that has no cluster."""

import json
import sys
from types import SimpleNamespace

import pytest
import urllib3

import launch


class ApiError(Exception):
    """An answer of the cluster that is not success."""

    def __init__(self, status, body):
        self.status, self.reason, self.body = status, "Some reason", body


@pytest.fixture
def client(monkeypatch):
    """A client of a cluster without objects; `fails` is what the next request raises."""
    created, fake = {}, SimpleNamespace(fails=None)

    def create(group, version, namespace, plural, body):
        if fake.fails:
            raise fake.fails
        path = (group, version, namespace, plural, body["metadata"]["name"])
        if path in created:
            raise ApiError(409, "")
        created[path] = body

    class ConfigError(Exception):
        pass

    fake.created, fake.ConfigError = created, ConfigError
    fake.config = SimpleNamespace(load_config=lambda: None, ConfigException=ConfigError)
    api = SimpleNamespace(create_namespaced_custom_object=create)
    fake.client = SimpleNamespace(CustomObjectsApi=lambda: api, ApiException=ApiError)
    monkeypatch.setitem(sys.modules, "kubernetes", fake)
    return fake


@pytest.fixture
def submit(monkeypatch):
    """Return a function that launches two seeds with --submit."""
    monkeypatch.setattr(launch, "check_runs", lambda _, runs: [5] * len(runs))
    words = ["--experiment=lenet5", "--workdir=/runs/s", "--sweep=seed=0..1"]
    words += ["--backend=kubernetes", "--submit", "--kubernetes_namespace=lab"]
    words += ["--kubernetes_image=x", "--kubernetes_volume=runs:/runs"]
    return lambda *more: launch.command_line(["launch.py", *words, *more])


def test_submitted_objects_are_the_printed_ones(submit, client, manifest, capsys):
    flags = ["--sweep=seed=0..1", "--kubernetes_namespace=lab"]
    printed = manifest(*flags, workdir="/runs/s", image="x")
    assert submit() == 0
    (path,), (body,) = client.created, client.created.values()
    name = body["metadata"]["name"]
    assert path == ("batch", "v1", "lab", "jobs", name)
    assert [body] == printed
    assert capsys.readouterr().out == f"job {name} submitted\n"
    assert submit() == 0
    again = f"to start it again, run kubectl delete job {name} -n lab first"
    assert capsys.readouterr().out == f"job {name} exists already; {again}\n"
    assert submit("--kubernetes_hosts=2") == 0
    paths = list(client.created)[1:]
    assert {path[:4] for path in paths} == {("jobset.x-k8s.io", "v1alpha2", "lab", "jobsets")}
    assert len(paths) == capsys.readouterr().out.count(" submitted\n") == 2


def test_errors_of_the_cluster_are_one_line(submit, client, monkeypatch, capsys):
    def unconfigured():
        raise client.ConfigError("no kubeconfig")

    for error, part in (
        (ApiError(403, json.dumps({"message": "jobs is\nforbidden"})), ": jobs is forbidden"),
        (ApiError(502, "<html>"), ": Some reason"),
        (ApiError(502, "[]"), ": Some reason"),
        (urllib3.exceptions.HTTPError("refused"), "--submit cannot reach the cluster: refused"),
    ):
        client.fails = error
        assert submit() == 2
        err = capsys.readouterr().err
        assert (err.count("\n"), err.endswith(f"{part}\n")) == (1, True), err
    client.config.load_config = unconfigured
    assert submit() == 2
    assert capsys.readouterr().err == "error: --submit: no kubeconfig\n"
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    assert submit() == 2
    assert capsys.readouterr().err.endswith("needs the client: pip install '.[kubernetes]'\n")
