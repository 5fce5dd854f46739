"""A trained run without its data: every mode works, or names the held-out set that it needs."""

import shutil

import pytest

from experiments import __main__, char_lm, open_run, opinion_spans, pos_tagger
from experiments.language.calibration import calibrate
from tests.runs.test_experiments import small
from train.config import ConfigError
from train.loop import fit
from train.rundir import check_config, locked_run


def test_a_folder_names_its_experiment(text_file, tmp_path, capsys, monkeypatch):
    config = small(char_lm, text_file, figures_at=(), eval_every=2)
    fit(char_lm.build(config), config, tmp_path / "run")
    capsys.readouterr()
    monkeypatch.setattr("sys.argv", [])
    words = ["--mode=generate", "--config.prompt=def ", "--config.sample_length=9"]
    __main__.main(["experiments", str(tmp_path / "run"), *words])
    out = capsys.readouterr().out
    assert out.startswith("def ")
    assert len(out) == 4 + 9 + 1
    with pytest.raises(SystemExit) as caught:
        __main__.main(["experiments", str(tmp_path / "none"), *words])
    assert caught.value.code == 2
    assert "is not the directory of a run" in capsys.readouterr().err


def test_moved_data_give_the_same_scores_and_changed_ones_a_warning(text_file, tmp_path, capsys):
    (tmp_path / "a").mkdir()
    shutil.copy(text_file, tmp_path / "a")
    config = small(char_lm, tmp_path / "a" / text_file.name, figures_at=(), eval_every=2)
    fit(char_lm.build(config), config, tmp_path / "run")
    capsys.readouterr()
    calibrate(open_run(tmp_path / "run"))
    expected = capsys.readouterr().out
    moved = (tmp_path / "a").rename(tmp_path / "b") / text_file.name
    calibrate(open_run(tmp_path / "run", dataset=f"text:{moved}"))
    out, err = capsys.readouterr()
    assert out == expected
    assert not err
    moved.write_text(moved.read_text() + "another line\n")
    calibrate(open_run(tmp_path / "run", dataset=f"text:{moved}"))
    assert "warning: the data are not those of training: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": 9}, "cannot be used with other settings: hidden was 8, now 9"),
        ({"batchsize": 9}, r"no setting batchsize \(did you mean batch_size\?\)"),
        ({"temperature": -1.0}, "config.temperature must be at least 0"),
    ],
)
def test_settings_that_the_network_depends_on_cannot_change(settings, message, text_file, tmp_path):
    config = small(char_lm, text_file, figures_at=())
    with locked_run(tmp_path, config, {}):
        pass
    with pytest.raises(ConfigError, match=message):
        open_run(tmp_path, **settings)


def test_a_run_of_another_experiment_is_refused(text_file, tmp_path):
    config = small(pos_tagger, text_file)
    with locked_run(tmp_path, config, {}):
        pass
    other = small(opinion_spans, text_file)
    for training in (True, False):
        with pytest.raises(
            ConfigError, match=r"a run of experiments\.pos_tagger, not of"
        ) as caught:
            check_config(tmp_path, other, training)
        assert "\n" not in str(caught.value)
    check_config(tmp_path, config)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is not the directory of a run"):
        open_run(tmp_path)
