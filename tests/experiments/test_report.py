"""The report: groups, intervals, unfinished runs, what is saved."""

import json

import numpy as np
import pytest

from experiments import _report as report


def make_run(folder, name, seed, value=None, step=20, **settings):
    """Write the files of a run as far as a report reads them."""
    path = folder / name
    (path / "figures").mkdir(parents=True)
    config = {"seed": seed, "steps": 20, "data_dir": f"/somewhere/{name}", **settings}
    (path / "config.json").write_text(json.dumps(config))
    (path / "data.json").write_text('{"dataset": "d"}')
    environment = {"machine": "m", "devices": ["cpu"], "python": "3", "versions": {}, "commit": "c"}
    (path / "environment.json").write_text(json.dumps(environment))
    lines = [{"step": s, "val/loss": 2.0 - s / 20} for s in range(0, step + 1, 10)]
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"step": 99, "cut'
    (path / "metrics.jsonl").write_text(text)
    (path / "figures" / "sample-0000010.txt").write_text(f"text of {name}\n")
    if value is not None:
        result = {
            "headline": "test/loss",
            "curve": "val/loss",
            "objective": "val/loss",
            "metrics": {"test/loss": value, "val/loss": value},
            "seconds": 10.0,
        }
        (path / "result.json").write_text(json.dumps(result))


@pytest.fixture
def folder(tmp_path):
    for seed, value in enumerate((1.0, 2.0, 4.5)):
        make_run(tmp_path, f"a{seed}", seed, value, cell="rnn")
    make_run(tmp_path, "b0", 0, 0.5, cell="gru")
    make_run(tmp_path, "b1", 1, None, step=10, cell="gru")
    return tmp_path


def test_interval_is_students():
    mean, half = report.mean_interval([1.0, 2.0, 4.5])
    assert mean == 2.5
    # t(0.975, 2) = 4.302653, standard deviation of the three 1.8027756
    assert half == pytest.approx(4.302653 * 1.8027756 / np.sqrt(3), rel=1e-6)
    assert report.mean_interval([3.0]) == (3.0, None)


def test_runs_are_grouped_by_what_varies_but_the_seed(folder):
    groups = report.group_runs(report.load_runs(folder))
    assert [(group.label, len(group.runs)) for group in groups] == [
        ("cell=rnn", 3),
        ("cell=gru", 2),
    ]


def test_runs_are_in_the_order_of_their_numbers(tmp_path):
    for lag in (100, 20, 3):
        make_run(tmp_path, f"lag={lag},seed=0", 0, 1.0, lag=lag)
    assert [run.config["lag"] for run in report.load_runs(tmp_path)] == [3, 20, 100]


def test_report_aligns_and_shows_the_unfinished_without_averaging_it(folder):
    text = report.report(folder)
    rows = [line for line in text.splitlines() if line.startswith(("rnn", "gru", "cell"))]
    assert rows[0].split() == [
        "cell",
        "test/loss",
        "95",
        "%",
        "interval",
        "n",
        "seconds",
        "a",
        "run",
    ]
    assert rows[1].split() == ["rnn", "2.5000", "+-", "4.4783", "3", "10"]
    assert rows[2].split() == ["gru", "0.5000", "-", "1", "10"]
    assert len({row.rindex("10") for row in rows[1:]}) == 1
    assert f"not finished: {folder / 'b1'}, step 10 of 20" in text
    assert "text of b0" in text
    assert (folder / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_saved_result_holds_every_figure_and_no_folder(folder, tmp_path):
    with pytest.raises(ValueError, match=r"b1 is not finished"):
        report.report(folder, save=str(tmp_path / "r.json"))
    for path in sorted((folder / "b1").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (folder / "b1").rmdir()
    command = "launch.py --config.dataset=files:/a/x.en,/b/x.de --flagfile=e/f.flags"
    report.report(folder, save=str(tmp_path / "r.json"), command=command)
    saved = json.loads((tmp_path / "r.json").read_text())
    assert saved["metric"] == "test/loss"
    assert [row["settings"] for row in saved["rows"]] == [{"cell": "rnn"}, {"cell": "gru"}]
    assert saved["rows"][0]["metrics"]["test/loss"] == [1.0, 2.0, 4.5]
    assert saved["rows"][0]["seeds"] == [0, 1, 2]
    assert saved["config"] == {"steps": 20}
    assert saved["command"] == (
        "launch.py --config.dataset=files:DATA_DIR/x.en,DATA_DIR/x.de --flagfile=e/f.flags"
    )
    assert "somewhere" not in json.dumps(saved)


def test_folder_of_a_single_run_is_reported(folder):
    assert "1.0000" in report.report(folder / "a0")


def test_nothing_to_report_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        report.main(["report", f"--workdir={tmp_path}"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"error: there is no finished run in {tmp_path}\n"
    with pytest.raises(SystemExit):
        report.main(["report", f"--workdir={tmp_path / 'none'}"])
    assert capsys.readouterr().err.count("\n") == 1


def test_runs_of_several_experiments_are_refused(folder):
    result = json.loads((folder / "a0" / "result.json").read_text())
    text = json.dumps({**result, "headline": "other/loss"})
    (folder / "a0" / "result.json").write_text(text)
    with pytest.raises(ValueError, match="several experiments"):
        report.report(folder)


def test_unknown_time_is_not_averaged(folder):
    result = json.loads((folder / "a0" / "result.json").read_text())
    (folder / "a0" / "result.json").write_text(json.dumps({**result, "seconds": None}))
    row = next(line for line in report.report(folder).splitlines() if line.startswith("rnn"))
    assert row.split()[-2:] == ["3", "-"]
