"""Settings: their types and ranges, presets, the nearest name."""

import dataclasses
from typing import ClassVar

import pytest

from train import cli
from train.config import ConfigError, OptimizerConfig, changed, hint, option


def test_config_checks_types_set_from_python():
    with pytest.raises(ConfigError, match=r"config\.steps must be of type int, got '5'"):
        OptimizerConfig(steps="5").check()
    with pytest.raises(ConfigError, match=r"config\.momentum must be of type float, got True"):
        OptimizerConfig(momentum=True).check()
    OptimizerConfig(learning_rate=1).check()


@dataclasses.dataclass(slots=True, kw_only=True)
class Preset(OptimizerConfig):
    """Settings with two presets."""

    PRESETS: ClassVar = {"small": {"steps": 7, "batch_size": 3}, "large": {"steps": 900}}


def test_preset_gives_other_defaults_and_what_is_given_wins(tmp_path):
    words = ["x", f"--workdir={tmp_path}", "--config.batch_size=5"]
    config, *_ = cli.parse(Preset, ("train",), [*words, "--config.preset=small"])
    assert (config.preset, config.steps, config.batch_size) == ("small", 7, 5)
    plain, *_ = cli.parse(Preset, ("train",), words)
    assert (plain.steps, plain.batch_size) == (OptimizerConfig().steps, 5)
    wrong, *_ = cli.parse(Preset, ("train",), [*words, "--config.preset=larg"])
    with pytest.raises(ConfigError, match=r"one of small, large, got 'larg' \(did you mean large"):
        wrong.check()
    with pytest.raises(ConfigError, match="must be one of none here, got 'small'"):
        OptimizerConfig(preset="small").check()
    assert "other defaults, by name (small, large)" in cli.usage(Preset, {})


def test_hint_names_the_nearest_or_nothing():
    assert hint("sed", ["seed", "steps"]) == " (did you mean seed?)"
    assert hint("qqq", ["seed", "steps"]) == ""


def test_option_needs_no_bounds():
    @dataclasses.dataclass(kw_only=True)
    class Extended(OptimizerConfig):
        flag: bool = option(False, "a switch")

    Extended(flag=True).check()
    with pytest.raises(ConfigError, match=r"config\.flag must be of type bool, got 1"):
        Extended(flag=1).check()


def test_changed_default_keeps_help_range_and_choices():
    @dataclasses.dataclass(kw_only=True)
    class Extended(OptimizerConfig):
        steps: int = changed("steps", 7)
        optimizer: str = changed("optimizer", "sgd")

    assert (Extended().steps, Extended().optimizer) == (7, "sgd")
    assert OptimizerConfig().steps == 1000
    with pytest.raises(ConfigError, match=r"config\.steps must be at least 1, got 0"):
        Extended(steps=0).check()
    with pytest.raises(ConfigError, match=r"one of sgd, momentum, adam, adamw, got 'adma'"):
        Extended(optimizer="adma").check()
    assert "optimizer steps in the whole run" in cli.usage(Extended, {})
