"""Start from another network: what is loaded, renamed, left, refused, and kept frozen."""

from functools import partial

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from safetensors.numpy import save_file

from tests.train.conftest import batch_at
from train.config import ConfigError
from train.loop import fit
from train.optimizer import make_optimizer
from train.paths import paths
from train.state import TrainState
from train.transfer import initial_variables, with_pretrained
from train.weights import read_state, read_variables

KERNEL, BIAS, CALLS = "params/dense/kernel", "params/dense/bias", "stats/calls"


def arrays(seed=0, **shapes):
    """Arrays by path of a network like the one of the tests, or with other shapes."""
    shapes = {KERNEL: (6, 2), BIAS: (2,), CALLS: (), **shapes}
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def nested(flat):
    tree = {}
    for path, array in flat.items():
        *folders, name = path.split("/")
        inner = tree
        for folder in folders:
            inner = inner.setdefault(folder, {})
        inner[name] = array
    return tree


def saved(kind, flat, tmp_path):
    """Write arrays by path in a form that init_from reads; return its path."""
    path = tmp_path / kind
    tree = nested(flat)
    if kind == "safetensors":
        save_file(flat, path)
    else:
        with ocp.StandardCheckpointer() as writer:
            writer.save(path.absolute(), tree["params"] if kind == "params" else tree)
    return path


OWN = nested(arrays(1))
SAID = {
    "safetensors": ["loaded 3 arrays: dense/bias, dense/kernel, stats/calls"],
    "variables": ["loaded 3 arrays: dense/bias, dense/kernel, stats/calls"],
    "params": ["loaded 2 arrays: dense/bias, dense/kernel", "new: 1 arrays: stats/calls"],
}


@pytest.mark.parametrize("kind", SAID)
def test_files_and_checkpoints_are_read(tmp_path, kind):
    flat, said = arrays(), []
    found = paths(initial_variables(OWN, str(saved(kind, flat, tmp_path)), "", said.append))
    assert said == SAID[kind]
    assert found.keys() == flat.keys()
    for path in flat:
        expected = paths(OWN)[path] if kind == "params" and path == CALLS else flat[path]
        np.testing.assert_array_equal(found[path], expected)


def test_rules_rename_and_skip(tmp_path):
    flat = {
        "params/encoder/kernel": arrays()[KERNEL],
        "params/encoder/bias": arrays()[BIAS],
        "params/head/kernel": np.zeros((9, 9), np.float32),
    }
    source, said = str(saved("safetensors", flat, tmp_path)), []
    rules = "encoder/bias>-, encoder>dense, head>decoder"
    found = paths(initial_variables(OWN, source, rules, said.append))
    assert said == [
        "loaded 1 arrays: dense/kernel",
        "left: 1 arrays: decoder/kernel",
        "new: 2 arrays: dense/bias, stats/calls",
    ]
    np.testing.assert_array_equal(found[KERNEL], flat["params/encoder/kernel"])
    np.testing.assert_array_equal(found[BIAS], paths(OWN)[BIAS])


@pytest.mark.parametrize(
    ("flat", "rules", "message"),
    [
        (arrays(**{KERNEL: (6, 3)}), "", r"dense/kernel has shape \(6, 3\) .* \(6, 2\) in this"),
        ({"params/other": np.ones(2)}, "", "no array of this network; it has 1 arrays: other, the"),
        (arrays(), "dens>x", r"init_map: no parameter is below 'dens' \(did you mean dense\?\)"),
        (arrays(), "dense", "needs rules OLD>NEW, separated by commas: 'dense'"),
    ],
)
def test_what_cannot_be_loaded_is_refused_in_one_line(tmp_path, flat, rules, message):
    source = str(saved("safetensors", flat, tmp_path))
    with pytest.raises(ConfigError, match=message) as caught:
        initial_variables(OWN, source, rules, print)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not a run directory, a safetensors file or an Orbax checkpoint"),
        (b"abc", "cannot read .*: Error while deserializing header"),
        (b"\xff" * 40, "cannot read .*: Error while deserializing header: header too large"),
        (b"\x02" + bytes(7) + b"{\n", "cannot read .*: "),
        (b"\x02" + bytes(7) + b"[]", "cannot read .*: "),
    ],
)
def test_unreadable_files_are_refused_in_one_line(tmp_path, content, message):
    if content:
        (tmp_path / "file").write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        initial_variables(OWN, str(tmp_path / "file"), "", print)
    assert "\n" not in str(caught.value)


def test_truncated_files_and_checkpoints_are_refused(tmp_path):
    path = saved("safetensors", arrays(), tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ConfigError, match=r"cannot read .*: .*file not fully covered"):
        initial_variables(OWN, str(path), "", print)
    path = saved("variables", arrays(), tmp_path)
    for file in path.rglob("manifest.ocdbt"):
        file.write_bytes(b"")
    with pytest.raises(ConfigError, match="cannot read") as caught:
        initial_variables(OWN, str(path), "", print)
    assert "\n" not in str(caught.value)


def test_pretrained_values_replace_all_but_nan():
    own = nested(arrays(1))
    values = arrays(2)[KERNEL]
    values[3] = np.nan
    found = paths(with_pretrained(own, {KERNEL: values}))
    expected = np.where(np.arange(6)[:, None] == 3, paths(own)[KERNEL], values)
    np.testing.assert_array_equal(found[KERNEL], expected)
    np.testing.assert_array_equal(found[BIAS], paths(own)[BIAS])


@pytest.fixture
def quick(small_config, regression):
    """Train two steps on four devices: (config, experiment)."""

    def run(folder, **changes):
        settings = {"steps": 2, "log_every": 2, "eval_every": 2, "figures_at": ()}
        config = small_config(**{**settings, **changes})
        experiment = regression(config, partial(batch_at, real=6), count_calls=True)
        fit(experiment, config, folder)
        return config, experiment

    return run


def test_training_starts_from_a_run(tmp_path, quick, capsys):
    quick(tmp_path / "first", seed=5)
    source = read_variables(tmp_path / "first", print)
    capsys.readouterr()
    config, experiment = quick(
        tmp_path / "second", init_from=str(tmp_path / "first"), ema_decay=0.9, weight_decay=0.1
    )
    said = "init_from: loaded 3 arrays: dense/bias, dense/kernel, stats/calls\n"
    assert said in capsys.readouterr().out
    began = read_state(tmp_path / "second" / "checkpoints", 0)
    jax.tree.map(np.testing.assert_array_equal, began["params"], source["params"])
    averaged = read_variables(tmp_path / "second", print)["params"]
    assert read_state(tmp_path / "second" / "checkpoints", 2)["model_state"]["stats"]["calls"] == 4

    # the same two steps by hand, from the loaded parameters
    optimizer = make_optimizer(config)
    params = source["params"]
    state = TrainState.start({"params": params}, optimizer, (), jax.random.key(0)).opt_state
    carry = np.zeros((8, 3), np.float32)

    def loss(params, carry, batch):
        outputs = np.concatenate([batch["x"], carry], 1) @ params["dense"]["kernel"]
        error = outputs + params["dense"]["bias"] - batch["y"]
        return ((error**2).sum(1) * batch["mask"]).sum() / batch["mask"].sum()

    for step in range(2):
        batch = experiment.train(step)
        carry = carry + batch["x"]
        gradient = jax.grad(loss)(params, carry, batch)
        updates, state = optimizer.update(gradient, state, params)
        params = jax.tree.map(lambda p, u: p + u, params, updates)
    last = read_state(tmp_path / "second" / "checkpoints", 2)["params"]
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), last, params)
    expected = TrainState(2, params, state, {}, (), None).variables["params"]
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), averaged, expected)


def test_frozen_parameters_stay_bit_for_bit(tmp_path, quick):
    for optimizer in ("adamw", "momentum"):
        settings = {"weight_decay": 0.3, "clip_norm": 0.1, "ema_decay": 0.5, "optimizer": optimizer}
        folder = tmp_path / optimizer
        quick(folder, freeze="*/kernel", **settings)
        first, last = (read_state(folder / "checkpoints", step) for step in (0, 2))
        averaged = read_variables(folder, print)["params"]["dense"]
        for params in (last["params"]["dense"], averaged):
            np.testing.assert_array_equal(params["kernel"], first["params"]["dense"]["kernel"])
            assert (np.asarray(params["bias"]) != first["params"]["dense"]["bias"]).all()


def test_a_refused_start_leaves_nothing_behind(tmp_path, quick):
    message = r"freeze: no parameter is below 'kernel' \(did you mean dense/kernel\?\)$"
    with pytest.raises(ConfigError, match=message):
        quick(tmp_path / "run", freeze="dense/bias,kernel")
    with pytest.raises(ConfigError, match="is not a run directory"):
        quick(tmp_path / "run", init_from=str(tmp_path / "nothing"))
    assert not (tmp_path / "run").exists()  # so the corrected command may use it
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".notes").write_text("mine")
    with pytest.raises(ConfigError, match="is not a run directory"):
        quick(tmp_path / "run", init_from=str(tmp_path / "nothing"))
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".notes"]
