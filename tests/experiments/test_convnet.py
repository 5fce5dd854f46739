"""Convolutional networks: batch statistics over several devices, losses, invalid sizes."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import convnet, imagenet
from train.config import ConfigError
from train.placement import Placement
from train.pmap import Pmap

copied = jax.jit(partial(jax.tree.map, jnp.copy))


def after_two(experiment, devices, state, window):
    """State after two steps from a state and window."""
    step = devices.compile(experiment)
    state, window = copied((state, window))  # the step donates its arguments
    state, window = jax.device_put((state, window), devices.everywhere)
    state, window = devices.spread(state), devices.copy(window)
    for i in range(2):
        state, window = step(state, window, devices.put_batch(experiment.train(i)))
    return devices.gather(state)


def test_batch_statistics_are_of_the_whole_batch_on_four_devices():
    config = convnet.Config(
        image_size=8, channels=2, stages=1, batch_size=8, dropout=0.0, optimizer="sgd"
    )
    config = dataclasses.replace(config, warmup_steps=0, learning_rate=0.1)
    experiment = convnet.build(config)
    alone = Placement(8, jax.devices()[:1])
    start = alone.init(experiment, 0, experiment.train(0))
    one = after_two(experiment, alone, *start)
    for devices in (Placement(8), Pmap(8)):
        assert len(devices.devices) == 4
        state = after_two(experiment, devices, *start)
        for result, expected in zip(
            jax.tree.leaves((state.params, state.model_state)),
            jax.tree.leaves((one.params, one.model_state)),
            strict=True,
        ):
            np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)
    before, after = start[0].model_state["batch_stats"], one.model_state["batch_stats"]
    assert np.abs(after["norm"]["mean"] - before["norm"]["mean"]).max() > 1e-4


def test_smoothed_loss_is_minimal_at_the_smoothed_label():
    task = convnet.ClassifyWithSmoothing(None, ("a", "b", "c", "d"), smoothing=0.2)
    target = np.array([0.05, 0.85, 0.05, 0.05], np.float32)
    labels = np.array([1])
    entropy = -(target * np.log(target)).sum()
    minimum = task.losses(np.log(target)[None], labels)
    np.testing.assert_allclose(minimum, [entropy], rtol=1e-5)
    confident = np.array([[0.0, 20.0, 0.0, 0.0]], np.float32)
    assert task.losses(confident, labels)[0] > minimum[0]


def test_top5_counts_labels_with_at_most_four_higher_scores():
    task = imagenet.ClassifyCentred(None, tuple("abcdefg"), ("conv1",), small_images=True)
    outputs = np.tile(np.arange(7, dtype=np.float32), (3, 1))
    batch = {"label": np.array([6, 2, 1], np.int32), "mask": np.ones(3, np.float32)}
    means = {name: float(mean.value) for name, mean in task.means(outputs, batch).items()}
    assert means["top5"] == pytest.approx(2 / 3)
    assert means["accuracy"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_scaled_to_255_and_centred(channels):
    task = imagenet.ClassifyCentred(None, ("a",), ("conv1",), small_images=True)
    (inputs,) = task.inputs({"image": np.ones((2, 4, 4, channels), np.float32)})
    assert inputs.shape == (2, 4, 4, channels)
    colours = 255 - np.array([123.675, 116.28, 103.53])
    expected = colours if channels == 3 else colours.mean()
    np.testing.assert_allclose(inputs[0, 0, 0], np.broadcast_to(expected, channels), rtol=1e-4)


@pytest.mark.parametrize(
    ("module", "changes", "message"),
    [
        (convnet, {"image_size": 7, "stages": 3}, "config.image_size 7 is less than 8"),
        (imagenet, {"image_size": 100}, "227, 224, or from 15 to 64 for alexnet, got 100"),
        (imagenet, {"image_size": 28, "architecture": "vgg16"}, "at least 32 for vgg16, got 28"),
    ],
)
def test_sizes_that_a_network_cannot_read_are_rejected(module, changes, message):
    with pytest.raises(ConfigError, match=message):
        module.build(module.Config(**changes))


@pytest.mark.parametrize("network", ["alexnet", "vgg11"])
def test_either_network_reads_small_images(network):
    config = imagenet.Config(
        architecture=network, width_multiplier=0.05, batch_size=8, batch_norm=True
    )
    experiment = imagenet.build(config)
    state = jax.eval_shape(experiment.task.init, jax.random.key(0), experiment.train(0))
    assert ("batch_stats" in state) == (network == "vgg11")
    layer = state["params"]
    for name in experiment.task.first_layer:
        layer = layer[name]
    assert layer["kernel"].shape[2] == 1
