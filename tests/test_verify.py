"""Verification of a recorded row: which run, until where, and what agrees."""

import json
import sys

import numpy as np
import pytest
from scipy import stats

from bench import verify
from jobs.run import Run

COMMAND = (
    "python launch.py --experiment=char_lm --workdir=runs/x --workers=2 --sweep=cell=rnn,gru "
    "--sweep=seed=0..2 --config.dataset=text:DATA_DIR/a.txt --config.steps=900 --result=x"
)
ROW = {
    "settings": {"cell": "rnn"},
    "seeds": [0, 1, 2],
    "metrics": {"test/loss": [1.0, 1.1, 1.2]},
    "seconds": [500.0, 600.0, 400.0],
    "curve": {
        "metric": "val/loss",
        "steps": [0, 300, 900],
        "values": [[9.0] * 3, [3.0] * 3, [1.0] * 3],
    },
}
RESULT = {
    "command": COMMAND,
    "metric": "test/loss",
    "config": {"replicas": 1},
    "rows": [{**ROW, "settings": {"cell": "gru"}}, ROW],
}


def test_bounds_are_the_prediction_interval_of_one_more_seed():
    low, high = verify.bounds([1.0, 1.1, 1.2])
    half = stats.t.ppf(0.995, 2) * np.std([1.0, 1.1, 1.2], ddof=1) * (1 + 1 / 3) ** 0.5
    assert (low, high) == pytest.approx((1.1 - half, 1.1 + half))
    assert verify.bounds([2.0] * 5) == pytest.approx((1.98, 2.02))  # equal seeds: 1 %
    assert verify.bounds([-2.0, -2.0]) == pytest.approx((-2.2, -1.8))  # too few: 10 %


def test_first_run_of_a_command(tmp_path):
    run = verify.first_run(COMMAND, tmp_path, "/data")
    assert run.command == (
        *(sys.executable, "-m", "experiments.char_lm", f"--workdir={tmp_path}/cell=rnn,seed=0"),
        *("--config.dataset=text:/data/a.txt", "--config.steps=900"),
        *("--config.cell=rnn", "--config.seed=0"),
    )
    assert verify.row_of(run, RESULT["rows"]) is ROW
    with pytest.raises(ValueError, match="needs its data: --data_dir"):
        verify.first_run(COMMAND, tmp_path, "")
    with pytest.raises(ValueError, match="made by another command"):
        verify.first_run("python -m bench.scoring --runs a", tmp_path, "/data")


def test_a_run_is_compared_where_the_time_allows():
    assert verify.point_of(RESULT, ROW, 600) == ("test/loss", [1.0, 1.1, 1.2], None)
    assert verify.point_of(RESULT, ROW, 599) == ("val/loss", [3.0] * 3, 300)
    with pytest.raises(ValueError, match="takes 10 minutes, and no point"):
        verify.point_of(RESULT, ROW, 150)
    with pytest.raises(ValueError, match="takes 30 minutes, and no point"):
        verify.point_of(RESULT | {"config": {"replicas": 3}}, ROW, 500)
    without = {name: value for name, value in ROW.items() if name != "curve"}
    with pytest.raises(ValueError, match="takes 10 minutes, and no point"):
        verify.point_of(RESULT, without, 599)


def script(folder, lines, result, more=""):
    """Run of a process that writes the files of a run directory, and then executes `more`."""
    contents = {
        "config.json": json.dumps({"seed": 0, "steps": 900}),
        "metrics.jsonl": "".join(json.dumps(line) + "\n" for line in lines),
    }
    if result:
        contents["result.json"] = json.dumps(result)
    code = f"import pathlib, time\nfor n, t in {contents}.items(): pathlib.Path(n).write_text(t)\n"
    folder.mkdir()
    start = f"import os; os.chdir({str(folder)!r})\n{code}{more}"
    return Run("x", (), folder, (sys.executable, "-c", start))


@pytest.mark.parametrize(("value", "agrees"), [(1.15, True), (2.5, False)])
def test_figure_at_the_end(tmp_path, capfd, monkeypatch, value, agrees):
    run = script(tmp_path / "x", [], {"metrics": {"test/loss": value}})
    monkeypatch.setattr(verify, "first_run", lambda *_: run)
    monkeypatch.setattr(verify, "SECOND", 0.05)
    assert verify.verify("x", RESULT, tmp_path, "", 600) is agrees
    line = capfd.readouterr().out
    assert f"x: test/loss at the end {value:.4f}; expected " in line
    assert line.endswith(": agrees\n" if agrees else ": DISAGREES\n")


def test_long_run_is_stopped_at_a_point_of_its_curve(tmp_path, capfd, monkeypatch):
    run = script(tmp_path / "x", [{"step": 300, "val/loss": 3.01}], None, "time.sleep(60)")
    monkeypatch.setattr(verify, "first_run", lambda *_: run)
    monkeypatch.setattr(verify, "SECOND", 0.05)
    assert verify.verify("x", RESULT, tmp_path, "", 300)
    assert (
        "x: val/loss at step 300 3.0100; expected 2.9700 to 3.0300: agrees"
        in capfd.readouterr().out
    )


def test_failed_run_is_not_verified(tmp_path, capfd, monkeypatch):
    run = script(tmp_path / "x", [], None, "raise SystemExit(3)")
    monkeypatch.setattr(verify, "first_run", lambda *_: run)
    monkeypatch.setattr(verify, "SECOND", 0.05)
    assert not verify.verify("x", RESULT, tmp_path, "", 600)
    assert "x: FAILED; the run ended with code 3" in capfd.readouterr().out


def test_rows_are_named_by_system_or_result():
    assert set(verify.results_of(["A4"])) == {"identity838"}
    assert set(verify.results_of(["iris_dnn", "A3"])) == {"iris_dnn", "iris_softmax"}
    with pytest.raises(ValueError, match=r"no row .iris_dmn. has a result .did you mean iris_dnn"):
        verify.results_of(["iris_dmn"])


def test_every_recorded_training_can_be_started_again(tmp_path):
    results = verify.results_of(["iris_dnn", "B3", "C8", "D1"])
    for result in results.values():
        if result["command"].startswith("python launch.py"):
            run = verify.first_run(result["command"], tmp_path, "/data")
            assert verify.row_of(run, result["rows"])["seeds"]
