"""The run directory when a run goes on to more steps."""

import json

import jax
import numpy as np
import pytest

from tests.train.test_loop import final_states
from train import environment
from train.config import ConfigError
from train.loop import fit
from train.rundir import finished


def test_more_steps_end_with_the_arrays_of_a_longer_run(tmp_path, regression, small_config, capsys):
    settings = {"schedule": "constant", "ema_decay": 0.5, "figures_at": ()}
    longer = small_config(**settings)  # 12 steps

    def experiment(config, train=None):
        return regression(config, train, dropout=0.3, count_calls=True)

    fit(experiment(longer), longer, tmp_path / "straight")
    short = small_config(**settings, steps=6)
    folder = tmp_path / "extended"
    fit(experiment(short), short, folder)
    capsys.readouterr()
    assert finished(folder, 6)
    assert not finished(folder, 12)
    volatile = small_config(**{**settings, "log_every": 2, "save_every": 5, "figures_at": (1.0,)})
    present = []

    def watched(step):
        present.append((folder / "result.json").exists())
        return experiment(volatile).train(step)

    fit(experiment(volatile, watched), volatile, folder)
    assert not any(present[1:])  # the first batch gives the shapes
    out = capsys.readouterr().out
    assert f"{folder}: 12 steps instead of 6\n" in out
    assert "continues at step 6 of 12\n" in out
    result = json.loads((folder / "result.json").read_text())
    assert (result["step"], result["end"], result["attempts"]) == (12, "steps", 2)
    assert (folder / "figures" / "kernel-0000012.txt").exists()
    folders = (tmp_path / name for name in ("straight", "extended"))
    ends = final_states(experiment(longer), longer, *folders)
    jax.tree.map(np.testing.assert_array_equal, *ends)
    with pytest.raises(ConfigError, match="steps was 12, now 6"):
        fit(experiment(short), short, folder)
    assert finished(folder, 12)


def test_each_attempt_has_its_environment_and_other_cores_are_a_warning(
    tmp_path, regression, small_config, monkeypatch, capsys
):
    for steps, count in ((2, 2), (3, 1), (4, 1)):
        monkeypatch.setattr(environment, "cores", lambda count=count: count)
        config = small_config(steps=steps, schedule="constant", figures_at=())
        fit(regression(config), config, tmp_path)
        warning = "warning: cores was 2, now 1: the last digits of the results may differ\n"
        assert capsys.readouterr().err.count(warning) == (steps == 3)
    (tmp_path / "thresholds").write_text('{"band_taps": 9}')
    monkeypatch.setenv("UNFOLD_CHOICES", str(tmp_path / "thresholds"))
    config = small_config(steps=5, schedule="constant", figures_at=())
    fit(regression(config), config, tmp_path)
    warning = "warning: choices was {}, now {'band_taps': 9}: the last digits of the results may"
    assert warning in capsys.readouterr().err
    saved = json.loads((tmp_path / "environment.json").read_text())
    assert [attempt["cores"] for attempt in saved["attempts"]] == [2, 1, 1, 1]
    assert saved["choices"] == {"band_taps": 9}
    monkeypatch.setenv("UNFOLD_CHOICES", str(tmp_path / "missing"))
    with pytest.raises(ConfigError, match=r"UNFOLD_CHOICES: cannot read .*missing"):
        environment.environment()
    flags = saved["attempts"][0]["jax_flags"]
    assert flags["jax_threefry_partitionable"] == jax.config.jax_threefry_partitionable
    assert saved["cores"] == 1


def test_metrics_that_are_shorter_than_the_checkpoint_or_damaged_are_refused(
    tmp_path, regression, small_config
):
    config = small_config(steps=2, eval_every=1, schedule="constant", figures_at=())
    fit(regression(config), config, tmp_path)
    longer = small_config(steps=3, eval_every=1, schedule="constant", figures_at=())
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines(keepends=True)
    last = next(i for i, line in enumerate(lines) if '"step": 2' in line)
    (tmp_path / "metrics.jsonl").write_text("".join(lines[:last]))
    missing = r"metrics\.jsonl has no validation/loss at step 2, but there is a later checkpoint"
    with pytest.raises(ConfigError, match=missing):
        fit(regression(longer), longer, tmp_path)
    (tmp_path / "metrics.jsonl").write_text("".join([lines[0], "[1]\n", *lines[1:]]))
    with pytest.raises(ConfigError, match=r"metrics\.jsonl:2: this line is damaged"):
        fit(regression(longer), longer, tmp_path)
    (tmp_path / "metrics.jsonl").write_text("".join(lines))
    (tmp_path / "result.json").write_text("")
    assert not finished(tmp_path, 2)
    (tmp_path / "result.json").write_text('{"metrics": {}}')
    assert finished(tmp_path, 2)  # of a version that did not say how a run ended
    (tmp_path / "result.json").unlink()
    (tmp_path / "environment.json").write_text("[1]")
    assert fit(regression(longer), longer, tmp_path)["step"] == 3


def test_more_steps_name_the_schedule_that_changes(tmp_path, regression, small_config, capsys):
    short = small_config(steps=2, figures_at=())
    fit(regression(short), short, tmp_path)
    longer = small_config(steps=3, figures_at=())
    fit(regression(longer), longer, tmp_path)
    out = capsys.readouterr().out
    expected = "3 steps instead of 2; the learning rate follows the schedule of 3\n"
    assert f"{tmp_path}: {expected}" in out
