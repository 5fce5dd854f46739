"""The user's own pictures: read as the network needs them, classified, and looked into."""

import json

import numpy as np
import pytest
from PIL import Image

from data.catalogue import DataError
from experiments.image.own import classify, pictures
from tests.experiments.opened import opened
from train.config import ConfigError


class Settings:
    input = ""


class Brightest:
    """The class is the quarter of the image with the highest sum; logits are its quarters."""

    classes = ("upper left", "upper right", "lower left", "lower right")

    def __call__(self, batch):
        x = batch["image"]
        assert x.dtype == np.float32
        assert x.shape[1:] == (8, 8, 3)
        return x.sum(axis=3).reshape(-1, 2, 4, 2, 4).sum(axis=(2, 4)).reshape(-1, 4), ()


def run_of(tmp_path, files):
    (tmp_path / "batch.json").write_text(json.dumps({"image": ["float32", 2, 8, 8, 3]}))
    config = Settings()
    config.input = ",".join(map(str, files))
    task = Brightest()
    run = opened(task, task, config=config, evals={"test": "held-out"})
    object.__setattr__(run, "workdir", tmp_path)
    return run


@pytest.fixture
def files(tmp_path):
    """Grey and colour images of other sizes, each with one bright quarter."""
    paths = []
    for i, (row, column) in enumerate([(0, 0), (1, 0), (1, 1)]):
        pixels = np.zeros((20, 20, 3) if i else (20, 20), np.uint8)
        pixels[10 * row : 10 * row + 10, 10 * column : 10 * column + 10] = 255
        paths.append(tmp_path / f"ü {i}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


def test_classify_prints_a_line_for_each_file(tmp_path, files, capsys):
    classify(run_of(tmp_path, files))
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines] == [
        [str(files[0]), "upper left"],
        [str(files[1]), "lower left"],
        [str(files[2]), "lower right"],
    ]
    assert all(float(line[2]) > 0.99 for line in lines)


def test_pictures_have_their_predicted_classes(tmp_path, files):
    (batch,) = pictures(run_of(tmp_path, files))
    assert batch["label"][batch["mask"] > 0].tolist() == [0, 2, 3]
    assert pictures(run_of(tmp_path, [])) == "held-out"


def test_a_file_is_needed_and_must_be_an_image(tmp_path):
    with pytest.raises(ConfigError, match=r"this mode needs --config\.input=FILE"):
        classify(run_of(tmp_path, []))
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(DataError, match=r"cannot read .*text\.png"):
        classify(run_of(tmp_path, [tmp_path / "text.png"]))
