"""The output of a run: learning rates, the best checkpoint at the end, the end by patience."""

import dataclasses
import json
import os
import signal
import sys

import numpy as np
import pytest

from tests.train.test_loop import assert_same_ending
from train import cli, recorder
from train.config import OptimizerConfig
from train.loop import PreemptedError, fit
from train.metrics import printed, read_metrics

RATE = 0.05


def lines_with(folder, name):
    return {line["step"]: line[name] for line in read_metrics(folder) if name in line}


def test_a_small_number_is_not_printed_as_zero():
    values = (0.0, 0.00012345, -0.00012345, 0.001, 1.23456, float("nan"))
    shown = ["0.0000", "1.23e-04", "-1.23e-04", "0.0010", "1.2346", "nan"]
    assert list(map(printed, values)) == shown


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_the_learning_rate_of_a_line_is_that_of_its_last_step(
    tmp_path, regression, small_config, parallel, capsys
):
    config = small_config(
        parallel=parallel, warmup_steps=4, decay_factor=0.1, figures_at=(), eval_every=12
    )
    fit(regression(config), config, tmp_path)
    steps = np.array([2, 5, 8, 11])  # the first step has number 0
    cosine = 0.1 + 0.9 * (1 + np.cos(np.pi * (steps - 4) / 8)) / 2
    expected = RATE * np.where(steps < 4, steps / 4, cosine)
    found = lines_with(tmp_path, "train/learning_rate")
    assert list(found) == [3, 6, 9, 12]
    np.testing.assert_allclose(list(found.values()), expected, rtol=1e-5)
    lines = [line for line in capsys.readouterr().out.splitlines() if "  train  " in line]
    assert len(lines) == 4
    assert all(line.endswith(" rows/s)") and " s, " in line for line in lines)
    text = (tmp_path / "metrics.jsonl").read_text()
    assert not [word for word in ("second", "speed", "rows", "time") if word in text]


def constant(y, rows=8):
    """Batch of zeros, so that the outputs are the bias, with all targets y."""
    target = np.full((rows, 2), y, np.float32)
    return {"x": np.zeros((rows, 3), np.float32), "y": target, "mask": np.ones(rows, np.float32)}


def bias_at(step):
    """Bias after SGD steps on the target 10, from 0: b + 2 RATE (10 - b) at each."""
    return 10 * (1 - (1 - 2 * RATE) ** step)


def loss_at(step, target):
    return 2 * (bias_at(step) - target) ** 2


@dataclasses.dataclass(slots=True, kw_only=True)
class Rising(OptimizerConfig):
    """Training passes the validation target, 2.7, at step 3: the loss then rises."""

    steps: int = OptimizerConfig.changed("steps", 8)
    batch_size: int = OptimizerConfig.changed("batch_size", 8)
    eval_every: int = OptimizerConfig.changed("eval_every", 1)
    log_every: int = OptimizerConfig.changed("log_every", 1)
    figures_at: tuple[float, ...] = OptimizerConfig.changed("figures_at", (1.0,))
    optimizer: str = OptimizerConfig.changed("optimizer", "sgd")
    schedule: str = OptimizerConfig.changed("schedule", "constant")
    learning_rate: float = OptimizerConfig.changed("learning_rate", RATE)


@pytest.fixture
def rising(regression):
    def make(config, at_step=lambda step: None):
        def train(step):
            at_step(step)
            return constant(10.0)

        evals = {"validation": [constant(2.7)], "test": [constant(5.0)]}
        return regression(config, train, evals)

    return make


def test_patience_ends_a_run_which_is_then_finished(tmp_path, rising, monkeypatch, capsys):
    def command():
        monkeypatch.setattr(sys, "argv", ["x", f"--workdir={tmp_path}", "--config.patience=2"])
        cli.run(Rising, rising, None)
        return capsys.readouterr().out

    out = command()
    losses = lines_with(tmp_path, "validation/loss")
    np.testing.assert_allclose(list(losses.values()), [loss_at(s, 2.7) for s in range(6)], 1e-4)
    assert min(losses, key=losses.get) == 3
    assert "the loss is not lower after 2 evaluations: " in out
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["end"], result["step"], result["best_step"]) == ("patience", 5, 3)
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["kernel-0000005.txt"]
    # the test set is evaluated at the end, by the last and by the best parameters
    for name, step in (("test", 5), ("test_best", 3)):
        assert result["metrics"][f"{name}/loss"] == pytest.approx(loss_at(step, 5.0), rel=1e-4)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    out = command()
    assert out.startswith(f"{tmp_path} is finished at step 5: ")
    assert out.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_stopped_at_every_step_patience_ends_at_the_same_step(tmp_path, rising):
    config = Rising(patience=2, figures_at=())
    fit(rising(config), config, tmp_path / "whole")
    target = [1]

    def stop(step):
        if step == target[0]:
            os.kill(os.getpid(), signal.SIGTERM)

    attempts, result = 0, None
    while result is None:
        try:
            result = fit(rising(config, stop), config, tmp_path / "stopped")
        except PreemptedError:
            attempts += 1
            target[0] += 1
    assert attempts == 4  # the run ends before step 5 is taken
    assert (result["end"], result["step"]) == ("patience", 5)
    ended = dataclasses.replace(config, steps=5)
    folders = tmp_path / "whole", tmp_path / "stopped"
    assert_same_ending(*folders, rising(config), ended)


def test_the_best_checkpoint_is_the_last_one_while_the_loss_falls(tmp_path, rising):
    config = Rising(steps=3, figures_at=())
    experiment, calls = rising(config), []
    scores = experiment.task.scores
    experiment.task.scores = lambda *given: calls.append(given) or scores(*given)
    fit(experiment, config, tmp_path)
    last = read_metrics(tmp_path)[-2:]
    for name in ("loss", "error", "largest"):
        assert last[1][f"test_best/{name}"] == last[0][f"test/{name}"]
    assert len(calls) == 5  # validation four times, test once


def test_the_best_checkpoint_is_found_while_it_is_still_written(tmp_path, rising, monkeypatch):
    """The last step but one is the best, and its checkpoint is written in the background."""
    config = Rising(steps=4, figures_at=())
    unfinished = []

    def objectives(folder):
        unfinished.extend(folder.glob("*tmp*"))
        return found(folder)

    found = recorder.objectives
    monkeypatch.setattr(recorder, "objectives", objectives)
    result = fit(rising(config), config, tmp_path)
    assert not unfinished
    assert result["best_step"] == 3
    assert result["metrics"]["test_best/loss"] == pytest.approx(loss_at(3, 5.0), rel=1e-4)


def test_a_solved_task_ends_training_and_stays_finished(tmp_path, rising, capsys):
    config = Rising(figures_at=())

    def solvable():
        experiment = rising(config)
        experiment.task.solved = lambda values: values["loss"] < 1
        return experiment

    expected = next(step for step in range(9) if loss_at(step, 2.7) < 1)
    result = fit(solvable(), config, tmp_path)
    assert 0 < expected < config.steps
    assert (result["end"], result["step"]) == ("solved", expected)
    assert f"solved after {expected} steps: training ends" in capsys.readouterr().out
    (tmp_path / "result.json").unlink()  # as if it had been killed before the result was written
    assert fit(solvable(), config, tmp_path)["metrics"] == result["metrics"]


def test_the_objective_of_a_task_selects_the_best_checkpoint(tmp_path, rising, capsys):
    config = Rising(patience=2, figures_at=())
    experiment = rising(config)
    experiment.task.objective = "opposite"
    experiment.task.summaries = lambda values: {"opposite": -values["loss"]}
    result = fit(experiment, config, tmp_path)
    # the loss falls from step 0 to step 3, and is highest at the start
    assert (result["end"], result["step"], result["best_step"]) == ("patience", 2, 0)
    assert result["objective"] == "validation/opposite"
    assert "the opposite is not lower after 2 evaluations: " in capsys.readouterr().out
