"""The report: groups, intervals, unfinished runs, saved results."""

import csv
import json

import pytest

from experiments.report import report, runs, study
from tests.experiments.report.made import make_run


def table_of(folder, **options):
    """Cells of the report's CSV, the header first."""
    table, _ = report.report(folder, form="csv", **options)
    return list(csv.reader(table.splitlines()))


@pytest.fixture
def folder(tmp_path):
    for seed, value in enumerate((1.0, 2.0, 4.5)):
        make_run(tmp_path, f"a{seed}", seed, value, cell="rnn")
    make_run(tmp_path, "b0", 0, 0.5, cell="gru")
    make_run(tmp_path, "b1", 1, None, step=10, cell="gru")
    return tmp_path


def test_runs_are_grouped_by_the_varying_settings_except_the_seed(folder):
    groups = runs.group_runs(runs.load_runs(folder))
    assert [(group.label, len(group.runs)) for group in groups] == [
        ("cell=rnn", 3),
        ("cell=gru", 2),
    ]


@pytest.mark.parametrize("values", [[3, 20, 100], [1e-05, 0.001, 0.01, 0.1]])
def test_runs_are_in_the_order_of_their_numbers(tmp_path, values):
    for lag in reversed(values):
        make_run(tmp_path, f"lag={lag},seed=0", 0, 1.0, lag=lag)
    assert [run.config["lag"] for run in runs.load_runs(tmp_path)] == values


def test_report_is_aligned_and_lists_unfinished_runs_without_averaging_them(folder):
    text, stderr = report.report(folder)
    assert stderr == ""
    rows = [line for line in text.splitlines() if line.startswith(("rnn", "gru", "cell"))]
    header = "cell test/loss 95 % interval n best step seconds a run"
    assert rows[0].split() == header.split()
    assert rows[1].split() == ["rnn", "2.5000", "+-", "4.4783", "3", "0,", "10,", "20", "10"]
    assert rows[2].split() == ["gru", "0.5000", "-", "1", "0", "10"]
    assert len({row.rindex("10") for row in rows[1:]}) == 1
    assert f"not finished: {folder / 'b1'}, step 10 of 20" in text
    assert "text of a2" in text  # the run with the lowest objective, but the highest test loss
    assert (folder / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_saved_result_has_every_number_and_no_folder(folder, tmp_path):
    with pytest.raises(ValueError, match=r"b1 is not finished"):
        report.report(folder, save=str(tmp_path / "r.json"))
    for path in sorted((folder / "b1").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (folder / "b1").rmdir()
    (folder / "sweep.json").write_text('{"runs": [{"name": "b0"}, {"name": "b1"}]}')
    with pytest.raises(ValueError, match=r"b1 has not started: no result is written"):
        report.report(folder, save=str(tmp_path / "r.json"))
    (folder / "sweep.json").unlink()
    command = "launch.py --config.dataset=files:/a/x.en,/b/x.de --flagfile=e/f.flags"
    report.report(folder, save=str(tmp_path / "r.json"), command=command)
    saved = json.loads((tmp_path / "r.json").read_text())
    assert saved["metric"] == "test/loss"
    assert [row["settings"] for row in saved["rows"]] == [{"cell": "rnn"}, {"cell": "gru"}]
    assert saved["rows"][0]["metrics"]["test/loss"] == [1.0, 2.0, 4.5]
    assert saved["rows"][0]["seeds"] == [0, 1, 2]
    assert (saved["rows"][0]["mean"], saved["rows"][1]["interval"]) == (2.5, None)
    assert saved["rows"][0]["interval"] == pytest.approx(4.4783, abs=1e-4)
    assert saved["rows"][0]["curve"] == {
        "metric": "val/loss",
        "steps": [0, 10, 20],
        "values": [[2.0] * 3, [1.5] * 3, [1.0] * 3],
    }
    assert saved["config"] == {"steps": 20}
    assert saved["command"] == (
        "launch.py --config.dataset=files:DATA_DIR/x.en,DATA_DIR/x.de --flagfile=e/f.flags"
    )
    assert "somewhere" not in json.dumps(saved)


def test_folder_of_a_single_run_is_reported(folder):
    assert "1.0000" in report.report(folder / "a0")[0]


def test_nothing_to_report_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        report.main(["report", f"--workdir={tmp_path}"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"error: there is no finished run in {tmp_path}\n"
    with pytest.raises(SystemExit):
        report.main(["report", f"--workdir={tmp_path / 'none'}"])
    assert capsys.readouterr().err.count("\n") == 1


def test_unknown_time_is_not_averaged(folder):
    result = json.loads((folder / "a0" / "result.json").read_text())
    (folder / "a0" / "result.json").write_text(json.dumps({**result, "seconds": None}))
    assert [row[-1] for row in table_of(folder)] == ["seconds a run", "", "10.0"]


def test_baseline_is_compared_on_the_seeds_that_both_have_finished(folder):
    make_run(folder, "c1", 1, 1.5, cell="lstm")
    make_run(folder, "c2", 2, 5.0, cell="lstm")
    make_run(folder, "d7", 7, 5.0, cell="mut")
    header, rnn, gru, lstm, mut = table_of(folder, baseline="cell=rnn")
    assert header[5:9] == ["minus cell=rnn", "its 95 % interval", "pairs", "difference"]
    assert rnn[5:9] == ["", "", "", ""]
    assert gru[5:8] == ["-0.5", "", "1"]
    # differences -0.5 and 0.5: standard deviation sqrt(0.5), t(0.975, 1) = 12.7062
    assert [float(lstm[5]), lstm[7]] == [0.0, "2"]
    assert float(lstm[6]) == pytest.approx(12.7062 * 0.5, rel=1e-5)
    assert mut[5:9] == ["", "", "0", "too few pairs"]


def test_baseline_is_given_by_any_settings_that_match_one_configuration(tmp_path):
    for rate in (0.001, 0.01):
        for i, widths in enumerate(([1, 2], [3])):
            settings = {"rate": rate, "widths": widths, "tied": True, "cell": "a,b"}
            make_run(tmp_path, f"{rate}-{i}", 0, 1.0, **settings)
    groups = runs.group_runs(runs.load_runs(tmp_path))
    for text in (
        "rate=1e-3,widths=[1,2]",
        "rate=0.001, widths=[1, 2]",
        "widths=[1, 2],tied=true,cell=a,b,rate=0.001,steps=20",
    ):
        assert study.find_baseline(text, groups) is groups[0], text
    for text, count, near in (
        ("rate=0.001,widths=[4]", 0, "rate=0.001,widths=[3]"),
        ("0.01", 0, "rate=0.01,widths=[3]"),
        ("seed=0", 0, ""),
    ):
        with pytest.raises(ValueError, match=f"matches {count} of 4 ") as error:
            study.find_baseline(text, groups)
        assert f"(did you mean {near}" in str(error.value)
    several = "add settings that only one of them has: rate=0.01,widths=.1, 2.; rate=0.01,widths=.3"
    with pytest.raises(ValueError, match=f"matches 2 of 4 configurations, not one .{several}"):
        study.find_baseline("rate=1e-2", groups)
    with pytest.raises(ValueError, match="needs several configurations"):
        study.find_baseline("tied=true", groups[:1])


def test_other_metric_has_its_own_table_and_curve(folder, monkeypatch):
    calls = []
    monkeypatch.setattr(report, "draw", lambda *a: calls.append(a[2:]) or [folder / "curves.png"])
    for path in folder.glob("*/result.json"):
        result = json.loads(path.read_text())
        result["metrics"]["train/nats"] = 7.0
        path.write_text(json.dumps(result))
    assert [row[1] for row in table_of(folder, metric="train/nats")] == ["train/nats", "7.0", "7.0"]
    results = [json.loads(path.read_text()) for path in folder.glob("*/result.json")]
    assert study.find_metric("", {"e": results}) == "test/loss"
    table_of(folder)
    own, usual = ("train/nats", "train/nats", "val/loss"), ("test/loss", "val/loss", "val/loss")
    assert calls == [own, usual]
    near = r"--metric=tst/loss is not measured by these runs \(did you mean test/loss\?\)"
    with pytest.raises(ValueError, match=near):
        study.find_metric("tst/loss", {"e": results})


def test_settings_that_cannot_change_the_result_do_not_split_seeds(tmp_path):
    for seed in (0, 1):
        make_run(tmp_path, f"a{seed}", seed, 1.0 + seed, save_every=seed + 5, log_every=seed)
    groups = runs.group_runs(runs.load_runs(tmp_path))
    assert [(group.settings, len(group.runs)) for group in groups] == [({}, 2)]
    make_run(tmp_path, "b0", 0, 1.0, save_every=9, log_every=0)  # a sweep of save_every
    groups = runs.group_runs(runs.load_runs(tmp_path))
    assert [group.settings["save_every"] for group in groups] == [5, 6, 9]


def test_failed_and_diverged_runs_are_named_and_in_the_table(folder, capsys):
    make_run(folder, "c0", 0, None, step=10, cell="lstm")
    last = '{"event": "NonFiniteError", "step": 12}\n'
    (folder / "c0" / "attempts.jsonl").write_text(f'{{"event": "start", "step": 0}}\n5\n{last}')
    entries = [{"name": f"d{i}", "overrides": [f"cell={c}", "seed=0"]} for i, c in enumerate("xy")]
    (folder / "sweep.json").write_text(json.dumps({"experiment": "e", "runs": [*entries, 5, {}]}))
    (folder / "exits.jsonl").write_text('{"name": "d0", "exit": 2}\n{"na')
    (folder / "a1" / "metrics.jsonl").write_text('{"step": 0, "val/loss": 1}\nnan-sense\n')
    (folder / "b0" / "result.json").write_text("")
    text, _ = report.report(folder)
    assert f"diverged: {folder / 'c0'}, step 12 of 20\n" in text
    assert f"failed before it began (exit code 2): {folder / 'd0'}\n" in text
    assert f"not started: {folder / 'd1'}\n" in text
    assert f"not finished: {folder / 'b0'}, step 20 of 20\n" in text
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line}
    for cell in ("gru", "lstm", "x", "y"):
        assert rows[cell] == ["-", "-", "0", "-", "-"]
    assert rows["rnn"][0] == "2.5000"  # the result of a1 counts, only its curve is lost
    warning = f"warning: {folder / 'a1' / 'metrics.jsonl'}:2: this line is damaged: "
    assert capsys.readouterr().err.startswith(warning)
    (folder / "sweep.json").write_text("{")
    assert all(run.begun for run in runs.load_runs(folder))
    assert f"warning: cannot read {folder / 'sweep.json'}: " in capsys.readouterr().err


def test_copy_of_a_run_does_not_count_as_a_second_seed(folder):
    make_run(folder, "a1 copy", 1, 2.0, cell="rnn")
    with pytest.raises(ValueError, match=r"a1 and .*a1 copy have the same settings and seed"):
        report.report(folder)


def test_other_formats_print_only_the_table_to_stdout(folder, capsys):
    report.main(["report", f"--workdir={folder}", "--format=markdown", "--baseline=cell=gru"])
    printed = capsys.readouterr()
    assert [line[0] for line in printed.out.splitlines()] == ["|"] * 4
    assert f"not finished: {folder / 'b1'}, step 10 of 20\n" in printed.err
    assert f"metric by settings: {folder / 'setting-cell.png'}\n" in printed.err
    assert (folder / "setting-cell.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--baseline=cell=gruu", "did you mean cell=gru?"),
        ("--metric=tst/loss", "did you mean test/loss?"),
        ("--format=tex", "one of text, csv, markdown, latex, html, got 'tex' (did you mean text?)"),
        ("hidden=64", "flags begin with --, got 'hidden=64'"),
    ],
)
def test_an_invalid_flag_is_one_line_and_draws_nothing(folder, capsys, flag, message):
    with pytest.raises(SystemExit) as stop:
        report.main(["report", f"--workdir={folder}", flag])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not list(folder.glob("*.png"))
