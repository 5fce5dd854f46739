"""--mode=summary and --mode=check: what they print, that they leave nothing, what they refuse."""

import os
import re
import tempfile
from types import SimpleNamespace

import pytest

from experiments import lenet5
from tests.train.conftest import refused
from train.config import OptimizerConfig


@pytest.fixture
def module(regression, small_config):
    """A small experiment with the settings of the tests."""

    def build(config):
        return regression(config)

    return SimpleNamespace(__name__="x", Config=OptimizerConfig, build=build)


@pytest.mark.parametrize("variant", ["published", "lecture"])
def test_the_summary_of_lenet5_has_the_published_numbers_of_parameters(run, variant):
    words = ["--mode=summary", f"--config.variant={variant}", "--config.batch_size=4"]
    code, out, err = run(lenet5, *words)
    assert (code, err) == (0, "")
    total = {"published": "60,000", "lecture": "60,850"}[variant]
    last = ["850"] if variant == "lecture" else []
    layers = re.findall(r"│ (\w\d) +│ \w+ ", out)
    counts = re.findall(r"│ ([\d,]+) \([\d.]+ K?B\)", out)
    assert layers == ["C1", "S2", "C3", "S4", "C5", "F6"]
    assert counts == ["156", "12", "1,516", "32", "48,120", "10,164", *last, total]
    assert f"parameters: {total}\n" in out
    assert re.search(r"a step on each of 4 devices: [\d,]{8,} FLOPs, [\d,]+ bytes accessed", out)
    assert "batch: image                float32 [4, 32, 32, 1]\n" in out
    assert "data: dataset digits, train 1293, validation 144, test 360" in out


@pytest.mark.parametrize("mode", ["summary", "check"])
def test_nothing_is_left_behind(run, module, mode, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    words = [f"--mode={mode}", "--config.batch_size=8", "--config.steps=1200"]
    code, out, err = run(module, *words, f"--workdir={tmp_path / 'run'}")
    assert (code, err) == (0, "")
    assert "data: rows drawn\n" in out
    assert sorted(os.listdir(tmp_path)) == ["temporary", "work"]
    assert not any(path.is_file() for path in tmp_path.rglob("*"))
    assert not list((tmp_path / "temporary").iterdir())
    if mode == "check":
        number = r"[\d.]+"
        for line in (
            rf"data: {number} s",
            rf"first step, with compilation: {number} s",
            rf"each step: {number} ms",
            rf"evaluation on validation, with compilation, loss {number}: {number} s",
            rf"checkpoint of {number} MB: {number} s",
            r"the run: 1200 steps, 3 evaluations: about \d+ s, without figures and final evalu",
        ):
            assert re.search(line, out), line


@pytest.mark.parametrize("mode", ["summary", "check"])
@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--config.sed=4"], ["no --config.sed", "did you mean seed?"]),
        (["--config.batch_size=6"], ["multiple of the 4 devices"]),
        (["--config.accumulate_steps=3"], ["accumulate_steps 3 must divide", "32"]),
        (["--config.profile=3"], ["config.profile must be FIRST..LAST"]),
        (["--config.freeze=kernel"], ["no parameter is below 'kernel'", "dense/kernel"]),
    ],
)
def test_bad_settings_are_refused_in_one_line(run, module, mode, words, parts):
    refused(run(module, f"--mode={mode}", *words), *parts)
