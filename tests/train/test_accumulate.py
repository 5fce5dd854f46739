"""Gradients of a batch in parts: the step of the whole batch, and rows stay on their devices."""

import re
from functools import partial

import jax
import numpy as np
import optax
import pytest

from tests.train.conftest import batch_at, by_rows
from tests.train.test_sparse_rows import ByRows
from tests.train.test_sparse_rows import batch_at as rows_at
from train.accumulate import join_rows, split_rows
from train.checkpoint import restore
from train.config import ConfigError
from train.loop import fit, make_placement
from train.metrics import read_metrics
from train.replicas import train_replicas
from train.task import Experiment


def ending(folder, experiment, config):
    """Arrays of the last checkpoint by path, without the random key."""
    placement = make_placement("jit", config.batch_size)
    like = placement.init(experiment, config.seed, experiment.train(0))
    state, _ = restore(folder / "checkpoints", config.steps, *like)
    leaves = jax.tree_util.tree_leaves_with_path(state.replace(key=None))
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


@pytest.fixture
def masked(small_config, regression):
    """Run steps of 16 rows, of which more than the last quarter is masked: (arrays, losses)."""

    def run(folder, **changes):
        settings = {"steps": 3, "batch_size": 16, "log_every": 1, "eval_every": 3}
        config = small_config(**{**settings, "figures_at": (), **changes})
        batches = partial(batch_at, rows=16, real=11)
        evals = {"validation": [batches(90)]}
        experiment = regression(config, batches, evals, count_calls=True)
        fit(experiment, config, folder)
        lines = read_metrics(folder)
        losses = [line["train/loss"] for line in lines if "train/loss" in line]
        return ending(folder, experiment, config), losses

    return run


def test_parts_give_the_step_of_the_whole_batch(tmp_path, masked):
    whole, losses = masked(tmp_path / "whole")
    calls = next(name for name in whole if "calls" in name)
    for parallel, parts in (("jit", 2), ("jit", 4), ("pmap", 4)):
        name = f"{parallel}{parts}"
        found, means = masked(tmp_path / name, accumulate_steps=parts, parallel=parallel)
        np.testing.assert_allclose(means, losses, rtol=1e-5)
        assert found.keys() == whole.keys()
        for path, array in whole.items():
            expected = array * parts if path == calls else array  # each part passes its state on
            np.testing.assert_allclose(found[path], expected, rtol=1e-4, atol=1e-5, err_msg=path)
    assert any("carry" in path and array.any() for path, array in whole.items())


def test_one_part_is_the_plain_program(regression, small_config):
    config = small_config(batch_size=16)
    experiment = regression(config, partial(batch_at, rows=16))
    placement = make_placement("jit", 16)
    state, window = placement.init(experiment, 0, experiment.train(0))
    batch = placement.put_rows(experiment.train(0))
    texts = [
        placement.compile(experiment, *parts).lower(state, window, batch).as_text()
        for parts in ((), (1,), (2,))
    ]
    assert texts[0] == texts[1] != texts[2]
    program = placement.compile(experiment, 2).lower(state, window, batch).compile().as_text()
    assert re.search(r"f32\[2,", program)  # 4 rows on a device, 2 in a part
    assert "all-reduce" in program  # of gradients
    for moved in ("all-gather", "all-to-all", "collective-permute"):
        assert moved not in program


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_rows_of_tables_get_the_gradients_of_all_parts(tmp_path, small_config, parallel):
    found = []
    for parts in (1, 2):
        config = small_config(
            steps=2, log_every=1, accumulate_steps=parts, parallel=parallel, figures_at=()
        )
        task = ByRows()
        experiment = Experiment(
            task, optax.sgd(0.5), by_rows(rows_at), {"validation": [rows_at(9)]}
        )
        fit(experiment, config, tmp_path / f"{parts}")
        found.append(ending(tmp_path / f"{parts}", experiment, config))
    for path, array in found[0].items():
        np.testing.assert_allclose(found[1][path], array, atol=1e-6, err_msg=path)


def test_split_is_undone_by_join():
    x = np.arange(24).reshape(8, 3)
    parts = split_rows({"x": x}, 4)["x"]
    np.testing.assert_array_equal(parts[1], x[[1, 5]])
    np.testing.assert_array_equal(join_rows(parts), x)


@pytest.mark.parametrize(("parts", "rows"), [(3, 2), (4, 2)])
def test_a_number_that_does_not_divide_is_refused_before_anything_is_written(
    tmp_path, regression, small_config, parts, rows
):
    config = small_config(accumulate_steps=parts)  # 8 rows on four devices
    with pytest.raises(ConfigError, match=rf"accumulate_steps {parts} must divide .* are {rows}$"):
        fit(regression(config), config, tmp_path / "run")
    replicas = small_config(accumulate_steps=3, replicas=4)
    with pytest.raises(ConfigError, match=r"accumulate_steps 3 must divide .* are 8$"):
        train_replicas(regression, replicas, tmp_path / "run")
    assert not (tmp_path / "run").exists()
