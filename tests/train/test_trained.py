"""A trained run: which variables it has, and what a damaged or other checkpoint gives."""

import dataclasses
import json
from functools import partial

import jax
import numpy as np
import pytest

from tests.train.conftest import Classes, Regression, batch_at
from train.checkpoint import checksum, restore
from train.config import ConfigError
from train.evaluate import Evaluator, Predictor
from train.loop import fit, make_placement
from train.placement import Placement
from train.trained import load_run
from train.weights import read_variables


def same(a, b):
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Make runs whose best checkpoint is that of step 6, not the last one."""
    return tmp_path_factory.mktemp("trained")


@pytest.fixture
def run_of(trained, regression, small_config):
    """Return (folder, experiment, config, like) of a run, trained once for each ema_decay."""

    def make(ema_decay=0.0):
        folder = trained / f"{ema_decay}"
        config = small_config(ema_decay=ema_decay, save_every=6, figures_at=())
        experiment = regression(config, count_calls=True)
        if not folder.exists():
            fit(experiment, config, folder)
            metrics = folder / "checkpoints" / "12" / "metrics" / "metrics"
            metrics.write_text('{"objective": 99.0}')
        placement = make_placement("jit", 8)
        return folder, experiment, config, placement.init(experiment, 0, batch_at(0))

    return make


@pytest.mark.parametrize("ema_decay", [0.0, 0.5])
def test_variables_are_those_of_evaluation_at_the_best_checkpoint(run_of, ema_decay):
    folder, _, _, like = run_of(ema_decay)
    said = []
    found = read_variables(folder, said.append)
    state, _ = restore(folder / "checkpoints", 6, *like)
    jax.tree.map(same, found, state.variables)
    assert float(found["stats"]["calls"]) == 6
    kernels = [np.asarray(params["dense"]["kernel"]) for params in (found["params"], state.params)]
    assert np.array_equal(*kernels) == (ema_decay == 0)
    assert not said


@pytest.mark.parametrize(
    ("task", "batch", "message"),
    [
        (Classes(), {"label": np.zeros(8, int)}, "the batch has no array 'image'; it has label"),
        (Regression(), {}, "the batch has no array 'x'; it has no arrays"),
        (Regression(), {"X": np.zeros((8, 3)), "y": np.zeros((8, 2))}, "no array 'x'; it has X, y"),
        (Regression(), np.zeros((8, 3)), "a batch is a dict of arrays by name, got ndarray"),
        (Regression(), {"x": [[0.0] * 3] * 8}, "a batch is a dict of arrays by name, got list"),
    ],
)
def test_a_batch_without_what_the_network_reads_is_refused(task, batch, message):
    predict = Predictor({}, Evaluator(task, Placement(8)))
    with pytest.raises(ValueError, match=message):
        predict(batch)


def test_damage_falls_back_and_is_an_error_when_nothing_is_left(run_of, monkeypatch, capsys):
    folder, experiment, config, like = run_of()
    manifest = folder / "checkpoints" / "6" / "default" / "manifest.ocdbt"
    before = manifest.read_bytes()
    load = partial(load_run, lambda _: experiment, lambda *_: experiment.task, config, folder)
    try:
        manifest.write_bytes(b"")
        variables = load().variables
        err = capsys.readouterr().err
        assert err.startswith("warning: checkpoint 6 is damaged (")
        assert err.count("\n") == 1
        state, _ = restore(folder / "checkpoints", 12, *like)
        jax.tree.map(same, variables, state.variables)
    finally:
        manifest.write_bytes(before)
    # Orbax does not notice flipped bits
    monkeypatch.setattr("train.weights.checksum", lambda leaves: 1 + checksum(leaves))
    message = r"no checkpoint in .* can be read \(its checksum does not match its contents\)"
    with pytest.raises(ConfigError, match=message) as caught:
        load()
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().err.count("warning: checkpoint") == 2


def test_a_checkpoint_of_another_network_names_path_and_shapes(run_of):
    folder, experiment, config, _ = run_of()
    for options, message in (
        (
            {"features": 3, "count_calls": True},
            r"params/dense/bias differs: .* has shape \(2,\), the network has shape \(3,\)$",
        ),
        ({}, r"stats/calls differs: .* has shape \(\), the network has no such array$"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_run(lambda _: experiment, lambda *_, o=options: Regression(**o), config, folder)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ConfigError, match=r"there is no checkpoint in .*needs a trained run"):
        read_variables(tmp_path, print)
    with pytest.raises(ConfigError, match=r"there is no folder .*/missing: this needs a trained"):
        read_variables(tmp_path / "missing", print)


def test_held_out_sets_are_read_when_they_are_asked_for(run_of, capsys):
    folder, experiment, config, _ = run_of()
    seeds = []

    def build(config):
        seeds.append(config.seed)
        return experiment

    other = dataclasses.replace(config, seed=7)  # of sampling; the sets are those of training
    run = load_run(build, lambda *_: experiment.task, other, folder)
    assert not seeds
    assert run.held_out("test") is experiment.evals["test"]
    assert run.all_held_out() is experiment.evals
    assert seeds == [0]
    with pytest.raises(ConfigError, match=r"'tset', only validation, test \(did you mean test\?\)"):
        run.held_out("tset")
    assert not capsys.readouterr().err
    data = folder / "data.json"
    text = data.read_text()
    data.write_text(json.dumps({"rows": "others"}))
    load_run(build, lambda *_: experiment.task, config, folder).held_out("test")
    data.write_text(text)
    assert "warning: the data are not those of training: rows" in capsys.readouterr().err
