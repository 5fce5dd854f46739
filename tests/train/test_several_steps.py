"""Several steps in one call: the bits, the files and the errors of single steps."""

import os
import signal

import jax
import numpy as np
import pytest

from tests.train.conftest import batch_at
from tests.train.test_loop import assert_same_ending
from tests.train.test_replicas import endings, make_runs, together
from train.loop import Program, default_steps, fit, steps_of_call
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


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_the_ending_is_that_of_single_steps(tmp_path, regression, small_config, parallel):
    configs = [small_config(**SETTINGS, parallel=parallel, steps_per_call=k) for k in (1, 4)]
    experiment = regression(configs[0], **MODEL)
    for config in configs:
        fit(experiment, config, tmp_path / str(config.steps_per_call))
    assert_same_ending(tmp_path / "1", tmp_path / "4", experiment, configs[0])
    if parallel == "jit":  # the call in which a signal comes is finished

        def stopping(step):
            if step == 1:
                os.kill(os.getpid(), signal.SIGTERM)
            return batch_at(step, 8, real=5 + step % 4)

        with pytest.raises(PreemptedError, match="saved at step 4"):
            fit(regression(configs[1], stopping, **MODEL), configs[1], tmp_path / "stopped")
        fit(experiment, configs[1], tmp_path / "stopped")
        assert_same_ending(tmp_path / "1", tmp_path / "stopped", experiment, configs[1])


def test_a_bad_step_within_a_call_is_named(tmp_path, regression, small_config):
    config = small_config(**SETTINGS, steps_per_call=4)
    bad = regression(config, lambda step: batch_at(step, bad=(7,)), **MODEL)
    with pytest.raises(NonFiniteError, match="not finite at step 8;"):
        fit(bad, config, tmp_path)


def test_replicas_take_several_steps_as_they_take_single_ones(tmp_path, regression, small_config):
    found = []
    for number in (1, 4):
        config = small_config(**SETTINGS, replicas=2, steps_per_call=number)
        runs = make_runs(regression, config, tmp_path / str(number), **MODEL)
        together(runs)
        found.append(runs)
    for one, several in zip(*map(endings, found), strict=True):
        jax.tree.map(np.testing.assert_array_equal, one, several)
