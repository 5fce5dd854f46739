"""Runs and their groups."""

import json
import math

import pytest

from experiments.report import runs
from experiments.report.tables import make_table


def test_mean_curve_averages_the_finished_runs_that_measured_a_step(run_of):
    made = [
        run_of(0, 1.0, {0: 4.0, 10: 1.0, 20: 1.0}),
        run_of(1, 1.0, {0: 4.0, 10: 3.0}),
        run_of(2, None, {0: 9.0, 10: 9.0}),
    ]
    steps, means, halves = runs.mean_curve(runs.Group({}, made), "val/loss")
    assert steps == [0, 10, 20]
    assert means == [4.0, 2.0, 1.0]
    # 1 and 3: standard deviation sqrt(2), t(0.975, 1) = 12.7062
    assert halves[:2] == [0.0, pytest.approx(12.7062, rel=1e-5)]
    assert math.isnan(halves[2])
    assert runs.mean_curve(runs.Group({}, made[2:]), "val/loss") == ([], [], [])


def test_best_groups_keep_their_order_and_ties_go_to_the_first(run_of):
    values = (3.0, 1.0, math.nan, 2.0, None, 2.0)
    made = [runs.Group({"i": i}, [run_of(0, value)]) for i, value in enumerate(values)]

    def best(most):
        return [group.settings["i"] for group in runs.best_groups(made, "val/loss", most)]

    assert best(2) == [1, 3]
    assert best(4) == [0, 1, 3, 5]
    assert best(9) == [0, 1, 2, 3, 4, 5]


def test_metric_that_a_run_did_not_measure_does_not_count(run_of):
    made = [run_of(0, 1.0), run_of(1, 2.0), run_of(2)]
    made[1].result["metrics"]["val/bleu"] = 30.0
    group = runs.Group({}, made)
    assert group.values("val/bleu") == [30.0]
    assert group.by_seed("val/bleu") == {1: 30.0}
    table = make_table([group], "val/bleu", None)
    assert table.rows == [[30.0, None, 1, "20", 10.0]]


def test_seeds_that_start_from_runs_of_their_seed_are_one_group(run_of):
    def start(seed, stride, source):
        return run_of(seed, stride=stride, init_from=f"runs/{stride}/{source}/result")

    made = [start(seed, stride, f"seed={seed}") for stride in (16, 8) for seed in (1, 10)]
    assert [group.settings for group in runs.group_runs(made)] == [
        {"stride": 16, "init_from": "runs/16/seed=*/result"},
        {"stride": 8, "init_from": "runs/8/seed=*/result"},
    ]
    others = [start(1, 8, "seed=1"), start(2, 8, "seed=1")]  # the second is of another seed
    assert [len(group.runs) for group in runs.group_runs(others)] == [1, 1]


def test_a_run_from_before_a_setting_has_its_default(tmp_path):
    for name, more in {"a": {}, "b": {"resident": "auto"}, "c": {"resident": "never"}}.items():
        (tmp_path / name).mkdir()
        config = {"steps": 9, "seed": 0, "gone": 1, **more}
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        environment = '{"experiment": "experiments.iris"}'
        (tmp_path / name / "environment.json").write_text(environment)
    old, same, other = [run.config for run in runs.load_runs(tmp_path)]
    assert old == same == {**other, "resident": "auto"}
    assert (old["steps"], old["gone"]) == (9, 1)
    (tmp_path / "a" / "environment.json").unlink()
    assert runs.load_runs(tmp_path)[0].config == {"steps": 9, "seed": 0, "gone": 1}


def test_metrics_are_read_only_where_they_are_used(tmp_path, monkeypatch):
    for seed in range(3):
        folder = tmp_path / str(seed)
        folder.mkdir()
        (folder / "config.json").write_text(f'{{"seed": {seed}, "steps": 9}}')
        (folder / "metrics.jsonl").write_text('{"step": 3, "val/loss": 2.5}\n{"step": 7}\n{"st')
    read = []
    monkeypatch.setattr(runs, "read_metrics", lambda path: read.append(path) or [{"step": 3.0}])
    loaded = runs.load_runs(tmp_path)
    assert [run.state.rpartition(", ")[2] for run in loaded] == ["step 7 of 9"] * 3
    assert not read
    assert [loaded[1].curve("step"), loaded[1].curve("loss")] == [{3: 3.0}, {}]
    assert read == [tmp_path / "1"]
