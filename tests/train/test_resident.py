"""Data on the devices: the batches of the host, the same training, chosen by size."""

from types import SimpleNamespace

import jax
import numpy as np
import optax
import pytest

from data.images.augment import Augmentation
from data.images.labelled import Images, TrainingBatches
from data.tabular.batches import TrainingArrays
from data.text.streams import TrainingStreams
from tests.train.conftest import Classes, Regression
from train.config import ConfigError
from train.loop import fit, place
from train.metrics import read_metrics
from train.optimizer import make_optimizer
from train.placement import Placement
from train.resident import Resident, fits
from train.task import Experiment

RNG = np.random.default_rng(0)
IMAGES = Images(
    RNG.random((20, 9, 8, 1), np.float32), np.arange(20, dtype=np.int32) % 3, ("a", "b", "c")
)
ROWS = {
    "x": RNG.standard_normal((40, 3)).astype(np.float32),
    "y": RNG.standard_normal((40, 2)).astype(np.float32),
    "mask": np.ones(40, np.float32),
}


def images(augmentation):
    return TrainingBatches(IMAGES, 8, 0, augmentation)


@pytest.mark.parametrize(
    "source",
    [
        images(Augmentation()),
        images(Augmentation(1.0, 0.2, 0.1, 0.1, 0.2, True, 3, 2)),
        images(Augmentation(1.0, 0.2)),
        TrainingArrays(ROWS, 8, 0),
        TrainingStreams(np.arange(200, dtype=np.int32), 8, 4, 0),
    ],
    ids=["images", "all augmentations", "separable", "arrays", "streams"],
)
def test_devices_make_the_batches_of_the_host(source):
    devices = Resident(8, source)
    gather = jax.jit(source.gather)
    for step in (0, 3, 30):
        made = gather(dict(source.resident()), devices.make_batch(source, step, 8))
        for name, expected in source(step).items():
            np.testing.assert_allclose(made[name], expected, atol=1e-5, err_msg=name)
            assert made[name].dtype == expected.dtype


def regression_of(config):
    evals = {"validation": [{name: x[:8] for name, x in ROWS.items()}]}
    return Experiment(Regression(), make_optimizer(config), TrainingArrays(ROWS, 8, 0), evals)


def test_training_is_that_of_batches_from_the_host(tmp_path, small_config):
    found = []
    for resident, calls, parts in (("never", 1, 1), ("always", 4, 2)):
        config = small_config(
            resident=resident, steps_per_call=calls, accumulate_steps=parts, figures_at=()
        )
        experiment, folder = regression_of(config), tmp_path / f"{resident}{calls}"
        fit(experiment, config, folder)
        found.append(read_metrics(folder))
    for a, b in zip(*found, strict=True):
        assert a == pytest.approx(b, rel=1e-5)


def test_augmented_images_are_read_from_the_copy_of_each_device():
    source = images(Augmentation(1.0, 0.2, flip=True, shear=0.2))
    experiment = Experiment(Classes(), optax.sgd(0.1), source, {})
    ends = []
    for devices in (Placement(8), Resident(8, source)):
        state, window = devices.init(experiment, 0, source(0))
        step = devices.compile(experiment)
        for number in range(3):
            state, window = step(state, window, devices.make_batch(source, number, 8))
        ends.append(jax.tree.leaves((state.params, window)))
    for a, b in zip(*ends, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_data_stay_on_the_devices_if_they_fill_an_eighth_of_the_smallest_memory(small_config):
    def device(size):
        return SimpleNamespace(memory_stats=lambda: size and {"bytes_limit": size})

    source = TrainingArrays(ROWS, 8, 0)
    size = sum(array.nbytes for array in ROWS.values())
    assert fits(source, [device(8 * size), device(9 * size)])
    assert not fits(source, [device(8 * size - 8), device(9 * size)])
    assert not fits(source, [device(None)])  # a CPU
    long = SimpleNamespace(resident=lambda: {"ids": np.broadcast_to(np.uint8(0), 2**31)})
    assert not fits(long, [device(2**40)])
    with pytest.raises(ConfigError, match="too long"):
        Resident(8, long)

    def kind(**changes):
        config = small_config(**changes)
        return type(place(regression_of(config), config)).__name__

    assert [kind(resident=choice) for choice in ("always", "auto", "never")] == [
        "Resident",
        "Placement",
        "Placement",
    ]
    assert kind(resident="always", parallel="pmap") == "Pmap"
