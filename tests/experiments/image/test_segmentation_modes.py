"""Modes of segmentation: damaged pictures are named, others are drawn; titles of iterations."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from data.catalogue import DataError
from experiments.image.random_field import drawn_answers
from experiments.image.segmentation_modes import segment
from train.config import ConfigError


def run_of(folder, *names):
    """A network that answers with the brighter half of the scale, at half of the size."""

    def predict(batch):
        bright = batch["image"].mean(axis=-1)
        return np.stack([1 - bright, bright], axis=-1), ()

    config = SimpleNamespace(
        input=",".join(str(folder / name) for name in names),
        picture=str(folder / "drawn.png"),
        image_reduction=2,
    )
    task = SimpleNamespace(classes=("dark", "bright"))
    return SimpleNamespace(config=config, task=task, predict=predict, workdir=folder)


@pytest.fixture
def folder(tmp_path):
    half = np.zeros((6, 8, 3), np.uint8)
    half[:, 4:] = 255
    Image.fromarray(half).save(tmp_path / "half.png")
    Image.new("RGB", (1, 1), (255, 255, 255)).save(tmp_path / "dot.png")
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    return tmp_path


def test_a_damaged_picture_is_named_and_the_others_are_drawn(folder, capsys):
    segment(run_of(folder, "half.png", "cut.jpg", "dot.png"))
    out, err = capsys.readouterr()
    assert "half.png\tdark 0.500\tbright 0.500\n" in out
    assert "dot.png\tbright 1.000\n" in out
    assert "cut.jpg" in err
    assert err.count("\n") == 1
    drawn = sorted(path.name for path in folder.glob("drawn*"))
    assert drawn == ["drawn_1.png", "drawn_3.png"]


def test_without_a_picture_there_is_an_error(folder):
    with pytest.raises(DataError, match=r"cannot read .*cut.jpg"):
        segment(run_of(folder, "cut.jpg"))
    with pytest.raises(DataError, match="none of the pictures"):
        segment(run_of(folder, "cut.jpg", "cut.jpg"))
    with pytest.raises(ConfigError, match=r"--config.input=FILE"):
        segment(run_of(folder))


def test_answers_of_a_random_field_are_titled_by_their_iterations():
    answers = np.arange(8)
    titles = {"0 iterations": 0, "1 iteration": 1, "2 iterations": 2, "5 iterations": 5}
    assert drawn_answers(answers) == {**titles, "7 iterations": 7}
    assert drawn_answers(answers[:6]) == titles
