"""--help: modes with their own settings, settings by group, presets with their values."""

import dataclasses
from typing import ClassVar

import pytest

from train.config import GROUPS, OptimizerConfig, RunConfig, option
from train.usage import usage


@dataclasses.dataclass(slots=True, kw_only=True)
class Config(OptimizerConfig):
    """Settings with two presets, and settings of modes."""

    PRESETS: ClassVar = {
        "small": {"steps": 7, "figures_at": (0.5, 1.0)},
        "large": {f"{name}_every": 123_456 for name in ("log", "eval", "save", "decay")},
    }

    steps: int = OptimizerConfig.changed("steps", 300, "of this class")
    width: int = option(3, "hidden units", note="per layer", minimum=1)
    corpus: str = option("a", "corpus", group="data", choices=("a", "b"))
    prompt: str = option("", "text to continue", modes=("write",))
    picture: str = option("out.png", "image file", modes=("write", "draw"))


def write(task, predict):
    """Print a continuation of the prompt.

    It is printed as it is sampled.
    """


def draw(task, predict):
    """Draw the weights."""


MODES = {name: f"{__name__}:{name}" for name in ("write", "draw")}


def sections(text):
    """Lines below each header, by its name."""
    lines, found = text.splitlines(), {}
    headers = {f"{name}:" for name in ("modes", *GROUPS, "presets")}
    for line in lines[lines.index("modes:") :]:
        if line in headers:
            found[line[:-1]] = current = []
        elif line:
            current.append(line)
    return found


def names(lines):
    return [line.split("=")[0].strip().removeprefix("--config.") for line in lines]


def test_help_begins_with_the_docstring_and_the_usage():
    text = usage(Config, MODES)
    assert text.startswith(__doc__.strip())
    assert "\nusage: --workdir=DIR [--mode=MODE]" in text


def test_each_group_lists_its_settings_in_their_order():
    found = sections(usage(Config, MODES))
    assert list(found) == ["modes", *GROUPS, "presets"]
    for group in GROUPS:
        expected = [
            field.name
            for field in dataclasses.fields(Config)
            if field.metadata["group"] == group and not field.metadata["modes"]
        ]
        assert names(found[group]) == expected
    assert names(found["network"]) == ["width"]
    assert "batch_size" in names(found["data"])
    assert "ema_decay" in names(found["optimizer"])
    assert {"steps", "seed", "learning_rates"} <= set(names(found["run"]))


def test_a_group_without_settings_is_left_out():
    found = sections(usage(RunConfig, {}))
    assert list(found) == ["modes", "data", "run"]
    assert found["modes"] == [line for line in found["modes"] if "--mode=train" in line]


def test_each_mode_is_followed_by_its_own_settings():
    modes = sections(usage(Config, MODES))["modes"]
    assert [line.split()[0] for line in modes] == [
        "--mode=train",
        "--mode=write",
        "--config.prompt=",
        "--config.picture=out.png",
        "--mode=draw",
        "--config.picture=out.png",
    ]
    assert modes[1].endswith(" Print a continuation of the prompt")
    assert modes[4].endswith(" Draw the weights")
    assert modes[2].startswith("    --config.")
    assert modes[2].endswith(" text to continue")


def test_each_preset_lists_its_values():
    lines = sections(usage(Config, MODES))["presets"]
    assert all(len(line) <= 100 for line in lines)
    small = lines.index("  --config.preset=small")
    large = lines.index("  --config.preset=large")
    assert small < large
    assert " ".join(lines[small + 1 : large]).split("steps=")[1] == "7 figures_at=(0.5, 1.0)"
    assert " ".join(lines[large + 1 :]).split() == [
        "log_every=123456",
        "eval_every=123456",
        "save_every=123456",
        "decay_every=123456",
    ]


@pytest.mark.parametrize(
    ("setting", "help"),
    [
        ("width=3", "hidden units; per layer"),
        ("corpus=a", "corpus (a, b)"),
        ("steps=300", "optimizer steps of the whole run; of this class"),
        ("optimizer=adam", "optimizer (sgd, momentum, nesterov, adagrad, rmsprop, adam, adamw)"),
        ("preset=", "name of a set of defaults, listed below (small, large)"),
        ("learning_rates=()", "learning rates to train in one program, each with every seed"),
    ],
)
def test_a_setting_has_its_default_help_note_and_choices(setting, help):
    (line,) = (x for x in usage(Config, MODES).splitlines() if f"--config.{setting} " in x)
    assert line.split(maxsplit=1)[1] == help
