"""The loop: order, logs, resume, stopping; on a task that takes a second."""

import dataclasses
import json
import os
import signal

import jax
import numpy as np
import pytest

from tests.train.conftest import batch_at
from train import recorder
from train.checkpoint import restore
from train.config import ConfigError
from train.evaluate import Evaluator
from train.loop import fit, make_placement
from train.metrics import read_metrics
from train.placement import Placement
from train.recorder import NonFiniteError
from train.signals import STOP_SIGNALS, PreemptedError
from train.task import Experiment
from train.trained import load_run


def final_states(experiment, config, *folders):
    """Arrays of the last checkpoint in each folder."""
    like = Placement(config.batch_size).init(experiment, config.seed, experiment.train(0))
    states = (restore(each / "checkpoints", config.steps, *like)[0] for each in folders)
    return [jax.tree.leaves((s.params, s.opt_state, s.model_state, s.carry)) for s in states]


def assert_same_ending(a, b, experiment, config):
    assert (a / "metrics.jsonl").read_bytes() == (b / "metrics.jsonl").read_bytes()
    for x, y in zip(*final_states(experiment, config, a, b), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_run_prints_its_data_and_writes_its_directory(tmp_path, regression, small_config, capsys):
    config = small_config()
    experiment = dataclasses.replace(regression(config), provenance={"dataset": "x", "rows": 32})
    result = fit(experiment, config, tmp_path / "run")
    assert capsys.readouterr().out.startswith("data: dataset x, rows 32\nstep")
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert {
        "config.json",
        "flags.txt",
        "environment.json",
        "data.json",
        "metrics.jsonl",
        "result.json",
        "attempts.jsonl",
        "checkpoints",
        "figures",
    } <= files
    assert any(name.startswith("events.out.tfevents") for name in files)
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == result
    assert result["headline"] == "test/error"
    assert result["step"] == 12
    assert result["metrics"]["validation/loss"] < 8.0
    assert "--config.steps=12" in (tmp_path / "run" / "flags.txt").read_text().splitlines()
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert environment["versions"]["jax"] == jax.__version__
    assert len(environment["devices"]) == 4


def test_lines_come_in_order_and_at_their_steps(tmp_path, regression, small_config):
    config = small_config(figures_at=(0.0, 0.75))
    fit(regression(config), config, tmp_path)
    lines = [(line["step"], sorted(line)[-1].split("/")[0]) for line in read_metrics(tmp_path)]
    assert lines == [
        (0, "validation"),
        (3, "train"),
        (6, "train"),
        (6, "validation"),
        (9, "train"),
        (12, "train"),
        (12, "validation"),
        (12, "test"),
        (12, "test_best"),
    ]
    figures = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert figures == ["kernel-0000000.txt", "kernel-0000009.txt"]
    assert (tmp_path / "figures" / figures[0]).read_text() == "(6, 2)"


def test_training_lines_are_totals_over_weights_of_their_window(tmp_path, regression, small_config):
    config = small_config(optimizer="sgd", learning_rate=1e-12, eval_every=100)
    experiment = regression(config)
    fit(experiment, config, tmp_path)
    first = next(line for line in read_metrics(tmp_path) if "train/loss" in line)
    kernel, bias = (
        np.asarray(x, np.float64)
        for x in jax.tree.leaves(final_state_params(experiment, config))[::-1]
    )
    total, weight, carry = 0.0, 0.0, np.zeros((8, 3))
    for step in range(3):
        batch = experiment.train(step)
        carry = carry + batch["x"]
        error = np.concatenate([batch["x"], carry], 1) @ kernel + bias - batch["y"]
        real = batch["mask"] > 0
        total, weight = total + (error[real] ** 2).sum(), weight + real.sum()
    assert first["train/loss"] == pytest.approx(total / weight, rel=1e-5)


def final_state_params(experiment, config):
    return Placement(8).init(experiment, config.seed, experiment.train(0))[0].params


def test_scores_and_means_of_evaluation_count_real_rows_only(tmp_path, regression, small_config):
    config = small_config(steps=1)
    experiment = regression(config, evals={"test": [batch_at(5, real=6), batch_at(6, real=1)]})
    fit(experiment, config, tmp_path)
    last = read_metrics(tmp_path)[-1]
    kernel, bias = None, None
    (leaves,) = final_states(experiment, config, tmp_path)
    bias, kernel = (np.asarray(x, np.float64) for x in leaves[:2])
    outputs, errors, carry = [], [], np.zeros((8, 3))
    for step, real in ((5, 6), (6, 1)):
        batch = batch_at(step, real=real)
        carry = carry + batch["x"]
        out = np.concatenate([batch["x"], carry], 1) @ kernel + bias
        errors += list(((out - batch["y"]) ** 2).sum(1)[:real])
        fresh = np.concatenate([batch["x"], batch["x"]], 1) @ kernel + bias
        outputs += list(fresh[:real].ravel())
    assert last["test/loss"] == pytest.approx(np.mean(errors), rel=1e-5)
    assert last["test/largest"] == pytest.approx(max(outputs), rel=1e-5)


def test_a_mode_has_the_best_checkpoint_and_evaluation_the_averaged_weights(
    tmp_path, regression, small_config
):
    config = small_config(save_every=6, ema_decay=0.5)
    experiment = regression(config)
    fit(experiment, config, tmp_path)
    folder = tmp_path / "checkpoints"
    (folder / "12" / "metrics" / "metrics").write_text('{"objective": 99.0}')
    like = Placement(8).init(experiment, config.seed, experiment.train(0))
    state, _ = restore(folder, 6, *like)
    run = load_run(lambda _: experiment, lambda *_: experiment.task, config, tmp_path)
    predict = run.predict
    params = predict.variables["params"]
    jax.tree.map(np.testing.assert_array_equal, params, state.variables["params"])
    evaluate, batches = Evaluator(experiment.task, Placement(8)), experiment.evals["validation"]
    expected = evaluate(state.variables, batches)["loss"]
    lines = [line for line in read_metrics(tmp_path) if "validation/loss" in line]
    (found,) = [line["validation/loss"] for line in lines if line["step"] == 6]
    assert found == pytest.approx(expected, rel=1e-5)
    assert abs(evaluate({"params": state.params}, batches)["loss"] - expected) > 1e-3


def test_figures_are_of_the_last_set_at_the_end_alone(tmp_path, regression, small_config):
    config = small_config(figures_at=(0.0, 0.5, 1.0))
    experiment, seen = regression(config), []
    experiment.task.figures = lambda predict, batches: seen.append(batches) or {}
    fit(experiment, config, tmp_path)
    validation, test = experiment.evals.values()
    assert [batches is test for batches in seen] == [False, False, True]
    assert seen[0] is seen[1] is validation


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_stopped_at_every_step_and_resumed_the_ending_is_the_same(
    tmp_path, regression, small_config, parallel
):
    config = small_config(parallel=parallel, steps=7, ema_decay=0.5)
    whole = regression(config, dropout=0.3, count_calls=True)
    fit(whole, config, tmp_path / "whole")
    stop_at = iter(range(1, 7))
    target = [next(stop_at)]

    def stopping(step):
        if step == target[0]:
            os.kill(os.getpid(), STOP_SIGNALS[step % 4])
        return batch_at(step, 8, real=5 + step % 4)

    stopped, finished = 0, False
    while not finished:
        interrupted = regression(config, train=stopping, dropout=0.3, count_calls=True)
        try:
            fit(interrupted, config, tmp_path / "stopped")
            finished = True
        except PreemptedError:
            stopped += 1
            target[0] = next(stop_at, None)
    assert stopped >= 4
    assert_same_ending(tmp_path / "whole", tmp_path / "stopped", whole, config)
    lines = (tmp_path / "stopped" / "attempts.jsonl").read_text().splitlines()
    events = [json.loads(line)["event"] for line in lines]
    assert events == ["start", "PreemptedError"] * stopped + ["start", "finished"]


def test_checkpoint_is_the_same_in_the_other_mode(tmp_path, regression, small_config, monkeypatch):
    config = small_config(steps=6)
    fit(regression(config), config, tmp_path / "whole")

    def stopping(step):
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return batch_at(step, 8, real=5 + step % 4)

    with pytest.raises(PreemptedError, match="SIGINT"):
        fit(regression(config, train=stopping), config, tmp_path / "mixed")
    monkeypatch.setattr("train.loop.make_placement", lambda _, size: make_placement("pmap", size))
    fit(regression(config), config, tmp_path / "mixed")
    monkeypatch.undo()
    experiment = regression(config)
    ends = final_states(experiment, config, tmp_path / "whole", tmp_path / "mixed")
    for a, b in zip(*ends, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_non_finite_loss_names_the_step_and_keeps_the_last_good_checkpoint(
    tmp_path, regression, small_config
):
    config = small_config()
    bad = regression(config, train=lambda step: batch_at(step, bad=(6, 7)))
    with pytest.raises(NonFiniteError, match="not finite at step 7") as caught:
        fit(bad, config, tmp_path)
    assert caught.value.exit_code == 3
    assert sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir()) == [4, 6]
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()
    assert not (tmp_path / "result.json").exists()


def test_non_finite_held_out_loss_stops_as_well(tmp_path, regression, small_config):
    config = small_config()
    evals = {"validation": [batch_at(1, bad=(1,))]}
    with pytest.raises(NonFiniteError, match="validation/loss is inf at step 0"):
        fit(regression(config, evals=evals), config, tmp_path)


def test_one_batch_is_learned_by_heart(tmp_path, regression, small_config):
    config = small_config(
        steps=120, learning_rate=0.3, schedule="cosine", log_every=60, eval_every=120
    )
    experiment = regression(config, train=lambda step: {**batch_at(0)}, evals={"t": [batch_at(0)]})
    # without the carry the target is linear in x
    experiment.task.init_carry = lambda batch: np.zeros(batch["x"].shape, np.float32)
    apply = experiment.task.apply

    def without_carry(*args, **options):
        out = apply(*args, **options)
        carry = np.zeros((8, 3), np.float32)
        return ((out[0][0], carry), out[1]) if "mutable" in options else (out[0], carry)

    experiment.task.apply = without_carry
    result = fit(experiment, config, tmp_path)
    assert result["metrics"]["t/loss"] < 1e-2


def test_a_second_process_is_kept_out(tmp_path, regression, small_config):
    config = small_config(steps=2)

    def meanwhile(step):
        with pytest.raises(ConfigError, match="in use by another process"):
            fit(regression(config), config, tmp_path)
        return batch_at(step)

    fit(regression(config, train=meanwhile), config, tmp_path)


def test_other_data_is_refused(tmp_path, regression, small_config):
    config = small_config(steps=2)
    experiment = regression(config)
    fit(experiment, config, tmp_path)
    changed = Experiment(
        experiment.task, experiment.optimizer, experiment.train, experiment.evals, {"rows": "new"}
    )
    with pytest.raises(ConfigError, match=r"other data: .*drawn.*new"):
        fit(changed, config, tmp_path)


def test_a_line_truncated_by_a_kill_is_dropped(tmp_path, regression, small_config):
    config = small_config()
    experiment = regression(config)
    fit(experiment, config, tmp_path / "whole")

    def stopping(step):
        if step == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return batch_at(step, 8, real=5 + step % 4)

    with pytest.raises(PreemptedError):
        fit(regression(config, train=stopping), config, tmp_path / "cut")
    with open(tmp_path / "cut" / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write('{"step": 11, "train/loss": 1.0}\n{"step": 12, "tra')
    fit(experiment, config, tmp_path / "cut")
    assert_same_ending(tmp_path / "whole", tmp_path / "cut", experiment, config)


def test_a_second_sigterm_does_not_interrupt_saving(
    tmp_path, regression, small_config, monkeypatch
):
    config = small_config()

    def stopping(step):
        if step == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return batch_at(step)

    class Slow(recorder.Checkpoints):
        def save(self, step, *rest):
            os.kill(os.getpid(), signal.SIGTERM)
            super().save(step, *rest)

    monkeypatch.setattr(recorder, "Checkpoints", Slow)
    with pytest.raises(PreemptedError) as stop:
        fit(regression(config, train=stopping), config, tmp_path)
    step = int(str(stop.value).split("step ")[1].split(";")[0])
    assert (tmp_path / "checkpoints" / str(step)).is_dir()


def test_config_is_checked_under_the_lock(tmp_path, regression, small_config):
    config = small_config(steps=2)
    fit(regression(config), config, tmp_path)
    other = small_config(steps=1)
    with pytest.raises(ConfigError, match="steps was 2, now 1"):
        fit(regression(other), other, tmp_path)


def test_time_of_a_killed_attempt_is_not_guessed(tmp_path, regression, small_config):
    config = small_config(steps=2)
    (tmp_path / "attempts.jsonl").write_text('{"event": "start", "step": 0}\n{"event": "st')
    with open(tmp_path / "attempts.jsonl", "a") as file:
        file.write("\n")
    result = fit(regression(config), config, tmp_path)
    assert (result["seconds"], result["attempts"]) == (None, 2)


def test_evaluation_is_compiled_once(regression, small_config):
    experiment = regression(small_config(), count_calls=True)
    devices = Placement(8)
    state, _ = devices.init(experiment, 0, batch_at(0))
    evaluator = Evaluator(experiment.task, devices)
    for _ in range(2):
        evaluator(state.variables, [batch_at(step) for step in range(3)])
    assert evaluator.accumulate._cache_size() == 1


def test_evaluation_of_nothing_is_refused(regression, small_config):
    experiment = regression(small_config())
    with pytest.raises(ValueError, match="at least one batch"):
        Evaluator(experiment.task, Placement(8))({}, [])
