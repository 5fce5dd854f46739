"""Reports of several folders and several experiments."""

import csv
import json
from pathlib import Path

import pytest

from experiments.report import report, study
from experiments.report.tables import FORMS, make_table
from tests.experiments.report.made import make_run


def table_of(*folders, **options):
    """Cells of the report's CSV, the header first."""
    found = study.read_study(folders, **options)
    table = make_table(found.groups, found.metric, found.baseline)
    return list(csv.reader(FORMS["csv"](table).splitlines()))


@pytest.fixture
def cells(tmp_path):
    """Folder of a sweep of char_lm with three seeds."""
    for seed, value in enumerate((1.0, 2.0, 4.5)):
        make_run(tmp_path / "cells", f"a{seed}", seed, value, experiment="char_lm", hidden=8)
        make_run(tmp_path / "cells", f"b{seed}", seed, value + 1, experiment="char_lm", hidden=16)
    return tmp_path / "cells"


@pytest.fixture
def rates(tmp_path):
    """Folder of a sweep of word_lm with three seeds and other settings."""
    for seed, value in enumerate((2.0, 3.1, 5.4)):
        settings = {"experiment": "word_lm", "rate": 0.1, "rows": 7}
        make_run(tmp_path / "rates", f"c{seed}", seed, value, **settings)
        make_run(tmp_path / "rates", f"d{seed}", seed, None, **settings | {"rate": 0.2})
    return tmp_path / "rates"


def test_experiments_share_a_table_with_the_settings_that_vary_in_each(cells, rates):
    rows = table_of(cells, rates, baseline="experiment=char_lm,hidden=8")
    assert rows[0][:4] == ["experiment", "hidden", "rate", "test/loss"]
    assert rows[0][7] == "minus experiment=char_lm, hidden=8"
    assert [row[:3] for row in rows[1:]] == [
        ["char_lm", "8", ""],
        ["char_lm", "16", ""],
        ["word_lm", "", "0.1"],
        ["word_lm", "", "0.2"],
    ]
    # differences 1.0, 1.1, 0.9: t = 1 / (0.1 / sqrt(3)) = 17.32, two-sided p = 0.0033; Holm: once
    assert rows[2][9:11] == ["3", "all pairs differ equally"]
    assert rows[3][9:11] == ["3", "higher (p = 0.003)"]
    assert rows[4][9:11] == ["0", "too few pairs"]
    text, _ = report.report(cells, rates)
    line = next(line for line in text.splitlines() if line.startswith("word_lm"))
    assert line.split()[:4] == ["word_lm", "-", "0.1", "3.5000"]
    assert f"not finished: {rates / 'd0'}, step 20 of 20" in text
    assert "text of" not in text  # no samples


def test_a_folder_with_runs_of_several_experiments_is_reported(cells, rates):
    rows = report.report(cells.parent)[0].splitlines()[2:4]
    assert [row.split()[:3] for row in rows] == [["char_lm", "8", "-"], ["char_lm", "16", "-"]]
    assert [path.name for path in cells.parent.glob("*.png")] == ["curves.png"]


def test_the_metric_must_be_common(cells, tmp_path, capsys):
    make_run(tmp_path / "images", "e0", 0, 0.9, experiment="lenet5", headline="test/accuracy")
    words = ["report", f"--workdir={cells},{tmp_path / 'images'}"]
    for more, problem in (
        ([], "the runs have several headlines: test/accuracy, test/loss"),
        (["--metric=test/loss"], "--metric=test/loss is not measured by lenet5"),
    ):
        with pytest.raises(SystemExit) as stop:
            report.main([*words, *more])
        assert stop.value.code == 2
        assert capsys.readouterr().err == f"error: {problem}; choose --metric from val/loss\n"
    rows = table_of(cells, tmp_path / "images", metric="val/loss")
    assert [row[:3] for row in rows][1:] == [
        ["char_lm", "8", "2.5"],
        ["char_lm", "16", "1.5"],
        ["lenet5", "", "4.1"],
    ]
    path = make_run(tmp_path / "none", "f0", 0, 0.9, experiment="nmt", headline="test/bleu")
    result = json.loads((path / "result.json").read_text())
    result["metrics"] = {"test/bleu": 30.0, "nats": 1.0}
    (path / "result.json").write_text(json.dumps({**result, "objective": "nats"}))
    with pytest.raises(ValueError, match=r"by nmt; there is no common metric$"):
        report.report(cells, tmp_path / "none", metric="val/loss")


def test_sweeps_of_one_experiment_are_one_table(cells, tmp_path):
    for seed in (3, 4):
        make_run(tmp_path / "more", f"a{seed}", seed, 2.0, experiment="char_lm", hidden=8)
    rows = table_of(cells, tmp_path / "more")
    assert [(row[0], row[3]) for row in rows[1:]] == [("8", "5"), ("16", "3")]


def test_equal_runs_of_two_folders_are_told_apart_by_the_folder(cells, tmp_path):
    old, new = str(cells), str(tmp_path / "new")
    for seed, value in enumerate((0.9, 1.7, 4.4)):
        make_run(tmp_path / "new", f"a{seed}", seed, value, experiment="char_lm", hidden=8)
    rows = table_of(cells, tmp_path / "new", baseline=f"folder={old},hidden=8")
    assert [row[:2] for row in rows] == [["folder", "hidden"], [old, "8"], [old, "16"], [new, "8"]]
    assert rows[3][6] != ""
    assert len(table_of(cells, cells, baseline="hidden=8")) == 3  # the same folder twice


def test_several_folders_have_pictures_only_in_the_output(cells, rates, tmp_path):
    text, _ = report.report(cells, rates)
    assert "--output=DIR writes the curves" in text
    assert not list(tmp_path.glob("**/*.png"))
    text, _ = report.report(cells, rates, output=str(tmp_path / "both"))
    assert f"curves: {tmp_path / 'both' / 'curves.png'}" in text
    assert [path.name for path in (tmp_path / "both").iterdir()] == ["curves.png"]
    report.report(cells / "a0", output=str(tmp_path / "one"))
    assert (tmp_path / "one" / "curves.png").is_file()
    assert not list(cells.glob("*.png"))


def test_a_result_is_not_saved_of_several_folders_or_experiments(cells, rates, tmp_path):
    for folders in ([cells, rates], [tmp_path], [cells, cells]):
        with pytest.raises(ValueError, match="--save writes the result of one folder with runs of"):
            report.report(*folders, save=str(tmp_path / "r.json"))


def test_a_folder_without_a_run_is_an_error(cells, tmp_path):
    with pytest.raises(ValueError, match=rf"there is no run in {tmp_path / 'none'}"):
        report.report(cells, tmp_path / "none")


def test_folders_are_separated_by_commas_that_no_folder_has(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("rate=1,seed=0", "b", "c"):
        Path(name).mkdir()
    assert study.split_folders("rate=1,seed=0") == [Path("rate=1,seed=0")]
    assert study.split_folders("b,~/rate=1,seed=0,c") == [
        Path("b"),
        tmp_path / "rate=1,seed=0",
        Path("c"),
    ]
    assert study.split_folders("b,none,c") == [Path("b"), Path("none"), Path("c")]


def test_a_run_that_names_no_experiment_belongs_to_that_of_its_folder(cells):
    path = make_run(cells, "a3", 3, 3.0, hidden=8)
    (path / "environment.json").write_text("{")
    entry = {"name": "z", "overrides": ["hidden=32", "seed=0"]}
    (cells / "sweep.json").write_text(json.dumps({"runs": [entry]}))
    assert [row[:1] for row in table_of(cells)] == [["hidden"], ["8"], ["16"], ["32"]]


def test_a_run_of_another_folder_from_before_a_setting_has_its_default(tmp_path):
    for name, more in (("old", {}), ("new", {"resident": "auto"})):
        seed = len(more)
        make_run(tmp_path / name, "a", seed, 1.0 + seed, experiment="iris", **more)
    assert table_of(tmp_path / "old", tmp_path / "new")[1][:3:2] == ["1.5", "2"]
