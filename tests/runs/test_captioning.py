"""A captioner with a consensus, whose run is moved away from its data."""

import dataclasses
import shutil

import numpy as np
import pytest
from PIL import Image

from data.catalogue import DataError
from experiments import captioning, open_run
from experiments.image.caption_modes import caption
from experiments.image.own import own_images
from train.config import ConfigError, RunConfig
from train.loop import fit


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """Folder of a finished run, made in another place."""
    changes = {"batch_size": 4, "beam_size": 4, "consensus": 16, "consensus_captions": 3}
    config = captioning.Config(**RunConfig.TINY | captioning.Config.TINY | changes | {"steps": 1})
    here, there = (tmp_path_factory.mktemp(name) / "run" for name in ("here", "there"))
    experiment = captioning.build(config)
    sets = {"test": experiment.evals["test"]}
    fit(dataclasses.replace(experiment, evals=sets), config, here)
    shutil.move(here, there)
    return there


def test_a_moved_run_captions_a_picture_by_consensus(moved, tmp_path, monkeypatch, capsys):
    def gone(config):
        raise DataError("the data are gone")

    monkeypatch.setattr(captioning, "build", gone)
    noise = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "own.png")
    run = open_run(moved, input=str(tmp_path / "own.png"), n_best=4)
    caption(run)
    lines = capsys.readouterr().out.splitlines()[1:]
    _, image = own_images(run)
    alone = [text for _, text in run.task.candidates(run.variables, image)[0]]
    consensus = run.task.consensus(run.variables)
    summary = np.asarray(run.task.image_summaries(run.variables, noise[None], 1))
    scores = consensus.scores([alone], summary)[0]
    order = sorted(range(4), key=lambda i: -scores[i])
    assert order != [0, 1, 2, 3]
    assert lines == [f"  {scores[i]:8.3f}  {alone[i]}" for i in order]
    batch = {"image": image, "index": np.zeros(1, int)}
    assert run.task.captions(run.variables, [batch]) == [alone[order[0]]]
    assert run.task.attended(run.variables, image, consensus)[1].shape[0] == 1


def test_the_number_of_images_is_limited_to_those_of_the_run(moved):
    with pytest.raises(ConfigError, match=r"consensus must be 0 to 16, .* got 17") as caught:
        open_run(moved, consensus=17)
    assert caught.value.exit_code == 2
    assert open_run(moved, consensus=0).task.consensus(None) is None


def test_scores_of_the_test_set_have_baselines_of_the_consensus(moved):
    run = open_run(moved)
    found = run.task.without_network(run.variables, run.held_out("test"))
    expected = ["constant", "neighbour", "other", "knn_consensus", "neighbour_consensus"]
    assert list(found) == expected
    assert {len(texts) for texts in found.values()} == {8}
