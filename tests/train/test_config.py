"""Settings: their types and ranges, presets, the nearest name."""

import dataclasses
from typing import ClassVar

import pytest

from train import cli
from train.config import ConfigError, OptimizerConfig, RunConfig, option
from train.validity import hint


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


def test_preset_gives_other_defaults_and_the_command_line_wins(tmp_path):
    words = ["x", f"--workdir={tmp_path}", "--config.batch_size=5"]
    config, *_ = cli.parse(Preset, ("train",), [*words, "--config.preset=small"])
    assert (config.preset, config.steps, config.batch_size) == ("small", 7, 5)
    plain, *_ = cli.parse(Preset, ("train",), words)
    assert (plain.steps, plain.batch_size) == (OptimizerConfig().steps, 5)
    wrong, *_ = cli.parse(Preset, ("train",), [*words, "--config.preset=larg"])
    with pytest.raises(ConfigError, match=r"one of small, large, got 'larg' \(did you mean large"):
        wrong.check()
    with pytest.raises(ConfigError, match=r"must be empty \(no presets\), got 'small'"):
        OptimizerConfig(preset="small").check()


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


def test_setting_of_a_mode_is_volatile():
    assert option(0, "help", modes=("write",)).metadata["volatile"]
    assert option(0, "help", volatile=True).metadata["volatile"]
    assert not option(0, "help").metadata["volatile"]


def test_a_warm_up_that_never_ends_is_refused_unless_it_is_a_default():
    @dataclasses.dataclass(kw_only=True)
    class Warm(OptimizerConfig):
        warmup_steps: int = OptimizerConfig.changed("warmup_steps", 100)

    Warm(steps=2).check_training()
    with pytest.raises(ConfigError, match=r"warmup_steps must be at most config.steps, 9"):
        Warm(steps=9, warmup_steps=10).check_training()


def test_paths_to_write_to_do_not_come_from_a_run(tmp_path):
    @dataclasses.dataclass(kw_only=True)
    class Extended(OptimizerConfig):
        picture: str = option("p.png", "image file", modes=("draw",), output=True)

    (tmp_path / "config.json").write_text('{"picture": "/home/me/x.pdf", "steps": 7}')
    words = ["x", f"--workdir={tmp_path}", "--mode=draw"]
    config, *_ = cli.parse(Extended, ("train", "draw"), words)
    assert (config.picture, config.steps) == ("p.png", 7)
    config, *_ = cli.parse(Extended, ("train", "draw"), [*words, "--config.picture=own.png"])
    assert config.picture == "own.png"


def test_changed_default_keeps_help_range_and_choices():
    @dataclasses.dataclass(kw_only=True)
    class Extended(OptimizerConfig):
        steps: int = OptimizerConfig.changed("steps", 7)
        optimizer: str = OptimizerConfig.changed("optimizer", "sgd")

    assert (Extended().steps, Extended().optimizer) == (7, "sgd")
    assert OptimizerConfig().steps == 1000
    with pytest.raises(ConfigError, match=r"config\.steps must be at least 1, got 0"):
        Extended(steps=0).check()
    with pytest.raises(
        ConfigError,
        match=r"rmsprop, adam, adamw, got 'adma'",
    ):
        Extended(optimizer="adma").check()


def test_changed_takes_the_field_of_the_class_it_is_called_on():
    @dataclasses.dataclass(slots=True, kw_only=True)
    class Room(RunConfig):
        batch_size: int = RunConfig.changed("batch_size", 32, "in sentences")
        width: int = option(4, "hidden units", note="per direction", maximum=8)

    @dataclasses.dataclass(slots=True, kw_only=True)
    class Door(Room):
        batch_size: int = Room.changed("batch_size", 16)
        steps: int = Room.changed("steps", 5, note="of this experiment")
        width: int = Room.changed("width", 2, note="")

    fields = {cls: {f.name: f for f in dataclasses.fields(cls)} for cls in (RunConfig, Room, Door)}
    notes = {cls: fields[cls]["batch_size"].metadata["note"] for cls in fields}
    assert notes == {RunConfig: "in examples", Room: "in sentences", Door: "in sentences"}
    assert [cls().batch_size for cls in fields] == [128, 32, 16]
    assert fields[Door]["steps"].metadata["note"] == "of this experiment"
    assert fields[Room]["steps"].metadata["note"] == fields[RunConfig]["steps"].metadata["note"]
    assert (Door().width, fields[Door]["width"].metadata["note"]) == (2, "")
    assert (Room().width, fields[Room]["width"].metadata["note"]) == (4, "per direction")
    for name in ("batch_size", "steps", "width"):
        for key in ("help", "group", "bounds", "choices", "volatile"):
            assert fields[Door][name].metadata[key] == fields[Room][name].metadata[key]
    with pytest.raises(ConfigError, match=r"config\.width must be at most 8, got 9"):
        Door(width=9).check()
    with pytest.raises(KeyError, match="nothing"):
        Room.changed("nothing", 1)


def test_several_runs_are_of_one_process_and_differ():
    with pytest.raises(ConfigError, match=r"config\.learning_rates has a repeated value: \(1, 1."):
        OptimizerConfig(learning_rates=(1, 1.0)).check()
    with pytest.raises(
        ConfigError, match=r"config\.replicas cannot be combined with config\.distributed"
    ):
        RunConfig(replicas=2, distributed=True).check()
    assert RunConfig(replicas=2).replicated
    assert not OptimizerConfig().replicated
    assert OptimizerConfig(weight_decays=(0.1,)).replicated
