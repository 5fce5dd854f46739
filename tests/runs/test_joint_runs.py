"""Runs in one program against the same runs one by one; what is refused; what a kill leaves."""

import json
import os
import shutil
import signal

import jax
import numpy as np
import pytest

from tests.train.conftest import batch_at
from train.checkpoint import Checkpoints, restore
from train.config import ConfigError, OptimizerConfig
from train.loop import fit
from train.metrics import read_metrics
from train.placement import Placement
from train.recorder import NonFiniteError, Run
from train.replicas import (
    PmapReplicas,
    Replicas,
    check_shapes,
    fit_together,
    replica_configs,
    replica_devices,
    varied_settings,
)
from train.rundir import check_config, write_config
from train.signals import PreemptedError


def seeded(config, rows=8):
    """Batches that differ with the seed."""
    return lambda step: batch_at(1000 * config.seed + step, rows, real=5 + step % 4)


def make_runs(regression, config, folder, **options):
    configs = replica_configs(config)
    return [
        Run(regression(each, train=seeded(each), **options), each, folder / name)
        for name, each in configs.items()
    ]


def together(runs, kind=Replicas, devices=2):
    """Train the runs in one program, on some of the four devices."""
    settings = varied_settings([run.config for run in runs])
    return fit_together(runs, kind(settings, jax.devices()[:devices]))


def endings(runs):
    """Arrays of the last checkpoint of each run; the runs have equal shapes."""
    experiment, config, _ = runs[0]
    like = Placement(8).init(experiment, config.seed, experiment.train(0))
    for run in runs:
        state, _ = restore(run.workdir / "checkpoints", config.steps, *like)
        leaves = jax.tree.leaves((state.params, state.opt_state, state.carry))
        yield [np.asarray(x) for x in leaves]


def assert_close(run, other):
    mine, theirs = read_metrics(run.workdir), read_metrics(other.workdir)
    assert len(mine) == len(theirs) > 4
    for a, b in zip(mine, theirs, strict=True):
        assert a == pytest.approx(b, rel=1e-4, abs=1e-5)


def test_configs_are_those_of_runs_by_themselves_and_of_a_sweep_s_folders():
    config = OptimizerConfig(replicas=2, seed=3, learning_rates=(0.1, 1e-3), weight_decays=(0.5,))
    found = replica_configs(config)
    assert list(found) == [
        "learning_rate=0.1,weight_decay=0.5,seed=3",
        "learning_rate=0.1,weight_decay=0.5,seed=4",
        "learning_rate=0.001,weight_decay=0.5,seed=3",
        "learning_rate=0.001,weight_decay=0.5,seed=4",
    ]
    assert found["learning_rate=0.001,weight_decay=0.5,seed=4"] == OptimizerConfig(
        seed=4, learning_rate=1e-3, weight_decay=0.5
    )
    assert varied_settings(list(found.values())) == [
        {"learning_rate": 0.1},
        {"learning_rate": 0.1},
        {"learning_rate": 1e-3},
        {"learning_rate": 1e-3},
    ]


def test_each_run_equals_the_run_by_itself(tmp_path, regression, small_config):
    varied = {"learning_rates": (0.05, 0.01), "weight_decays": (0.0, 0.1)}
    schedule = {"schedule": "cosine", "warmup_steps": 3, "save_every": 12}
    config = small_config(seed=5, optimizer="adamw", **schedule, **varied)
    options = {"dropout": 0.3, "count_calls": True}
    alone = make_runs(regression, config, tmp_path / "alone", **options)
    singles = [fit(*run) for run in alone]
    last = list(endings(alone))
    for kind, devices in ((Replicas, 1), (Replicas, 4), (PmapReplicas, 2)):
        runs = make_runs(regression, config, tmp_path / f"{kind.__name__}{devices}", **options)
        results = together(runs, kind, devices)
        for run, other, result, single in zip(runs, alone, results, singles, strict=True):
            assert_close(run, other)
            assert result["metrics"] == pytest.approx(single["metrics"], rel=1e-4)
            assert result["best_step"] == single["best_step"]
            kept = [sorted(os.listdir(r.workdir / "checkpoints")) for r in (run, other)]
            assert kept[0] == kept[1]
        for found, expected in zip(endings(runs), last, strict=True):
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    ends = [read_metrics(run.workdir)[-1]["test_best/loss"] for run in alone]
    assert len(set(ends)) == len(alone)


def test_stopped_and_resumed_the_bytes_are_the_same(tmp_path, regression, small_config):
    config = small_config(replicas=2)
    whole = make_runs(regression, config, tmp_path / "whole", dropout=0.3)
    together(whole)
    runs = make_runs(regression, config, tmp_path / "stopped", dropout=0.3)
    calls = []

    def stopping(step, train):
        calls.append(step)
        if len(calls) in (8, 15):
            os.kill(os.getpid(), signal.SIGTERM)
        return train(step)

    def once():
        for run in runs:
            train = seeded(run.config)
            wrapped = regression(
                run.config, train=lambda step, train=train: stopping(step, train), dropout=0.3
            )
            yield run._replace(experiment=wrapped)

    for _ in range(2):
        with pytest.raises(PreemptedError):
            together(list(once()))
    # a kill between two saves: the last checkpoint is only in one folder
    last = max(int(path.name) for path in (runs[1].workdir / "checkpoints").glob("[0-9]*"))
    shutil.rmtree(runs[1].workdir / "checkpoints" / str(last))
    together(runs)
    last = list(endings([*runs, *whole]))
    for found, expected in zip(last[:2], last[2:], strict=True):
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)
    for run, other in zip(runs, whole, strict=True):
        lines = [(each.workdir / "metrics.jsonl").read_bytes() for each in (run, other)]
        assert lines[0] == lines[1]
        events = (run.workdir / "attempts.jsonl").read_text().splitlines()
        assert [json.loads(line)["event"] for line in events].count("PreemptedError") == 2


def test_a_damaged_checkpoint_of_one_run_moves_all_runs_to_the_previous_one(
    tmp_path, regression, small_config
):
    config = small_config(replicas=2)
    whole = make_runs(regression, config, tmp_path / "whole")
    together(whole)
    shutil.copytree(tmp_path / "whole", tmp_path / "damaged")
    runs = make_runs(regression, config, tmp_path / "damaged")
    for run in runs:
        (run.workdir / "result.json").unlink()
    for path in (runs[1].workdir / "checkpoints" / "12").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    together(runs)
    for run, other in zip(runs, whole, strict=True):
        assert (run.workdir / "metrics.jsonl").read_bytes() == (
            other.workdir / "metrics.jsonl"
        ).read_bytes()
    aside = [path.name for path in (runs[1].workdir / "damaged-checkpoints").iterdir()]
    assert [name.split("-")[0] for name in aside] == ["12"]
    assert not (runs[0].workdir / "damaged-checkpoints").exists()


def test_runs_that_have_no_step_in_common_are_left_alone(tmp_path, regression, small_config):
    config = small_config(replicas=2)
    first, second = make_runs(regression, config, tmp_path)
    fit(first.experiment, first.config, first.workdir)
    with pytest.raises(
        ConfigError, match=r"have no checkpoint at a common step; finish each of them"
    ):
        together([first, second])
    assert (first.workdir / "checkpoints" / "12").is_dir()


def test_killed_before_every_run_had_its_first_checkpoint(tmp_path, regression, small_config):
    config = small_config(replicas=2)
    runs = make_runs(regression, config, tmp_path)
    together(runs)
    before = [(run.workdir / "metrics.jsonl").read_bytes() for run in runs]
    for path in (runs[0].workdir / "checkpoints").glob("[0-9]*"):
        path.rename(path.with_name("0")) if path.name == "12" else shutil.rmtree(path)
    shutil.rmtree(runs[1].workdir / "checkpoints")
    together(runs)
    assert [(run.workdir / "metrics.jsonl").read_bytes() for run in runs] == before


def test_a_run_that_is_not_finite_does_not_stop_the_others(tmp_path, regression, small_config):
    config = small_config(optimizer="sgd", learning_rates=(0.01, 1e30))
    runs = make_runs(regression, config, tmp_path)
    with pytest.raises(NonFiniteError, match="not finite at step"):
        together(runs)
    good, bad = (run.workdir for run in runs)
    assert json.loads((good / "result.json").read_text())["step"] == 12
    assert not (bad / "result.json").exists()
    ends = [(folder / "attempts.jsonl").read_text().splitlines()[-1] for folder in (good, bad)]
    assert [json.loads(line)["event"] for line in ends] == ["finished", "NonFiniteError"]
    assert all(np.isfinite(list(line.values())).all() for line in read_metrics(bad))
    with pytest.raises(NonFiniteError):
        together(runs[1:], devices=1)


def test_one_bad_batch_is_not_forgotten_by_the_run_that_goes_on(tmp_path, regression, small_config):
    config = small_config(replicas=2)
    good, bad = make_runs(regression, config, tmp_path)
    calls = []

    def overflowing(step):
        batch = seeded(bad.config)(step)
        calls.append(step)
        if step == 4:
            batch["y"][0] = 1e20  # the loss is infinite, with adam the parameters are not
        if calls == list(range(9)):  # the run has failed by then
            os.kill(os.getpid(), signal.SIGTERM)
        return batch

    bad = bad._replace(experiment=regression(bad.config, train=overflowing))
    with pytest.raises(PreemptedError):
        together([good, bad], devices=1)
    for _ in range(3):
        with pytest.raises(NonFiniteError, match="not finite at step"):
            together(
                [run for run in (good, bad) if not (run.workdir / "result.json").exists()],
                devices=1,
            )
        assert (good.workdir / "result.json").is_file()
        assert not (bad.workdir / "result.json").exists()


def test_no_checkpoint_is_deleted_before_every_run_has_the_next(
    tmp_path, regression, small_config, monkeypatch
):
    saved = []
    for name in ("wait", "save"):
        plain = getattr(Checkpoints, name)

        def noted(self, *args, name=name, plain=plain):
            saved.append(name)
            return plain(self, *args)

        monkeypatch.setattr(Checkpoints, name, noted)
    together(make_runs(regression, small_config(replicas=2), tmp_path))
    each = ["wait", "wait", "save", "save"]
    # steps 0, 4, 6 and 8; before the last evaluation, and at step 12
    assert saved == [*each * 4, "wait", "wait", *each]


def test_runs_that_cannot_share_a_program_are_refused(tmp_path, regression, small_config):
    with pytest.raises(
        ConfigError, match=r"3 runs \(config.replicas .* must be a multiple of the 4 dev"
    ):
        replica_devices(3)
    assert replica_devices(8) == 4
    config = small_config(replicas=2)
    short, long = make_runs(regression, config, tmp_path)
    long = long._replace(experiment=regression(long.config, train=seeded(long.config, rows=16)))
    with pytest.raises(ConfigError, match=r"batches of equal shapes, got .*8, 3.* and .*16, 3"):
        together([short, long])


def test_networks_of_different_shapes_are_refused(tmp_path, regression, small_config):
    config = small_config(replicas=2)
    first, second = (run.experiment for run in make_runs(regression, config, tmp_path))
    wider = make_runs(regression, config, tmp_path, features=3)[1].experiment
    check_shapes([first, second])
    message = r"networks of equal shapes, got dense/bias of shapes \(2,\) and \(3,\)"
    with pytest.raises(ConfigError, match=message):
        check_shapes([first, wider])


def test_folder_of_replicas_is_no_run_and_a_run_is_no_folder_of_replicas(tmp_path):
    one, several = OptimizerConfig(), OptimizerConfig(replicas=2)
    write_config(tmp_path / "several", several)
    check_config(tmp_path / "several", several)
    with pytest.raises(ConfigError, match="replicas was 2, now 3"):
        check_config(tmp_path / "several", OptimizerConfig(replicas=3))
    with pytest.raises(ConfigError, match="contains replicas, one run in each subfolder"):
        check_config(tmp_path / "several", one)
    write_config(tmp_path / "one", one)
    with pytest.raises(ConfigError, match="contains a single run: give another"):
        check_config(tmp_path / "one", several)


def test_setting_that_was_added_since_counts_as_its_default(tmp_path):
    write_config(tmp_path, OptimizerConfig())
    fields = json.loads((tmp_path / "config.json").read_text())
    del fields["weight_decays"], fields["ema_decay"]
    (tmp_path / "config.json").write_text(json.dumps(fields))
    check_config(tmp_path, OptimizerConfig())
    with pytest.raises(ConfigError, match=r"ema_decay was 0.0, now 0.5"):
        check_config(tmp_path, OptimizerConfig(ema_decay=0.5))


@pytest.mark.parametrize("replicas", [1, 2])
def test_settings_that_no_longer_exist_are_named(tmp_path, replicas):
    config = OptimizerConfig(replicas=replicas)
    write_config(tmp_path, config)
    path = tmp_path / ("config.json" if replicas == 1 else "replicas.json")
    fields = json.loads(path.read_text())
    del fields["ema_decay"]
    path.write_text(json.dumps({**fields, "longest": 3, "averaging": 0.0}))
    before = path.read_bytes()
    with pytest.raises(ConfigError) as caught:
        check_config(tmp_path, config)
    assert str(caught.value).startswith(
        f"workdir {tmp_path} was made by another version, with settings that no longer exist: "
        "averaging, longest; see CHANGELOG.md"
    )
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
