"""The picture of --mode=inside: positions of its pixels, and errors about layers."""

from types import SimpleNamespace

import numpy as np
import pytest
from flax import linen as nn

from data.images.labelled import EvaluationBatches, Images
from experiments.image.inside import (
    coloured,
    crop,
    draw,
    filter_panel,
    look_inside,
    saliency_panel,
    unit_panel,
)
from tests.experiments.opened import opened
from train.config import ConfigError


class Net(nn.Module):
    """A convolution that responds to a bright pixel with a dark one to its right."""

    rectified: bool

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        x = nn.Conv(2, (1, 2), padding=((0, 0), (0, 1)), name="edge")(images)
        x = nn.relu(x) if self.rectified else np.float32(1.0) * x
        return nn.Dense(3, name="output")(x.mean(axis=(1, 2)))


def make_run(channels=1, rectified=True, **settings):
    """Run of a network with handmade weights, for six images of 8 x 9 pixels."""
    model = Net(rectified)
    images = np.random.default_rng(0).uniform(0, 0.5, (6, 8, 9, channels)).astype(np.float32)
    images[:, :, 8] = 0
    images[4, 3, 8] = 1  # the last column, where the receptive field is clipped
    images[2, 5, 3:5, :] = [[0.9] * channels, [0.1] * channels]
    source = Images(images, np.arange(6, dtype=np.int32) % 3, ("a", "b", "c"))
    kernel = np.zeros((1, 2, channels, 2), np.float32)
    kernel[0, :, :, 0] = [[1], [-1]]
    variables = {
        "params": {
            "edge": {"kernel": kernel, "bias": np.zeros(2)},
            "output": {"kernel": np.ones((2, 3)) * [0, 1, 0], "bias": np.zeros(3)},
        }
    }
    config = SimpleNamespace(**{"layer": "", "units": 1, "picture": "", "input": "", **settings})
    task = SimpleNamespace(model=model, classes=source.classes)

    class Predict(SimpleNamespace):
        def __call__(self, batch):
            return model.apply(self.variables, batch["image"]), ()

    evals = {"test": EvaluationBatches(source, 4)}
    return opened(task, Predict(variables=variables), config=config, evals=evals)


def patches(run):
    return unit_panel(run.task.model, run.variables, run.held_out("test"), "edge", 1)


def test_patches_are_next_to_their_reconstructions():
    panel = patches(make_run())
    assert len(panel.tiles) == len(panel.labels) == 1
    assert panel.labels == ["0: 1"]
    # six patches of 20 x 40 pixels on a 3 x 3 grid with gaps of 2, twice side by side
    tile = panel.tiles[0]
    assert tile.shape == (3 * 20 + 2 * 2, 2 * (3 * 40 + 2 * 2) + 5, 3)
    np.testing.assert_array_equal(tile[:20, :20], 1.0)  # the brightest pixel
    np.testing.assert_array_equal(tile[:20, 20:40], 0.75)  # outside the image
    assert (tile[42:, :124] == 0.75).all()  # no more images
    reddest = coloured(np.ones((20, 20, 1)), 1)
    np.testing.assert_array_equal(tile[:20, 129:149], reddest)
    row, column = 0, 42  # the second best: bright next to dark, and red next to blue
    np.testing.assert_allclose(tile[row, column], 0.9, rtol=1e-6)
    np.testing.assert_allclose(tile[row, column + 20], 0.1, rtol=1e-6)
    red, blue = tile[row, 129 + column], tile[row, 129 + column + 20]
    assert red[0] > red[2]
    assert blue[2] > blue[0]


def test_without_a_rectifier_the_gradient_is_multiplied_by_the_image():
    run = make_run(rectified=False)
    panel = patches(run)
    assert "gradient x input" in panel.title
    tile = panel.tiles[0]
    blue, red = tile[0, 129 + 42 + 20], tile[0, 129 + 42]
    assert red[0] > red[2]
    assert blue.min() > red.min()  # the dark pixel contributes less
    run.variables["params"]["edge"]["bias"] = np.full(2, -5.0)
    below = patches(run)
    assert below.labels == ["0: -4"]
    np.testing.assert_allclose(below.tiles[0], tile, atol=0.01)


def test_the_picture_is_written_and_the_layers_are_listed(tmp_path, capsys):
    path = tmp_path / "inside.png"
    run = make_run(channels=3, picture=str(path), layer="output", units=2)
    look_inside(run)
    assert path.stat().st_size > 1000
    assert "layers: edge, output\n" in capsys.readouterr().out
    run.config.layer, run.config.picture = "Edge", str(tmp_path / "other.png")
    with pytest.raises(ConfigError, match=r"config.layer: .*'Edge' \(did you mean edge\?\)"):
        look_inside(run)
    test = run.held_out("test")
    filters = filter_panel(run.task.model, run.variables, test.source.images, "edge")
    np.testing.assert_array_equal(filters.tiles[0][0, [0, -1]], [[1, 1, 1], [0, 0, 0]])
    np.testing.assert_array_equal(filters.tiles[1], 0.5)
    saliency = saliency_panel(run, next(iter(test)))
    assert saliency.labels == ["b, not a", "b", "b, not c", "b, not a"]
    assert filters.title == "edge: filters (grey: zero)"
    axes = draw([filters, saliency]).axes
    assert len(axes) == 2 + 4 + 1
    assert [text.get_text() for text in axes[2].texts] == ["0", "largest of each image"]
    assert axes[2].images[0].get_cmap().name == "magma"


def test_signed_values_of_grey_images_have_a_scale():
    run = make_run()
    images = run.held_out("test").source.images
    filters = filter_panel(run.task.model, run.variables, images, "edge")
    assert filters.scale == ("RdBu_r", "negative weight", "positive weight")
    assert patches(run).scale == ("RdBu_r", "negative", "positive")
    assert patches(make_run(rectified=False)).scale[1:] == ("lowers the activation", "raises it")
    assert patches(make_run(channels=3)).scale is None


def test_a_patch_is_padded_at_the_border():
    picture = np.arange(30.0).reshape(5, 6, 1) * np.ones(3)
    sides = (40, 40)

    def pixels(rows, columns):
        return crop(picture, (slice(*rows), slice(*columns)), sides)[..., 0]

    above = pixels((0, 2), (1, 3))
    np.testing.assert_array_equal(above[38:, :2], picture[:2, 1:3, 0])
    assert (above != 0.75).sum() == 4
    left = pixels((3, 5), (0, 1))
    np.testing.assert_array_equal(left[:2, 39], picture[3:5, 0, 0])
    assert (left != 0.75).sum() == 2
