"""Every experiment: two steps, both kinds of parallelism, both precisions, modes without data."""

import dataclasses
import importlib
import io
import json
import pkgutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

from data.catalogue import DataError
from experiments import char_lm, open_run
from tests.train.conftest import by_rows
from train import figures
from train.config import ConfigError, RunConfig
from train.export import write_stablehlo
from train.loop import fit, make_placement
from train.metrics import read_metrics
from train.task import initial_carry

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "experiments"
NAMES = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))
# the held-out sets that a mode scores
NEED_DATA = {
    "robustness": " 'test'",
    "inside": " 'test'",
    "shift": " 'test'",
    "regions": " 'test'",
    "units": " 'validation'",
    "features": " 'test'",
    "calibrate": "s",
    "dynamic": "s",
    "cache": "s",
    "decode": "s",
    "iterations": "s",
    "compare": " 'test'",
    "recall": " 'test'",
    "svm": " 'test'",
}
OTHER_INPUT = ("waveforms",)  # its mode reads numbers: docs/new_experiment.md
STDIN = {"nmt": "<de>3. März 2005\n", "multiway_nmt": "May 4, 1999\n", "word2vec": "the\n"}
PHRASES = "\n<en>May 4, 1999\n<en>May 5, 1999\n"


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
    """Folder and result of a run of two steps; a figure that cannot be drawn is an error."""
    folder = tmp_path_factory.mktemp("two_steps")
    config = small(module, text_file)
    config.check()
    config.check_training()

    def failed(what, step, error):
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "_warn", failed)
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


def first_step(module, text_file, initial, **changes):
    """Loss and gradient norm of the first step, by name."""
    config = small(module, text_file, **changes)
    experiment = module.build(config)
    devices = make_placement(config.parallel, config.batch_size)
    # copied, since the step is given the state's memory
    state, window = jax.tree.map(jnp.copy, initial)
    batch = devices.put_batch(experiment.train(0))
    placed = devices.spread(state), devices.copy(window), batch
    _, window = devices.compile(experiment)(*placed)
    means = devices.one(window).means
    return {name: float(means[name].value) for name in ("loss", "grad_norm")}


def test_bfloat16_by_pmap_gives_nearly_the_same(module, two_steps, initial, text_file):
    found = first_step(module, text_file, initial, parallel="pmap", precision="bfloat16")
    plain = next(line for line in read_metrics(two_steps[0]) if "train/loss" in line)
    for name, rtol in {"loss": 3e-2, "grad_norm": 5e-2}.items():
        np.testing.assert_allclose(found[name], plain[f"train/{name}"], rtol=rtol, err_msg=name)
    # one of them may be equal, if the initial outputs are zero
    assert any(value != plain[f"train/{name}"] for name, value in found.items())


# a carry, batch statistics, rows of tables, several networks
@pytest.mark.parametrize(
    "module", ["char_lm", "convnet", "word2vec", "multiway_nmt"], indirect=True
)
def test_pmap_gives_the_same(module, two_steps, initial, text_file):
    found = first_step(module, text_file, initial, parallel="pmap")
    plain = next(line for line in read_metrics(two_steps[0]) if "train/loss" in line)
    for name, value in found.items():
        np.testing.assert_allclose(value, plain[f"train/{name}"], rtol=1e-5, err_msg=name)


def test_parameters_stay_float32_in_bfloat16(module, text_file):
    config = small(module, text_file, precision="bfloat16")
    experiment = module.build(config)
    batch = experiment.train(0)
    task = experiment.task
    variables = jax.eval_shape(task.init, jax.random.key(0), batch)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float32")}
    carry = initial_carry(task, batch)
    outputs, carry = jax.eval_shape(task.apply, variables, batch, carry)
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


def test_the_rows_of_two_processes_are_the_batch(module, text_file):
    experiment = module.build(small(module, text_file))
    whole = experiment.train(1)
    count = len(next(iter(whole.values())))
    for rows in (np.arange(count // 2), np.arange(count // 2, count)):
        own = experiment.train(1, rows)
        assert own.keys() == whole.keys()
        for key, array in own.items():
            np.testing.assert_array_equal(array, whole[key][rows], err_msg=key)


def input_file(name, folder):
    """Return an input file for the modes that read one."""
    if name == "iris":
        names = ("sepal length", "sepal width", "petal length", "petal width")
        header = ",".join(f"{name} (cm)" for name in names)
        (folder / "own.csv").write_text(f"{header}\n5.1,3.5,1.4,0.2\n")
        return str(folder / "own.csv")
    if name == "speech_ctc":
        sound = np.sin(np.arange(4000) * 0.3) * 8000
        wavfile.write(folder / "own.wav", 8000, sound.astype(np.int16))
        return str(folder / "own.wav")
    Image.fromarray(np.eye(20, 40, dtype=np.uint8) * 255).save(folder / "own.png")
    return str(folder / "own.png")


def test_modes_without_the_data(module, two_steps, tmp_path, monkeypatch, capsys):
    folder, _ = two_steps
    name = module.__name__.removeprefix("experiments.")

    def deleted(config):
        raise DataError("the data are gone")

    monkeypatch.setattr(module, "build", deleted)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    own = {
        "sample_length": 3,
        "n_best": 1,
        "length_penalty": 5.0,
    }  # the best translation of an untrained network may be empty
    names = {field.name for field in dataclasses.fields(module.Config)}
    for mode, function in getattr(module, "MODES", {}).items():
        settings = {key: value for key, value in own.items() if key in names}
        pictures = ("classify", "segment", "caption", "detect")
        if mode in ("transcribe", *pictures) and "input" in names:
            settings["input"] = input_file(name, tmp_path)
        if mode == "compare":
            settings["others"] = str(folder)
        if mode == "caption":  # which draws nothing by default
            settings["picture"] = str(tmp_path / "drawn.png")
        text = STDIN.get(name, "some words\n") + PHRASES * (mode == "states")
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        run = open_run(folder, **settings)
        if mode in NEED_DATA:
            message = f"this mode needs the held-out set{NEED_DATA[mode]} of dataset .* are gone"
            with pytest.raises(ConfigError, match=message) as caught:
                pkgutil.resolve_name(function)(run)
            assert "\n" not in str(caught.value)
        else:
            if name in OTHER_INPUT:
                continue
            pkgutil.resolve_name(function)(run)
            assert capsys.readouterr().out.strip(), mode
    assert not list(here.iterdir())  # a mode writes into the run, unless told otherwise


def other_sizes(task, batch):
    """Rows and lengths that differ from those of a batch: three rows, twice the open lengths."""
    other = {}
    for name, array in batch.items():
        axes = task.axes.get(name.rpartition("/")[2], "b").replace(" ", "").split(",")
        repeats = [1 if symbol in ("b", "...") else 2 for symbol in axes]
        rows = np.asarray(array)[:3]
        other[name] = np.tile(rows, repeats + [1] * (rows.ndim - len(repeats)))
    return other


# one experiment of each kind of network
@pytest.mark.parametrize(
    "module",
    ["lenet5", "imagenet", "mdrnn", "char_lm", "pos_tagger", "nmt", "sentiment", "speech_ctc"],
    indirect=True,
)
def test_the_exported_forward_pass_takes_other_sizes(module, two_steps, text_file, tmp_path):
    folder, _ = two_steps
    run = open_run(folder)
    write_stablehlo(run, tmp_path)
    program = jax.export.deserialize((tmp_path / "network.stablehlo").read_bytes())
    inputs = json.loads((tmp_path / "network.json").read_text())["inputs"]
    batch = other_sizes(run.task, module.build(run.config).train(0))
    outputs, _ = run.predict(batch)
    carry = jax.tree.leaves(initial_carry(run.task, batch))
    found, _ = program.call({name: batch[name] for name in inputs}, carry)
    for a, b in zip(found, jax.tree.leaves(outputs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_lecture_network_overfits_one_window_of_text(tmp_path, text_file):
    config = small(char_lm, text_file, cell="rnn", hidden=48, bptt_length=24, batch_size=4)
    config = dataclasses.replace(config, steps=150, log_every=150, learning_rate=0.02)
    experiment = char_lm.build(config)
    window = experiment.train(0)
    experiment = dataclasses.replace(experiment, train=by_rows(lambda step: window))
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
