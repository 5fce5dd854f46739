"""Settings of every experiment: all are read, reach the network, and mean the same everywhere."""

import ast
import dataclasses
import functools
import importlib
import inspect
import json
import pkgutil
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest
from flax import linen as nn

from tests.closure import closure, path_of
from tests.runs.test_experiments import FOLDER, NAMES, ROOT, small
from train.cli import TRAINED_MODES, parse
from train.config import OptimizerConfig

# settings of networks, all used at once; none is the default of an experiment
OPTIONS = {
    "layers": 2,
    "hidden": 6,
    "embedding": 10,
    "channels": 6,
    "blocks": 2,
    "frame_stacking": 2,
    "char_features": 4,
    "dropout": 0.11,
    "embedding_dropout": 0.12,
    "word_dropout": 0.13,
    "weight_drop": 0.14,
    "scheduled_sampling": 0.15,
    "activation_reg": 0.16,
    "temporal_activation_reg": 0.17,
    "input_scale": 0.18,
    "init_range": 0.19,
    "cell": "rnn",
    "directions": "backward",
    "pooling": "mean",
    "char_encoder": "recurrent",
    "output": "softmax",
    "attention": "dot",
    "bridge": "zeros",
    "readout": "mean",
    "softmax": "sampled",
    "num_sampled": 7,
    "variational_dropout": True,
    "direct_connections": True,
    "input_feeding": True,
    "reverse_source": True,
    "bidirectional": False,
    "tie_embeddings": True,
    "grouped_convolutions": False,
}
EXCEPTIONS = {("gradient_health", "cell")}  # there the cell is a submodule of the network
OTHER_OPTIONS = {
    "mdrnn": {"cell": "elman", "scan_directions": 2},
    "captioning": {"input_feeding": False, "view": "each_step"},
}
ALIASES = {  # names of a setting in the networks
    "channels": "width",
    "embedding": "width features",
    "hidden": "features widths",
    "char_features": "features",
    "char_encoder": "kind",
    "frame_stacking": "count",
    "scheduled_sampling": "sampling",
    "activation_reg": "activation_penalty",
    "temporal_activation_reg": "change_penalty",
    "num_sampled": "samples",
    "variational_dropout": "variational",
    "direct_connections": "direct",
    "reverse_source": "backwards",
    "tie_embeddings": "tied",
    "grouped_convolutions": "grouped",
    "scan_directions": "directions",
}


@pytest.fixture(params=NAMES, scope="module")
def module(request):
    return importlib.import_module(f"experiments.{request.param}")


def read_fields(paths):
    """Names of the attributes of `config` that some files read."""
    return set().union(*map(fields_read_in, paths))


@functools.cache
def fields_read_in(path):
    """Names of the attributes of `config` that a file reads."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            owner = node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            if name == "config" or (name == "self" and path.name == "config.py"):
                names.add(node.attr)
    return names


def test_every_field_of_every_config_is_read(module):
    shared = read_fields((ROOT / "train").glob("*.py"))
    shared |= {"data_dir"}  # random sequences have no folder
    files = closure(Path(module.__file__), True)
    for name in getattr(module, "MODES", {}).values():
        files |= closure(path_of(name.partition(":")[0]), True)
    own = read_fields(path for path in files if FOLDER in path.parents)
    common = {field.name for field in dataclasses.fields(OptimizerConfig)}
    for field in dataclasses.fields(module.Config):
        readers = own | shared if field.name in common else own
        assert field.name in readers, f"nothing reads config.{field.name}"
        assert field.metadata["help"] or field.metadata["choices"], field.name


def is_sizes(value):
    """Whether a field is a tuple of numbers, such as the widths of layers."""
    return isinstance(value, tuple) and all(isinstance(each, int) for each in value)


def fields_within(node):
    """(name, value) of the simple fields of a module and all modules in it."""
    if isinstance(node, nn.Module):
        fields = {field.name for field in dataclasses.fields(node)} - {"parent", "name"}
        values = {name: getattr(node, name) for name in fields}
        simple = {pair for pair in values.items() if isinstance(pair[1], (str, int, float))}
        simple |= {(name, each) for name, x in values.items() if is_sizes(x) for each in x}
        return simple.union(*map(fields_within, values.values()))
    if isinstance(node, Mapping):
        node = tuple(node.values())
    return set().union(*map(fields_within, node)) if isinstance(node, (tuple, list)) else set()


def test_settings_reach_the_network(module, text_file):
    experiment = module.__name__.removeprefix("experiments.")
    names = {field.name for field in dataclasses.fields(module.Config)}
    options = OPTIONS | OTHER_OPTIONS.get(experiment, {})
    options = {
        name: value
        for name, value in options.items()
        if name in names and (experiment, name) not in EXCEPTIONS
    }
    config = dataclasses.replace(small(module, text_file), **options)
    config.check()
    pairs = fields_within(module.build(config).task.model)
    for name, value in options.items():
        names = (name, *ALIASES.get(name, "").split())
        assert {(each, value) for each in names} & pairs, f"the network ignores config.{name}"


def test_commands_use_existing_settings(module):
    experiment = module.__name__.removeprefix("experiments.")
    files = [*sorted((ROOT / "docs").rglob("*.md")), FOLDER / "README.md"]
    texts = [module.__doc__, *(path.read_text(encoding="utf-8") for path in files)]
    lines = re.sub(r"\\\n\s*", "", "\n".join(texts)).splitlines()
    mention = re.compile(rf"experiments\.{experiment}\b|--experiment={experiment}\b")
    commands = [line for line in lines if mention.search(line)]
    assert commands
    names = {field.name for field in dataclasses.fields(module.Config)}
    for line in commands:
        named = set(re.findall(r"--(?:config\.|(?:sweep|zip|space)=[\"']?)(\w+)=", line))
        assert named <= names, line


def test_presets_have_existing_settings_and_can_be_used(module):
    names = {field.name for field in dataclasses.fields(module.Config)}
    for preset, values in module.Config.PRESETS.items():
        assert set(values) <= names
        words = ["x", "--workdir=x", f"--config.preset={preset}"]
        config, *_ = parse(module.Config, ("train",), words)
        config.check()
        assert all(getattr(config, name) == value for name, value in values.items())


def test_module_docstring_has_a_command(module):
    assert "python -m experiments." in module.__doc__


def test_every_mode_can_be_imported_and_has_a_summary(module):
    for name in getattr(module, "MODES", {}).values():
        assert inspect.getdoc(pkgutil.resolve_name(name))


def test_settings_of_a_mode_name_a_mode(module):
    modes = {*getattr(module, "MODES", {}), *TRAINED_MODES}
    for field in dataclasses.fields(module.Config):
        assert set(field.metadata["modes"]) <= modes, field.name


def test_a_setting_means_the_same_in_every_experiment():
    helps = {}
    for name in NAMES:
        for field in dataclasses.fields(importlib.import_module(f"experiments.{name}").Config):
            helps.setdefault(field.name, set()).add(field.metadata["help"])
    assert not {name: texts for name, texts in helps.items() if len(texts) > 1}


def test_recorded_commands_parse_with_the_settings_of_today():
    for path in sorted((FOLDER / "results").glob("*.json")):
        command = shlex.split(json.loads(path.read_text(encoding="utf-8"))["command"])
        if command[1] != "launch.py":
            continue
        name = next(word[13:] for word in command if word.startswith("--experiment="))
        config_class = importlib.import_module(f"experiments.{name}").Config
        words = [word for word in command if word.startswith(("--config.", "--flagfile="))]
        for word in command:
            if swept := re.fullmatch(r"--(?:sweep|zip)=(\w+)=(.*)", word):
                words.append(f"--config.{swept[1]}={first_value(swept[2])}")
        config, *_ = parse(config_class, ("train",), ["x", "--workdir=x", *words])
        config.check()


def first_value(values):
    """First value of a sweep, as the command line writes it."""
    if values.startswith("["):
        return ast.literal_eval(values)[0]
    return re.split(r",|\.\.", values)[0]
