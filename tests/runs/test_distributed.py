"""One run over several processes, against one process; a run continues on another number."""

import contextlib
import json
import os
import runpy
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
from tests.train.conftest import Regression, batch_at, by_rows
from train import cli
from train.config import OptimizerConfig
from train.optimizer import make_optimizer
from train.task import Experiment

def build(config):
    def whole(step):
        if step == 9 and jax.process_index() == 1:
            os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.5 * (step > 9))  # the signal reaches the others within a second or two
        return batch_at(step, 8, real=5 + step % 4)

    evals = {"validation": [batch_at(900), batch_at(901, real=3)], "test": [batch_at(902)]}
    task = Regression(dropout=0.3)
    train = by_rows(whole)
    return Experiment(task, make_optimizer(config), train, evals, {"rows": "drawn"})

cli.run(OptimizerConfig, build, None)
"""
RESIDENT = """
from dataclasses import replace
import jax, numpy as np
from data.tabular.batches import TrainingArrays
from tests.train.conftest import Regression
from train import cli
from train.config import OptimizerConfig
from train.loop import place
from train.optimizer import make_optimizer
from train.placement import Placement
from train.resident import Resident
from train.task import Experiment

def build(config):
    draw = np.random.default_rng(0).standard_normal
    rows = {"x": draw((40, 3)), "y": draw((40, 2)), "mask": np.ones(40)}
    rows = {name: array.astype(np.float32) for name, array in rows.items()}
    train = TrainingArrays(rows, config.batch_size, 0)
    evals = {"validation": [{name: array[:8] for name, array in rows.items()}]}
    experiment = Experiment(Regression(), make_optimizer(config), train, evals)
    kinds = {"always": Resident, "auto": Placement}  # a CPU does not tell its memory
    for choice, kind in kinds.items():
        assert type(place(experiment, replace(config, resident=choice))) is kind
    return experiment

if __name__ == "__main__":
    cli.run(OptimizerConfig, build, None)
"""
PHOTOGRAPHS = """
import json, sys
from pathlib import Path
import jax, numpy as np
from data.images.augment import Augmentation
from data.images.labelled import EvaluationBatches
from data.images.photos import PhotoBatches, Photos
from tests.train.conftest import Classes
from train import cli
from train.config import OptimizerConfig
from train.optimizer import make_optimizer
from train.task import Experiment

class Files:
    decoded = 0

    def __getitem__(self, index):
        Files.decoded += 1
        pixels = np.random.default_rng(int(index)).integers(256, size=(20 + index, 30, 3))
        return {"image": pixels.astype(np.uint8), "label": index % 3}

def build(config):
    photos = Photos(Files(), ("a", "b", "c"), 6, range(21))
    colours = np.eye(3, dtype=np.float32)
    augmentation = Augmentation(shift=1, scale=0.2, flip=True, jitter=0.1)
    train = PhotoBatches(photos, config.batch_size, 0, augmentation, 0.1, colours)
    evals = {"validation": EvaluationBatches(photos, config.batch_size)}
    return Experiment(Classes(), make_optimizer(config), train, evals)

if __name__ == "__main__":
    try:
        cli.run(OptimizerConfig, build, None)
    finally:
        counts = Path(sys.argv[0]).parent / f"decoded-{jax.process_count()}"
        counts.mkdir(exist_ok=True)
        (counts / str(jax.process_index())).write_text(str(Files.decoded))
"""


def run(script, config, workdir, log, *, count=2, devices=4):
    """Exit codes of processes with `devices` devices each, run as their command lines would."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    changes = ("steps", "batch_size", "learning_rate", "log_every", "eval_every", "save_every")
    changes += ("steps_per_call", "resident")
    words = [f"--config.{name}={getattr(config, name)}" for name in changes]
    words += [f"--workdir={workdir}", "--config.distributed=True"]
    flags = os.environ["XLA_FLAGS"].split()
    flags = [flag for flag in flags if "host_platform_device_count" not in flag]
    shared = {
        **os.environ,
        "XLA_FLAGS": " ".join([*flags, f"--xla_force_host_platform_device_count={devices}"]),
        "PYTHONPATH": str(ROOT),
        "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
        "JAX_NUM_PROCESSES": str(count),
    }
    with contextlib.ExitStack() as stack:
        processes = []
        for i in range(count):
            output = stack.enter_context(open(log.with_suffix(f".{i}"), "w"))
            environment = {**shared, "JAX_PROCESS_ID": str(i)}
            process = subprocess.Popen(
                [sys.executable, script, *words], env=environment, stdout=output, stderr=output
            )
            stack.callback(process.kill)
            processes.append(process)
        return [process.wait(timeout=200) for process in processes]


def test_one_run_on_one_device_then_two_processes_then_four_devices(
    tmp_path, regression, small_config, monkeypatch
):
    config = small_config(steps=30, steps_per_call=2)
    workdir, options = tmp_path / "run", {"dropout": 0.3}
    one_device = Placement(config.batch_size, jax.devices()[:1])
    with monkeypatch.context() as patched:
        patched.setattr("train.loop.make_placement", lambda *_: one_device)
        whole = fit(regression(config, **options), config, tmp_path / "whole")

        def stopping(step):
            if step == 4:
                os.kill(os.getpid(), signal.SIGTERM)
            return batch_at(step, 8, real=5 + step % 4)

        with pytest.raises(PreemptedError, match="saved at step 6"):
            fit(regression(config, train=stopping, **options), config, workdir)

    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    codes = run(script, config, workdir, tmp_path / "log")
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


def test_each_process_decodes_its_own_photographs(tmp_path, small_config):
    config = small_config(steps=6, batch_size=8)
    script = tmp_path / "script.py"
    script.write_text(PHOTOGRAPHS)
    module = runpy.run_path(str(script))
    fit(module["build"](config), config, tmp_path / "run-1")
    expected = read_metrics(tmp_path / "run-1")
    decoded = module["Files"].decoded
    assert decoded == 1 + 6 * 8 + 2 * 21  # the example, the steps, two evaluations
    for count in (2, 4):
        workdir, log = tmp_path / f"run-{count}", tmp_path / f"log-{count}"
        codes = run(script, config, workdir, log, count=count, devices=4 // count)
        assert codes == [0] * count, log.with_suffix(".0").read_text()
        for a, b in zip(read_metrics(workdir), expected, strict=True):
            assert a == pytest.approx(b, rel=1e-5)
        counts = [int(path.read_text()) for path in (tmp_path / f"decoded-{count}").iterdir()]
        assert len(counts) == count
        assert sum(counts) == decoded + count - 1  # every process makes the example
        assert max(counts) <= 1 + 6 * 8 / count + 2 * (2 * 8 / count + min(8 / count, 5))


def test_data_on_the_devices_of_two_processes(tmp_path, small_config):
    config = small_config(steps=6, resident="always", steps_per_call=2)
    script = tmp_path / "script.py"
    script.write_text(RESIDENT)
    fit(runpy.run_path(str(script))["build"](config), config, tmp_path / "run-1")
    log = tmp_path / "log"
    codes = run(script, config, tmp_path / "run-2", log, devices=2)
    assert codes == [0, 0], log.with_suffix(".0").read_text()
    pairs = zip(*(read_metrics(tmp_path / f"run-{count}") for count in (1, 2)), strict=True)
    for a, b in pairs:
        assert a == pytest.approx(b, rel=1e-5)


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
