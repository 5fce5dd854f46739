"""The 8-3-8 network: the book's update rule, its measures, and what is drawn of its training."""

import jax
import numpy as np
import pytest

from experiments import identity838, open_run
from experiments.feedforward.encoding import code_table, history, print_code
from train.loop import fit
from train.metrics import Metrics, read_metrics
from train.state import init_state
from train.step import MetricWindow, make_train_step


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.fixture(scope="module")
def initial():
    """Experiment with the default settings, and its state before the first step."""
    experiment = identity838.build(identity838.Config())
    return experiment, init_state(experiment, 0, experiment.train(0))


def test_a_step_is_the_delta_rule_of_the_book(initial):
    experiment, state = initial
    keys = iter(jax.random.split(jax.random.key(7), 4))
    params = jax.tree.map(lambda x: jax.random.normal(next(keys), x.shape), state.params)
    batch = experiment.train(0)
    window = MetricWindow.empty(experiment.task, {"params": params}, batch)
    after, _ = jax.jit(make_train_step(experiment))(state.replace(params=params), window, batch)

    layers = jax.tree.map(np.asarray, params)
    w, b = layers["hidden0"]["kernel"], layers["hidden0"]["bias"]
    v, c = layers["output"]["kernel"], layers["output"]["bias"]
    (t,) = batch["x"].astype(np.float64)
    h = sigmoid(t @ w + b)
    o = sigmoid(h @ v + c)
    delta = o * (1 - o) * (t - o)
    delta_hidden = h * (1 - h) * np.array([(v[j] * delta).sum() for j in range(3)])
    expected = {
        "hidden0": {"kernel": w + 0.3 * np.outer(t, delta_hidden), "bias": b + 0.3 * delta_hidden},
        "output": {"kernel": v + 0.3 * np.outer(h, delta), "bias": c + 0.3 * delta},
    }
    found = {name: dict(layer) for name, layer in after.params.items()}
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, atol=1e-6), found, expected)


def test_the_network_has_59_small_weights_and_every_pass_has_all_patterns(initial):
    experiment, state = initial
    weights = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(state.params)])
    assert weights.size == 8 * 3 + 3 + 3 * 8 + 8
    assert 0.08 < np.abs(weights).max() < 0.1
    assert np.abs(weights).min() > 0  # the biases as well
    for first in (0, 8):
        rows = np.concatenate([experiment.train(first + i)["x"] for i in range(8)])
        np.testing.assert_array_equal(rows.sum(axis=0), np.ones(8))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder of a run that is long enough for some patterns, with all eight in each step."""
    folder = tmp_path_factory.mktemp("trained")
    changes = {"steps": 900, "eval_every": 300, "log_every": 900, "save_every": 900}
    config = identity838.Config(batch_size=8, learning_rate=20.0, figures_at=(), **changes)
    fit(identity838.build(config), config, folder)
    return folder


def test_the_recorded_numbers_are_those_of_the_network(trained):
    run = open_run(trained)
    found = read_metrics(trained)[-1]
    layers = jax.tree.map(np.asarray, run.variables["params"])
    h = sigmoid(layers["hidden0"]["kernel"] + layers["hidden0"]["bias"])
    o = sigmoid(h @ layers["output"]["kernel"] + layers["output"]["bias"])
    right = [(row > 0.5).tolist() == np.eye(8, dtype=bool)[i].tolist() for i, row in enumerate(o)]
    codes = [int("".join(str(int(x > 0.5)) for x in row), 2) for row in h]
    expected = {"loss": ((o - np.eye(8)) ** 2).sum() / 16, "reproduced": sum(right)}
    expected |= {"codes": len(set(codes))}
    for i in range(8):
        expected[f"error/{i + 1}"] = ((o[:, i] - np.eye(8)[i]) ** 2).sum()
        expected[f"code/{i + 1}"] = codes[i]
        expected[f"weight/{i + 1}"] = layers["hidden0"]["kernel"][i, 0]
    expected |= {f"hidden/{j + 1}": h[1, j] for j in range(3)}
    expected["weight/0"] = layers["hidden0"]["bias"][0]
    assert {name.removeprefix("patterns/") for name in found} == {*expected, "step"}
    for name, value in expected.items():
        np.testing.assert_allclose(found[f"patterns/{name}"], value, rtol=1e-4, err_msg=name)
    assert found["patterns/reproduced"] > 4


def test_numbers_for_pictures_are_recorded_but_not_printed(tmp_path, capsys):
    metrics = Metrics(tmp_path, -1)
    metrics.write(5, "patterns", {"loss": 0.25, "weight/1": 2.0})
    metrics.close()
    assert capsys.readouterr().out == "step      5  patterns  loss 0.2500\n"
    assert read_metrics(tmp_path) == [{"step": 5, "patterns/loss": 0.25, "patterns/weight/1": 2.0}]


def test_the_history_and_the_code_need_only_the_run(trained, tmp_path, capsys):
    history(open_run(trained, picture=str(tmp_path / "history.png")))
    assert (tmp_path / "history.png").stat().st_size > 10_000
    assert "all patterns reproduced" in capsys.readouterr().out
    print_code(open_run(trained))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines][:2] == ["10000000", "01000000"]
    assert len(lines) == 8


def test_a_code_is_rounded():
    table = code_table(np.array([[0.2, 0.97]]), np.array([[0.6]]))
    assert table == "1  0.20 0.97  01  1\n"
