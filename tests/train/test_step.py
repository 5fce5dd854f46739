"""One step: its gradient in numpy, and the same step in every way of running it."""

import jax
import numpy as np
import pytest

from tests.train.conftest import batch_at
from train.placement import CPU_OPTIONS, Placement, compiler_options
from train.pmap import Pmap


def rows(step):
    """Batches whose masks leave devices with unequal numbers of rows, one of them with none."""
    return batch_at(step, rows=8, real=5 + step % 4)


def run(devices, experiment, steps=5):
    """State and window after some steps, in canonical form."""
    state, window = devices.init(experiment, 0, experiment.train(0))
    step = devices.compile(experiment)
    state, window = devices.spread(state), devices.copy(window)
    for i in range(steps):
        state, window = step(state, window, devices.put_batch(experiment.train(i)))
    return devices.gather(state), devices.one(window)


def leaves(state):
    return jax.tree.leaves((state.params, state.opt_state, state.model_state, state.carry))


def test_gradient_is_total_over_weight_in_numpy(regression, small_config):
    config = small_config(optimizer="sgd", learning_rate=0.1)
    experiment = regression(config, train=rows)
    devices = Placement(8, jax.devices()[:1])
    state, window = devices.init(experiment, 3, rows(0))
    kernel = np.asarray(state.params["dense"]["kernel"], np.float64)
    bias = np.asarray(state.params["dense"]["bias"], np.float64)
    after, window = devices.compile(experiment)(state, window, rows(0))
    batch = rows(0)
    real = batch["mask"] > 0
    x = np.concatenate([batch["x"], batch["x"]], axis=1)[real].astype(np.float64)
    error = x @ kernel + bias - batch["y"][real]
    count = real.sum()
    np.testing.assert_allclose(
        after.params["dense"]["kernel"], kernel - 0.1 * 2 * x.T @ error / count, atol=1e-5
    )
    np.testing.assert_allclose(
        after.params["dense"]["bias"], bias - 0.1 * 2 * error.sum(0) / count, atol=1e-5
    )
    np.testing.assert_allclose(
        float(window.means["loss"].value), (error**2).sum() / count, rtol=1e-5
    )
    norm = 2 * np.sqrt(((x.T @ error) ** 2).sum() + (error.sum(0) ** 2).sum()) / count
    np.testing.assert_allclose(float(window.means["grad_norm"].value), norm, rtol=1e-5)


def test_compiler_options_are_used_where_they_are_known():
    one = jax.devices()[:1]
    assert compiler_options(one) in (CPU_OPTIONS, {})
    assert compiler_options(one, {"xla_cpu_no_such_option": "1"}) == {}
    known = {"xla_cpu_enable_fast_math": False}
    assert compiler_options(one, known) == known
    assert compiler_options(jax.devices(), known) == {}


def test_four_devices_by_jit_and_by_pmap_equal_one(regression, small_config):
    experiment = regression(small_config(), train=rows, count_calls=True)
    one, window_one = run(Placement(8, jax.devices()[:1]), experiment)
    for devices in (Placement(8), Pmap(8), Pmap(8, jax.devices()[:2])):
        assert len(devices.devices) in (2, 4)
        state, window = run(devices, experiment)
        for found, expected in zip(leaves(state), leaves(one), strict=True):
            assert found.shape == expected.shape
            assert np.isfinite(np.asarray(expected)).all()
            np.testing.assert_allclose(found, expected, atol=1e-5)
        for name, mean in window_one.means.items():
            np.testing.assert_allclose(
                float(window.means[name].value), float(mean.value), atol=1e-4
            )
        assert int(state.step) == int(one.step) == 5
        assert float(state.model_state["stats"]["calls"]) == 5.0


@pytest.mark.parametrize("devices", [Placement(8), Pmap(8)])
def test_penalties_are_added_to_the_mean_loss(regression, small_config, devices):
    config = small_config(optimizer="sgd", learning_rate=0.1)
    batch = batch_at(0)  # no row is masked, or devices would weigh their shares of the penalty
    (plain, plain_window), (state, window) = (
        run(devices, regression(config, train=lambda _: batch, penalty=penalty), steps=1)
        for penalty in (0.0, 0.3)
    )
    start, _ = Placement(8, jax.devices()[:1]).init(regression(config), 0, batch)
    x = np.concatenate([batch["x"], batch["x"]], axis=1)
    y = x @ start.params["dense"]["kernel"] + start.params["dense"]["bias"]
    moved = np.asarray(plain.params["dense"]["kernel"]) - state.params["dense"]["kernel"]
    np.testing.assert_allclose(moved, 0.1 * 0.3 * 2 * x.T @ y / y.size, atol=1e-5)
    assert float(window.means["loss"].value) == pytest.approx(
        float(plain_window.means["loss"].value)
    )


def test_mean_of_device_means_would_give_another_gradient(regression, small_config):
    experiment = regression(small_config(optimizer="sgd"), train=rows)
    batch = rows(0)
    devices = Placement(8, jax.devices()[:1])

    def loss_and_step(part):
        state, window = devices.init(experiment, 0, rows(0))
        part = {name: np.resize(value, (8, *value.shape[1:])) for name, value in part.items()}
        return devices.compile(experiment)(state, window, part)[1].means["loss"].value

    halves = [{name: value[i : i + 4] for name, value in batch.items()} for i in (0, 4)]
    mean_of_means = sum(float(loss_and_step(half)) for half in halves) / 2
    assert abs(mean_of_means - float(loss_and_step(batch))) > 1e-2


def test_dropout_differs_from_step_to_step_and_repeats_with_the_seed(regression, small_config):
    config = small_config(learning_rate=1e-9)
    experiment = regression(config, train=lambda step: batch_at(0), dropout=0.5)
    devices = Placement(8, jax.devices()[:1])

    def losses(seed):
        state, window = devices.init(experiment, seed, batch_at(0))
        step, found = devices.compile(experiment), []
        for _ in range(3):
            state = state.replace(carry=np.zeros((8, 3), np.float32))
            state, filled = step(state, window, batch_at(0))
            found.append(float(filled.means["loss"].value))
        return found

    first = losses(0)
    assert first == losses(0)
    assert len(set(first)) == 3
    assert first != losses(1)


def test_pmap_drops_out_different_units_on_each_device(regression, small_config):
    same_rows = {name: np.repeat(value[:1], 4, axis=0) for name, value in batch_at(0).items()}
    experiment = regression(small_config(), train=lambda step: same_rows, dropout=0.5)
    devices = Pmap(4)

    def kernel(devices):
        state, window = devices.init(experiment, 0, same_rows)
        state, window = devices.spread(state), devices.copy(window)
        step = devices.compile(experiment)
        return devices.gather(step(state, window, devices.put_batch(same_rows))[0])

    # one row a device: with the same units dropped everywhere, an input that is dropped out would
    # get no gradient at all, and adam would leave its weights where they were
    before = devices.init(experiment, 0, same_rows)[0].params["dense"]["kernel"]
    moved = np.abs(np.asarray(kernel(devices).params["dense"]["kernel"]) - np.asarray(before))
    assert (moved.max(axis=1) > 1e-3).sum() > 4


def test_first_bad_step_is_remembered(regression, small_config):
    experiment = regression(small_config(), train=lambda step: batch_at(step, bad=(2, 4)))
    _, window = run(Placement(8, jax.devices()[:1]), experiment)
    assert int(window.bad_step) == 3
    _, window = run(Placement(8, jax.devices()[:1]), experiment, steps=2)
    assert int(window.bad_step) == -1


def test_devices_must_divide_the_batch():
    with pytest.raises(ValueError, match="batch_size 6 must be a multiple of the 4 devices"):
        Placement(6)
