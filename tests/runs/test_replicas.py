"""Four seeds in one program give the same runs as single programs."""

import dataclasses
import importlib

import pytest

from experiments.report.runs import group_runs, load_runs
from tests.runs.test_experiments import small
from train.loop import fit
from train.metrics import read_metrics
from train.replicas import train_replicas


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("lenet5", {"figures_at": (), "jitter": 0.1}),
        ("char_lm", {"figures_at": (1.0,), "dropout": 0.2}),
    ],
)
def test_each_seed_equals_the_run_of_that_seed(name, changes, tmp_path, text_file, capsys):
    module = importlib.import_module(f"experiments.{name}")
    config = small(module, text_file, steps=3, seed=1, **changes)
    together = dataclasses.replace(config, replicas=4)
    workdir = tmp_path / "sweep" / "replicas"
    train_replicas(module.build, together, workdir)
    assert "finished: 4 runs in" in capsys.readouterr().out
    for seed in (1, 4):
        alone = dataclasses.replace(config, seed=seed)
        folder, other = workdir / f"seed={seed}", tmp_path / f"alone{seed}"
        fit(module.build(alone), alone, other)
        metrics, expected = read_metrics(folder), read_metrics(other)
        assert len(metrics) == len(expected) >= 5
        for a, b in zip(metrics, expected, strict=True):
            assert a == pytest.approx(b, rel=1e-4, abs=1e-5)
        figures = [sorted(p.name for p in f.glob("figures/*")) for f in (folder, other)]
        assert figures[0] == figures[1]
        assert len(figures[0]) == len(config.figures_at)
        assert (folder / "config.json").read_bytes() == (other / "config.json").read_bytes()

    (group,) = group_runs(load_runs(tmp_path / "sweep"))
    assert [run.config["seed"] for run in group.runs] == [1, 2, 3, 4]
    train_replicas(module.build, together, workdir)
    assert capsys.readouterr().out.count("is finished at step 3") == 4
