"""Several steps in one call: the bits, the files and the errors of single steps."""

import os
import signal

import jax
import numpy as np
import pytest

from tests.train.conftest import batch_at
from tests.train.test_loop import assert_same_ending
from train import replicas
from train.loop import Program, default_steps, fit, steps_of_call
from train.placement import Placement
from train.pmap import Pmap
from train.recorder import NonFiniteError
from train.signals import PreemptedError

SETTINGS = {"steps": 13, "log_every": 5, "eval_every": 10, "save_every": 10, "figures_at": (0.5,)}
MODEL = {"dropout": 0.3, "count_calls": True, "penalty": 0.1}


def test_a_call_ends_where_something_is_due(small_config):
    config = small_config(**SETTINGS)  # figures at step 6
    ends = [0]
    while ends[-1] < config.steps:
        ends.append(ends[-1] + steps_of_call(config, ends[-1], 4))
    # logged at 5, drawn at 6, evaluated at 10, ended at 13
    assert ends == [0, 4, 5, 6, 10, 13]
    assert [steps_of_call(config, at, 1) for at in range(13)] == [1] * 13
    traced = small_config(**SETTINGS, profile="3..4")
    assert [steps_of_call(traced, at, 4) for at in range(5)] == [2, 1, 2, 1, 1]


def test_batches_of_other_shapes_are_single_steps():
    def step(state, window, batches, number):
        assert len(batches) == 3
        taken.append([batch["x"].shape[1] for batch in batches[:number]])
        return state + number, window

    def batch(width):
        return {"x": np.zeros((4, width))}

    taken, program = [], Program(step, 3)
    assert program(0, "window", [batch(5), batch(5), batch(5)]) == (3, "window")
    assert program(3, "window", [batch(2), batch(2)]) == (5, "window")
    assert program(5, "window", [batch(2), batch(4)]) == (7, "window")
    assert taken == [[5, 5, 5], [2, 2], [2], [4]]


def test_the_default_is_several_steps_of_small_batches_on_an_accelerator():
    small, large = {"x": np.zeros(2**20, np.float32)}, {"x": np.zeros(2**22 + 1, np.float32)}
    assert default_steps("gpu", small) == 8
    assert default_steps("gpu", large) == default_steps("cpu", small) == 1


def test_the_ending_is_that_of_single_steps(tmp_path, regression, small_config):
    configs = [small_config(**SETTINGS, steps_per_call=k) for k in (1, 4)]
    experiment = regression(configs[0], **MODEL)
    for config in configs:
        fit(experiment, config, tmp_path / str(config.steps_per_call))
    assert_same_ending(tmp_path / "1", tmp_path / "4", experiment, configs[0])

    def stopping(step):
        if step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return batch_at(step, 8, real=5 + step % 4)

    # the call in which a signal comes is finished
    with pytest.raises(PreemptedError, match="saved at step 4"):
        fit(regression(configs[1], stopping, **MODEL), configs[1], tmp_path / "stopped")
    fit(experiment, configs[1], tmp_path / "stopped")
    assert_same_ending(tmp_path / "1", tmp_path / "stopped", experiment, configs[1])


@pytest.mark.parametrize("kind", ["Pmap", "Replicas", "PmapReplicas"])
def test_each_way_to_use_devices_takes_several_steps(regression, small_config, kind):
    config = small_config(learning_rates=(0.05, 0.1))
    experiment = regression(config, **MODEL)
    settings = [{"learning_rate": rate} for rate in config.learning_rates]
    used = jax.devices()[:2]
    devices = Pmap(8, used) if kind == "Pmap" else getattr(replicas, kind)(settings, used)

    def begin():
        pair = Placement(8, used).init(experiment, 0, experiment.train(0))
        pairs = pair if kind == "Pmap" else zip(pair, pair, strict=True)
        state, window = pairs if kind == "Pmap" else map(list, pairs)
        return devices.spread(state), devices.copy(window)

    def placed(step):
        batch = experiment.train(step)
        return devices.put_batch(batch if kind == "Pmap" else [batch, batch])

    found = []
    for number in (1, 4):
        program = Program(devices.compile(experiment, several=number > 1), number)
        pair = begin()
        for first in range(0, 3, min(number, 3)):
            pair = program(*pair, [placed(step) for step in range(first, min(first + number, 3))])
        found.append(jax.tree.leaves((devices.gather(pair[0]), devices.one(pair[1]))))
    for one, several in zip(*found, strict=True):
        if not jax.dtypes.issubdtype(one.dtype, jax.dtypes.prng_key):
            np.testing.assert_array_equal(one, several)


def test_a_bad_step_within_a_call_is_named(tmp_path, regression, small_config):
    config = small_config(**SETTINGS, steps_per_call=4)
    bad = regression(config, lambda step: batch_at(step, bad=(7,)), **MODEL)
    with pytest.raises(NonFiniteError, match="not finite at step 8;"):
        fit(bad, config, tmp_path)
