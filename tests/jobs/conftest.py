"""Helpers for tests of worker processes, and of manifests for Kubernetes."""

import os
import signal
import time

import pytest
import yaml

import launch
from jobs.manifest import to_yaml
from tests.jobs.kubernetes_schema import check_object, plain_scalars


def interrupt_once_handled(pause):
    """Send SIGINT to this process, `pause` seconds after it has installed a handler for it."""
    deadline = time.monotonic() + 30
    while signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(pause)
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def manifest(monkeypatch, capsys):
    """Return a function that launches a sweep and returns the printed objects."""
    monkeypatch.setattr(launch, "check_runs", lambda _, runs: [5] * len(runs))

    def run(*words, workdir="/runs/cells", image="me/unfold:1"):
        own = [f"--kubernetes_image={image}", "--backend=kubernetes"]
        if not any(word.startswith("--experiment=") for word in words):
            own += ["--experiment=lenet5", f"--workdir={workdir}", "--kubernetes_volume=runs:/runs"]
        words = [*own, *words]
        assert launch.command_line(["launch.py", *words]) == 0
        text = capsys.readouterr().out
        objects = list(yaml.safe_load_all(text))
        assert to_yaml(objects) == text
        plain_scalars(text)
        for item in objects:
            check_object(item)
        return objects

    return run
