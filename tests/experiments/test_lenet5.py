"""LeNet-5 as published: losses and invalid data; accuracy on distorted images."""

import dataclasses

import jax
import numpy as np
import pytest

from data.images.augment import Augmentation
from data.images.labelled import EvaluationBatches, Images
from experiments import lenet5
from experiments.image.robustness import (
    CHANGES,
    change_stroke,
    measure,
    rotate,
    stretch,
)
from train.config import ConfigError


def settings(tmp_path, **changes):
    values = {"variant": "published", "steps": 2, "batch_size": 8, "log_every": 1, "figures_at": ()}
    return lenet5.Config(**{**values, "picture": str(tmp_path / "robust.png"), **changes})


def test_losses_are_equations_8_and_9(tmp_path):
    rng = np.random.default_rng(0)
    penalties, labels = rng.uniform(0, 40, (6, 10)), rng.integers(0, 10, 6)
    own = penalties[np.arange(6), labels]
    cases = [("mle", 0.0), ("map", 0.0), ("map", 3.0), ("map", 1000.0)]

    @jax.jit
    def losses(outputs):
        results, task = [], object.__new__(lenet5.ClassifyByPenalties)
        for criterion, rubbish in cases:
            task.config = settings(tmp_path, criterion=criterion, rubbish_penalty=rubbish)
            results.append(task.losses(outputs, labels))
        return results

    for (criterion, rubbish), result in zip(cases, losses(-penalties.astype("f4")), strict=True):
        competing = np.log(np.exp(-rubbish) + np.exp(-penalties).sum(axis=1))
        expected = own + competing * (criterion == "map")
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def test_only_training_images_are_distorted(tmp_path):
    plain, distorted = (
        lenet5.build(settings(tmp_path, variant="lecture", distort=distort))
        for distort in (False, True)
    )
    first, second = plain.train(1), distorted.train(1)
    np.testing.assert_array_equal(first["label"], second["label"])
    assert not np.array_equal(first["image"], second["image"])
    assert second["image"].shape == (8, 32, 32, 1)
    assert second["image"].dtype == np.float32
    assert second["image"].min() >= 0
    assert second["image"].max() <= 1 + 1e-6
    np.testing.assert_array_equal(second["image"], distorted.train(1)["image"])
    for name in ("validation", "test"):
        pairs = zip(plain.evals[name], distorted.evals[name], strict=True)
        assert all(np.array_equal(a["image"], b["image"]) for a, b in pairs)


def test_augmentation_follows_the_settings(tmp_path):
    chosen = {"shift": 1.5, "scale": 0.25, "jitter": 0.125, "flip": True, "erase": 3}
    chosen["whole_shift"] = 2
    config = settings(tmp_path, variant="lecture", distort=True, **chosen)
    expected = Augmentation(squeeze=0.2, shear=0.25, **chosen)
    assert lenet5.build(config).train.augmentation == expected


@pytest.mark.parametrize(
    ("shape", "classes", "message"),
    [
        (
            (32, 32, 3),
            10,
            r"grey images of shape \(32, 32, 1\), but those of dataset digits have .*\(32, 32, 3\)",
        ),
        ((32, 32, 1), 12, "10 classes, but dataset digits has 12"),
    ],
)
def test_images_that_the_published_network_cannot_read_are_rejected(
    monkeypatch, tmp_path, shape, classes, message
):
    images = Images(np.zeros((20, *shape), np.float32), np.zeros(20, np.int32), ("",) * classes)
    splits = {"train": images, "test": images}
    monkeypatch.setattr("experiments.image.task.load_images", lambda *_, **__: splits)
    with pytest.raises(ConfigError, match=message):
        lenet5.build(settings(tmp_path))
    for variant in ("lecture", "modern"):
        lenet5.build(settings(tmp_path, variant=variant))


def test_a_validation_split_is_used_and_is_in_the_checksum(monkeypatch, tmp_path):
    def images(count, value):
        pixels = np.full((count, 32, 32, 1), value, np.float32)
        return Images(pixels, np.arange(count, dtype=np.int32) % 10, tuple("0123456789"))

    def build(**splits):
        monkeypatch.setattr("experiments.image.task.load_images", lambda *_: splits)
        return lenet5.build(settings(tmp_path))

    train, test = images(20, 0.5), images(5, 1)
    experiment = build(train=train, validation=images(4, 0), test=test)
    sizes = [experiment.provenance[split] for split in ("train", "validation", "test")]
    assert sizes == [20, 4, 5]
    assert len(experiment.evals["validation"].source) == 4
    other = build(train=train, validation=images(4, 0.1), test=test)
    assert other.provenance["sha256"] != experiment.provenance["sha256"]
    held_out = build(train=train, test=test)
    assert [held_out.provenance[split] for split in ("train", "validation")] == [18, 2]


def bar(rows, columns):
    """An image of 16 x 16 pixels with a bright rectangle in the middle."""
    image = np.zeros((1, 16, 16, 1), np.float32)
    image[:, 8 - rows // 2 : 8 + rows // 2, 8 - columns // 2 : 8 + columns // 2] = 1
    return image


def test_changes_transform_images_as_described():
    images = np.random.default_rng(0).random((3, 16, 16, 1), dtype=np.float32)
    for change in CHANGES:
        np.testing.assert_allclose(change.apply(images, change.neutral), images, atol=1e-6)
        changed = change.apply(images, change.levels[-1])
        assert changed.shape == images.shape
        assert np.abs(changed - images).max() > 0.1
    np.testing.assert_allclose(rotate(bar(8, 4), 90), bar(4, 8), atol=1e-5)
    rotated = rotate(images, 90)[..., 0]
    np.testing.assert_allclose(rotated, np.rot90(images[..., 0], axes=(1, 2)), atol=1e-5)
    for pixels in (-2, 1, 3):
        wider = change_stroke(bar(8, 4), pixels)
        assert set(np.unique(wider)) == {0, 1}
        assert wider[0, 8].sum() == 4 + pixels
    assert stretch(bar(8, 4), 0.5, 2)[0].sum() == pytest.approx(32, abs=0.1)
    assert stretch(bar(8, 4), 0.5, 2)[0, 8].sum() == pytest.approx(8, abs=0.6)
    noise = next(change for change in CHANGES if change.name == "noise")
    grid = np.zeros((50, 32, 32, 1), np.float32)
    for level in (2, 4):  # 51,200 pixels: one standard error is 0.0013 and 0.0018
        assert abs(noise.apply(grid, level).mean() - level / 20) < 0.008


def test_accuracy_ignores_padding():
    """A stand-in that classifies images by their brightness; the last image is padding."""

    def predict(batch):
        bright = batch["image"].mean(axis=(1, 2, 3)) > 0.3
        return np.stack([~bright, bright], axis=1).astype(float), ()

    images = np.full((3, 4, 4, 1), 0.0, np.float32)
    images[1:, 1:3, 1:3] = 1.0  # a quarter is bright; wider strokes exceed 0.3
    source = Images(images, np.array([0, 1, 0], np.int32), ("dark", "bright"))
    change = dataclasses.replace(CHANGES[1], levels=(0, 1))
    levels, accuracy = measure(predict, EvaluationBatches(source, 2), change)
    assert levels == [0, 1]
    np.testing.assert_allclose(accuracy, [2 / 3, 2 / 3])
    two = EvaluationBatches(source.subset(slice(0, 2)), 4)
    np.testing.assert_allclose(measure(predict, two, change)[1], [0.5, 1])
