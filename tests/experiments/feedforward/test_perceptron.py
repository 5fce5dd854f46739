"""The perceptron in the loop: equal to numpy, ends by itself, and what it refuses."""

import math
from dataclasses import replace

import jax
import numpy as np
import pytest

from data.tabular.two_classes import xor
from experiments.feedforward.history import History
from experiments.feedforward.perceptron_pictures import boundary
from experiments.perceptron import Config, build, features_of
from train.config import ConfigError
from train.loop import make_placement
from train.placement import Placement

SMALL = {"points": 24, "log_every": 50}


def train(config, devices, steps):
    """State after some steps of the project's loop."""
    experiment = build(config)
    state, window = devices.init(experiment, config.seed, experiment.train(0))
    state, window = devices.spread(state), devices.copy(window)
    step = devices.compile(experiment)
    for number in range(steps):
        state, window = step(state, window, devices.put_batch(experiment.train(number)))
    return experiment, devices.gather(state)


def numpy_rule(config, experiment, steps):
    """Weights and updates after some steps, each of the mean over a batch."""
    batches = [experiment.train(number) for number in range(steps)]
    phi = features_of(config, np.concatenate([batch["x"] for batch in batches]))
    w, updates = np.zeros(phi.shape[1], np.float32), 0
    for rows, batch in zip(np.split(phi, steps), batches, strict=True):
        wrong = batch["t"] * (rows @ w) <= 0
        mean = (np.where(wrong, batch["t"], 0)[:, None] * rows).sum(axis=0) / len(rows)
        w += np.float32(config.learning_rate) * mean.astype(np.float32)
        updates += int(wrong.sum())
    return w, updates


@pytest.mark.parametrize(
    "changes",
    [
        {"order": "fixed", "learning_rate": 0.25},
        {"dataset": "digits:3,8", "associative_units": 64},
    ],
)
def test_online_training_equals_a_loop_in_numpy_and_leaves_the_wiring(changes):
    config = Config(**SMALL, **changes)
    experiment, state = train(config, Placement(1, jax.devices()[:1]), 120)
    expected, updates = numpy_rule(config, experiment, 120)
    np.testing.assert_array_equal(state.params["output"]["kernel"][:, 0], expected)
    assert state.model_state["counts"]["updates"] == updates > 3
    history = replace(experiment.task.history, passes=120)
    np.testing.assert_array_equal(history.weights(updates)[-1], expected)
    variables = {"params": state.params, **state.model_state}
    phi = experiment.task.model.apply(variables, history.data.x, method="features")
    np.testing.assert_array_equal(phi, history.phi)


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_the_batch_form_adds_all_mistakes_of_a_batch(parallel):
    config = Config(**SMALL, batch_size=8, parallel=parallel, order="fixed")
    experiment, state = train(config, make_placement(parallel, 8), 40)
    expected, updates = numpy_rule(config, experiment, 40)
    np.testing.assert_allclose(state.params["output"]["kernel"][:, 0], expected, rtol=1e-5)
    assert state.model_state["counts"]["updates"] == updates
    assert updates <= experiment.task.bound


def test_a_pass_without_a_mistake_ends_the_run_and_a_boundary_sample_does_not():
    task = build(Config(**SMALL)).task
    batch = {"t": np.array([1.0, -1.0], np.float32)}
    for outputs, solved in (([0.1, -0.1], True), ([0.1, 0.0], False), ([0.1, 0.1], False)):
        means = task.means(np.array(outputs, np.float32), batch)
        assert task.solved({name: float(mean.value) for name, mean in means.items()}) == solved


def test_xor_is_announced_and_its_cycle_is_found(capsys):
    experiment = build(Config(dataset="xor", order="fixed", steps=40, learning_rate=0.5))
    assert "no margin separates the 4 training samples" in capsys.readouterr().out
    assert math.isinf(experiment.task.bound)
    text = experiment.task.history.cycle()
    assert "after pass 1 the weights are those after pass 0 again, a cycle of 4 updates" in text
    cycle = "(0.0, 0.0, 0.0) > (0.5, 0.5, -0.5) > (0.0, 1.0, 0.0) > (0.5, 0.5, 0.5)"
    assert text.endswith(f"{cycle} > (0.0, 0.0, 0.0)")


def test_a_cycle_that_starts_later_or_is_not_reached():
    x = np.array([[0, 2], [1, 2], [1, 1], [2, 2]], np.float32)
    phi = np.pad(x, [(0, 0), (0, 1)], constant_values=1)
    history = History(replace(xor(), x=x), phi, "fixed", 0, 200, 1.0)
    text = history.cycle()
    assert "after pass 12 the weights are those after pass 10 again, a cycle of 4 updates" in text
    assert text.endswith("(-2.0, 0.0, 3.0)")
    assert text.count("(-2.0, 0.0, 3.0)") == 2
    assert "repeated in 11 passes" in replace(history, passes=11).cycle()
    shuffled = replace(history, order="shuffled").cycle()
    assert shuffled.endswith("config.order=fixed shows a cycle of weights")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "iris:virginica"}, "no margin separates the 120 .*allow_inseparable=True"),
        ({"associative_units": 8}, r"config\.fan_in 8 is more than the 2 inputs of dataset points"),
        ({"init_from": "runs/x"}, r"config\.init_from must be empty"),
    ],
)
def test_unusable_settings_are_refused_in_one_line(changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        build(Config(**changes))
    assert "\n" not in str(caught.value)


def test_inseparable_data_are_trained_when_allowed():
    assert math.isinf(build(Config(dataset="iris:virginica", allow_inseparable=True)).task.bound)


def test_the_line_of_a_picture_is_the_boundary():
    low, high = np.array([-1.0, -2.0]), np.array([3.0, 1.0])
    w = np.array([0.5, -2.0, 0.25])
    x, y = boundary(w, low, high)
    np.testing.assert_allclose(w[0] * x + w[1] * y + w[2], 0, atol=1e-9)
    assert x.min() < low[0]
    assert x.max() > high[0]
    assert boundary(np.array([0.0, 0.0, 1.0]), low, high) is None


class Zeros:
    """Outputs of a network that was not trained."""

    def __init__(self, experiment):
        example = experiment.train(0)
        self.variables = experiment.task.init({"params": jax.random.key(0)}, example)

    def __call__(self, batch):
        return np.zeros(len(batch["t"]), np.float32), ()


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"dataset": "digits:3,8"}, {"weights", "outputs"}),
        ({"dataset": "xor", "order": "fixed"}, {"cycle", "boundary"}),
    ],
)
def test_figures_depend_on_the_data(changes, names):
    experiment = build(Config(**changes))
    batches = experiment.evals["test"]
    assert set(experiment.task.figures(Zeros(experiment), batches)) == names


def test_weights_of_associative_units_are_summed_for_each_point():
    task = build(Config(dataset="digits:3,8", associative_units=64)).task
    rng = np.random.default_rng(0)
    kernel, wires = rng.normal(size=(65, 1)), rng.choice([-1, 0, 1], (400, 64))
    variables = {
        "params": {"output": {"kernel": kernel}},
        "wiring": {"associative": {"connections": wires}},
    }
    expected = [sum(kernel[j, 0] * wires[i, j] for j in range(64)) for i in range(400)]
    np.testing.assert_allclose(task.weights_of_points(variables), expected)
