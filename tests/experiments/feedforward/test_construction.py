"""Boolean functions: the built network beside the trained one, and the end of training."""

import numpy as np
import pytest

from data.tabular.boolean import all_inputs, function_values
from experiments.binary_mlp import Config, build, make_task
from experiments.feedforward.construction import describe
from train.config import ConfigError


@pytest.mark.parametrize(
    ("function", "inputs", "text"),
    [
        ("parity", 5, "16 hidden units for 5 inputs, right on 32 of 32 inputs"),
        ("majority", 4, "5 hidden units for 4 inputs, right on 16 of 16 inputs"),
        ("0000", 2, "0 hidden units for 2 inputs, right on 4 of 4 inputs"),
        ("parity", 13, "4096 hidden units for 13 inputs, too large to be evaluated on all 8192"),
    ],
)
def test_the_built_network_is_described(function, inputs, text):
    x = all_inputs(inputs)
    assert text in describe(x, function_values(function, x, 0))


def test_a_trained_network_knows_its_function_and_is_solved_when_all_values_are_right():
    config = Config(dataset="0110", inputs=2, batch_size=4)
    experiment = build(config)
    task = make_task(config, experiment.assets)
    np.testing.assert_array_equal(task.values, [-1, 1, 1, -1])
    assert task.scores(None, ()) == {"built_units": 2}
    batch = next(iter(experiment.evals["all"]))
    for outputs, accuracy in (([-1, 2, 3, -4], 1.0), ([-1, 2, 3, 0], 0.75)):
        means = task.means(np.array(outputs, np.float32)[:, None], batch)
        assert float(means["accuracy"].value) == accuracy
        assert task.solved(task.summaries({"accuracy": accuracy})) == (accuracy == 1)
    loss = np.log1p(np.exp([-1.0, -2, -3, 0])).mean()
    assert float(means["loss"].value) == pytest.approx(loss)


def test_more_than_20_inputs_are_refused():
    Config(inputs=20).check()
    with pytest.raises(ConfigError, match=r"^config\.inputs must be at most 20, got 21$"):
        Config(inputs=21).check()
