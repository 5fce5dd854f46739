"""One run over two processes, against one process; each continues from the other's checkpoint."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from tests.train.conftest import batch_at
from train.config import ConfigError
from train.loop import PreemptedError, fit, make_placement
from train.metrics import read_metrics
from train.placement import Placement

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import os, signal, time, jax
from tests.train.conftest import Regression, batch_at
from train import cli
from train.config import OptimizerConfig
from train.optimizer import make_optimizer
from train.task import Experiment

def build(config):
    def train(step):
        if step == 9 and jax.process_index() == 1:
            os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.5 * (step > 9))  # the signal reaches the others within a second or two
        return batch_at(step, 8, real=5 + step % 4)

    evals = {"validation": [batch_at(900), batch_at(901, real=3)], "test": [batch_at(902)]}
    task = Regression(dropout=0.3)
    return Experiment(task, make_optimizer(config), train, evals, {"rows": "drawn"})

cli.run(OptimizerConfig, build, None)
"""


def start(script, config, workdir, log):
    """Two processes with four devices each, as their command lines would start them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    changes = ("steps", "batch_size", "learning_rate", "log_every", "eval_every", "save_every")
    words = [f"--config.{name}={getattr(config, name)}" for name in changes]
    words += [f"--workdir={workdir}", "--config.distributed=True"]
    shared = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
        "JAX_NUM_PROCESSES": "2",
    }
    for i in range(2):
        with open(log.with_suffix(f".{i}"), "w") as file:
            yield subprocess.Popen(
                [sys.executable, script, *words],
                env={**shared, "JAX_PROCESS_ID": str(i)},
                stdout=file,
                stderr=file,
            )


def test_one_run_on_one_device_then_two_processes_then_four_devices(
    tmp_path, regression, small_config, monkeypatch
):
    config, workdir, options = small_config(steps=30), tmp_path / "run", {"dropout": 0.3}
    one_device = Placement(config.batch_size, jax.devices()[:1])
    with monkeypatch.context() as patched:
        patched.setattr("train.loop.make_placement", lambda *_: one_device)
        whole = fit(regression(config, **options), config, tmp_path / "whole")

        def stopping(step):
            if step == 4:
                os.kill(os.getpid(), signal.SIGTERM)
            return batch_at(step, 8, real=5 + step % 4)

        with pytest.raises(PreemptedError, match="saved at step 5"):
            fit(regression(config, train=stopping, **options), config, workdir)

    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    processes = list(start(script, config, workdir, tmp_path / "log"))
    try:
        codes = [process.wait(timeout=200) for process in processes]
    finally:
        for process in processes:
            process.kill()
    logs = [(tmp_path / f"log.{i}").read_text() for i in range(2)]
    assert codes == [75, 75], logs
    assert "stopped by a signal to a process, saved at step" in logs[0]
    assert "step" not in logs[1].split("error:")[0]  # only the first process prints metrics
    attempts = [json.loads(line) for line in (workdir / "attempts.jsonl").read_text().splitlines()]
    assert [attempt["event"] for attempt in attempts] == ["start", "PreemptedError"] * 2
    assert 9 < attempts[-1]["step"] < 30

    ended = fit(regression(config, **options), config, workdir)
    assert len(json.loads((workdir / "environment.json").read_text())["devices"]) == 4
    found, expected = read_metrics(workdir), read_metrics(tmp_path / "whole")
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a == pytest.approx(b, rel=1e-5, abs=1e-5)
    assert ended["best_step"] == whole["best_step"]


def test_without_other_processes_one_line_says_so(command, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    words = [tmp_path / "script.py", f"--workdir={tmp_path / 'run'}", "--config.distributed=True"]
    done = command(*words, environment={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 2
    assert done.stderr == (
        "error: config.distributed: cannot connect to the other processes: "
        "coordinator_address should be defined.\n"
    )
    assert not (tmp_path / "run").exists()


def test_pmap_needs_a_single_process(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ConfigError, match=r"config.parallel=pmap needs a single process"):
        make_placement("pmap", 8)
