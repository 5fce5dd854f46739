"""The check of settings by the process that imports the experiment."""

import dataclasses
import json

import pytest

from experiments.report.check import check
from train.config import ConfigError, OptimizerConfig


def lines(folder, *sets):
    """Lines as the launcher writes them."""
    return [
        json.dumps({"name": f"r{i}", "argv": ["x", f"--workdir={folder / f'r{i}'}", *words]})
        for i, words in enumerate(sets)
    ]


def write_config(folder, name, **settings):
    (folder / name).mkdir()
    (folder / name / "config.json").write_text(json.dumps(settings))


def test_steps_of_all_runs_are_returned_and_nothing_is_written(tmp_path):
    sets = [[f"--config.seed={i}", f"--config.steps={i + 1}"] for i in range(300)]
    assert check(OptimizerConfig, lines(tmp_path, *sets)) == list(range(1, 301))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("--config.sed=1", "there is no --config.sed (did you mean seed?)"),
        ("--config.optimizer=adm", "got 'adm' (did you mean adam?)"),
        ("--config.steps=many", "many"),
        ("--config.steps=0", "config.steps must be at least 1, got 0"),
        ("--flagfile=/none", "/none"),
    ],
)
def test_first_invalid_run_is_named(tmp_path, word, part):
    with pytest.raises(ConfigError) as caught:
        check(OptimizerConfig, lines(tmp_path, [], [word], ["--config.steps=-1"]))
    assert str(caught.value).startswith("r1: ")
    assert part in str(caught.value)


def test_run_that_was_made_with_other_settings_is_refused(tmp_path):
    here = dataclasses.asdict(OptimizerConfig())
    write_config(tmp_path, "r1", **{**here, "save_every": 7})  # cannot change a result
    assert check(OptimizerConfig, lines(tmp_path, [], [])) == [1000, 1000]
    with pytest.raises(ConfigError, match=r"^r1: .*made with another config: seed was 0, now 4"):
        check(OptimizerConfig, lines(tmp_path, [], ["--config.seed=4"]))


def test_folder_with_runs_of_another_experiment_is_refused(tmp_path):
    write_config(tmp_path, "cell=gru", steps=4, cell="gru")
    with pytest.raises(ConfigError, match=r"cell=gru is a run of another .* has config\.cell"):
        check(OptimizerConfig, lines(tmp_path, []))
