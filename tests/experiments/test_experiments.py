"""Every experiment: two steps, both kinds of parallelism, both precisions, all settings read."""

import ast
import dataclasses
import importlib
import inspect
import json
import pkgutil
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from experiments import char_lm
from tests.closure import closure, path_of
from train.cli import parse
from train.config import OptimizerConfig, RunConfig
from train.loop import fit, make_placement
from train.metrics import read_metrics

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "experiments"
NAMES = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))
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
OTHER_OPTIONS = {"mdrnn": {"cell": "elman", "scan_directions": 2}}
ALIASES = {  # names of a setting in the networks
    "channels": "width",
    "embedding": "width features",
    "hidden": "features",
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


def small(module, text_file, **changes):
    """Config of a run of two steps: the TINY settings, and the changes of a test."""
    values = {**RunConfig.TINY, **module.Config.TINY, **changes}
    if "{data}" in values.get("dataset", ""):
        tagged_words(text_file)
        values["dataset"] = values["dataset"].format(data=text_file.parent)
    return module.Config(**values)


def tagged_words(text_file):
    """Write a tagged corpus of the first four words of some lines, so batches have one shape."""
    folder = text_file.parent / "tagged"
    folder.mkdir(exist_ok=True)
    lines = [line.split()[:4] for line in text_file.read_text().splitlines()[:60] if line.strip()]
    rows = [[f"{word} {'B-NAME' if word.istitle() else 'O'}" for word in line] for line in lines]
    for split in ("train", "test"):
        (folder / f"{split}.txt").write_text("\n\n".join(map("\n".join, rows)))


@pytest.fixture(params=NAMES, scope="module")
def module(request):
    return importlib.import_module(f"experiments.{request.param}")


@pytest.fixture(scope="module")
def two_steps(module, text_file, tmp_path_factory):
    """Folder and result of a run of two steps."""
    folder = tmp_path_factory.mktemp("two_steps")
    config = small(module, text_file)
    config.check()
    return folder, fit(module.build(config), config, folder)


@pytest.fixture(scope="module")
def initial(module, text_file):
    """State and window before the first step, of the settings of `two_steps`."""
    config = small(module, text_file)
    experiment = module.build(config)
    devices = make_placement(config.parallel, config.batch_size)
    return devices.init(experiment, config.seed, experiment.train(0))


def test_two_steps_leave_finite_metrics_and_pictures(two_steps):
    folder, result = two_steps
    assert result["headline"] in result["metrics"]
    assert result["curve"] in result["metrics"]
    assert all(np.isfinite(value) for value in result["metrics"].values())
    pictures = list((folder / "figures").iterdir())
    assert pictures
    for path in pictures:
        assert path.suffix in (".png", ".txt")
        assert path.stat().st_size > 20


@pytest.mark.parametrize("changes", [{"parallel": "pmap"}, {"precision": "bfloat16"}])
def test_pmap_and_bfloat16_give_nearly_the_same(module, two_steps, initial, text_file, changes):
    config = small(module, text_file, **changes)
    experiment = module.build(config)
    batch = experiment.train(0)
    devices = make_placement(config.parallel, config.batch_size)
    # copied, since the step is given the state's memory
    state, window = jax.tree.map(jnp.copy, initial)
    placed = devices.spread([state]), devices.copy([window]), devices.put_batch([batch])
    _, window = devices.compile(experiment)(*placed)
    means = devices.one(window)[0].means
    plain = next(line for line in read_metrics(two_steps[0]) if "train/loss" in line)
    tolerances = {"loss": 3e-2, "grad_norm": 5e-2} if "precision" in changes else {}
    different = False  # some losses may be equal, if the initial outputs are zero
    for name in ("loss", "grad_norm"):
        value, expected = float(means[name].value), plain[f"train/{name}"]
        np.testing.assert_allclose(value, expected, rtol=tolerances.get(name, 1e-5), err_msg=name)
        different |= value != expected
    assert "parallel" in changes or different


def test_parameters_stay_float32_in_bfloat16(module, text_file):
    config = small(module, text_file, precision="bfloat16")
    experiment = module.build(config)
    batch = experiment.train(0)
    task = experiment.task
    args = task.inputs(batch, task.init_carry(batch))
    variables = jax.eval_shape(lambda: task.model.init(jax.random.key(0), *args))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float32")}
    outputs, carry = jax.eval_shape(
        lambda v: task.split_outputs(task.model.apply(v, *args)), variables
    )
    types = {leaf.dtype for leaf in jax.tree.leaves((outputs, carry))}
    assert types - {np.dtype("int32")} == {np.dtype("float32")}  # lengths are integers


def test_batches_are_a_pure_function_of_seed_and_step(module, text_file):
    def batches(seed):
        experiment = module.build(small(module, text_file, seed=seed))
        return [experiment.train(step) for step in (3, 0, 3)]

    first, again, other = batches(0), batches(0), batches(1)
    for a, b in zip(first, again, strict=True):
        assert all(np.array_equal(a[key], b[key]) for key in a)
    assert all(np.array_equal(first[0][key], first[2][key]) for key in first[0])
    assert any(not np.array_equal(first[0][key], other[0][key]) for key in first[0])


def read_fields(paths):
    """Names of the attributes of `config` that some files read."""
    names = set()
    for path in paths:
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


def fields_within(node):
    """(name, value) of the simple fields of a module and all modules in it."""
    if isinstance(node, nn.Module):
        fields = {field.name for field in dataclasses.fields(node)} - {"parent", "name"}
        values = {name: getattr(node, name) for name in fields}
        simple = {pair for pair in values.items() if isinstance(pair[1], (str, int, float))}
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
    files = [*sorted((ROOT / "docs").glob("*.md")), FOLDER / "README.md"]
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
    modes = set(getattr(module, "MODES", {}))
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


def test_lecture_network_overfits_one_window_of_text(tmp_path, text_file):
    config = small(char_lm, text_file, cell="rnn", hidden=48, bptt_length=24, batch_size=4)
    config = dataclasses.replace(config, steps=150, log_every=150, learning_rate=0.02)
    experiment = char_lm.build(config)
    window = experiment.train(0)
    experiment = dataclasses.replace(experiment, train=lambda step: window)
    fit(experiment, config, tmp_path)
    assert json.loads((tmp_path / "result.json").read_text())["step"] == 150
    losses = [line["train/loss"] for line in read_metrics(tmp_path) if "train/loss" in line]
    assert losses[-1] < 1.5


def test_generated_text_continues_the_prompt_and_depends_on_the_seed(tmp_path, text_file):
    texts = []
    for seed in (0, 0, 1):
        config = small(char_lm, text_file, prompt="def f", seed=seed)
        task = char_lm.build(config).task
        tokens = np.zeros((1, 2), np.int32)
        variables = task.model.init(jax.random.key(0), tokens, task.model.initialize_carry(1))
        texts.append(task.generate(variables))
    assert all(text.startswith("def f") and len(text) == 5 + 20 + 1 for text in texts)
    assert texts[0] == texts[1] != texts[2]
    assert "\ufffd" not in texts[0]
