"""Captioning: settings and data that are refused, folds, and drawing without feedback."""

import json
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from PIL import Image

from data.catalogue import DataError
from experiments import captioning
from experiments.image import caption_modes
from experiments.image.captions import describe
from train.config import ConfigError

SIZE = {**captioning.Config.TINY, "batch_size": 4, "consensus": 0}


@pytest.fixture(scope="module")
def experiment():
    return captioning.build(captioning.Config(**SIZE, feedback=False))


def test_without_feedback_captions_are_drawn_and_the_nearest_image_is_known(experiment):
    task, test = experiment.task, experiment.evals["test"]
    variables = jax.jit(task.init)(jax.random.key(0), experiment.train(0))
    captions = task.captions(variables, test)
    assert len(captions) == 8
    assert captions == task.captions(variables, test)
    assert len(set(captions)) > 1
    found = task.candidates(variables, next(iter(test))["image"])
    assert [[score for score, _ in row] for row in found] == [[None, None]] * 4
    known = test.known.subset(np.arange(8))
    itself = SimpleNamespace(known=known, pictures=known, batch_size=3)
    found = task.without_network(variables, itself)
    assert found["neighbour"] == [captions[0] for captions in known.captions]
    assert "knn_consensus" not in found


@pytest.mark.parametrize(
    ("changes", "error", "part"),
    [
        ({"stride": 12}, ConfigError, r"stride must be one of \(2, 4, 8, 16, 32\), got 12"),
        ({"n_best": 3}, ConfigError, "n_best must be at most config.beam_size, 2, got 3"),
        ({"groups": 3, "beam_size": 4}, ConfigError, "groups must divide config.beam_size, 4"),
        ({"diversity": 1.0}, ConfigError, "diversity needs config.groups above 1"),
        ({"dataset": "scene"}, DataError, "scene.*did you mean scenes"),
        ({"dataset": "coco:missing.json"}, DataError, "there is no file missing.json"),
    ],
)
def test_settings_and_data_are_checked(changes, error, part):
    with pytest.raises(error, match=part) as caught:
        captioning.build(captioning.Config(**(SIZE | changes)))
    assert "\n" not in str(caught.value)


def test_a_fold_of_a_coco_file(tmp_path):
    (tmp_path / "images").mkdir()
    images = []
    for i in range(10):
        Image.new("RGB", (6, 4), (10 * i, 0, 0)).save(tmp_path / "images" / f"{i}.png")
        entry = {"file": f"{i}.png", "height": 4, "width": 6, "captions": [f"Image {i}."]}
        images.append(entry)
    (tmp_path / "annotations.json").write_text(json.dumps({"categories": [], "images": images}))
    config = captioning.Config(**SIZE, dataset=f"coco:{tmp_path}/annotations.json", fold=1)
    experiment = captioning.build(config)
    assert experiment.task.headline == "cider_d"
    expected = {"dataset": "coco", "train": 7, "validation": 1, "test": 2}
    assert {name: experiment.provenance[name] for name in expected} == expected
    assert experiment.train(0)["image"].shape == (4, 48, 48, 3)


def test_mode_caption(experiment, tmp_path):
    text = describe(["a.png"], [[(-0.5, "a red one"), (None, "a one")]])
    assert text == "a.png\n    -0.500  a red one\n  a one"
    model = SimpleNamespace(view="initial")
    config = captioning.Config(picture=str(tmp_path / "a.png"))
    run = SimpleNamespace(task=SimpleNamespace(model=model), config=config)
    with pytest.raises(ConfigError, match=r"picture needs a network trained with .*attention"):
        caption_modes.caption(run)
