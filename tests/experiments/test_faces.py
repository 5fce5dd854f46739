"""Faces: the sets, the sizes of the networks, the pictures of weights, refused settings."""

import jax
import numpy as np
import pytest

from data.images.faces import FACTORS, Faces
from experiments import faces, open_run
from train.config import ConfigError
from train.loop import fit

PEOPLE = tuple("abcdefghijklmnopqrst")
CLASSES = {"identity": PEOPLE, **FACTORS}


def made_faces():
    """320 images of 30 x 32 pixels, 16 of each person, with random labels."""
    rng = np.random.default_rng(0)
    labels = {name: rng.integers(len(classes), size=320) for name, classes in CLASSES.items()}
    labels["identity"] = np.arange(320) % 20
    labels = {name: array.astype(np.int32) for name, array in labels.items()}
    return Faces(rng.random((320, 30, 32, 1), np.float32), labels, CLASSES, "2 images")


@pytest.fixture
def data(monkeypatch):
    made = made_faces()
    monkeypatch.setattr("experiments.faces.load_faces", lambda *_: made)
    return made


@pytest.mark.parametrize("split", ["image", "person"])
def test_the_test_sets_of_five_seeds_have_every_image_once(data, split):
    tests = []
    for seed in range(5):
        sets = faces.split_faces(data, faces.Config(split=split, seed=seed))
        everything = np.concatenate(list(sets.values()))
        assert sorted(everything.tolist()) == list(range(320))
        people = [set(data.labels["identity"][indices]) for indices in sets.values()]
        if split == "person":
            assert [len(each) for each in people] == [14, 2, 4]
            assert len(set().union(*people)) == 20  # no person is in two sets
        assert len(sets["test"]) == 64
        tests.extend(sets["test"].tolist())
    assert sorted(tests) == list(range(320))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (faces.Config.PRESETS["published"], 960 * 3 + 3 + 3 * 4 + 4),
        (faces.Config.PRESETS["identity"], 960 * 20 + 20 + 20 * 20 + 20),
        ({"label": "eyes", "widths": (5, 3)}, 960 * 5 + 5 + 5 * 3 + 3 + 3 * 2 + 2),
    ],
)
def test_numbers_of_parameters(data, changes, expected):
    experiment = faces.build(faces.Config(**changes))
    batch = experiment.train(0)
    params = jax.eval_shape(experiment.task.init, jax.random.key(0), batch)["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == expected
    assert experiment.provenance["missing"] == "2 images"


def test_the_perceptron_reads_standardised_pixels_and_its_weights_are_drawn(data, tmp_path, capsys):
    path = str(tmp_path / "drawn.png")
    config = faces.Config(widths=(3,), steps=1, batch_size=8, figures_at=(), picture=path)
    experiment = faces.build(config)
    (pixels,) = experiment.task.inputs(experiment.train(0))
    assert pixels.shape == (8, 960)
    image = experiment.train(0)["image"][3]
    np.testing.assert_allclose(
        pixels[3], ((image - image.mean()) / image.std()).ravel(), rtol=1e-3, atol=1e-4
    )
    fit(experiment, config, tmp_path / "run")
    run = open_run(tmp_path / "run", picture=config.picture)
    kernel = np.asarray(run.variables["params"]["hidden0"]["kernel"])
    first, output = run.task.first_layer(run.variables, (30, 32))
    np.testing.assert_array_equal(first[4, 5], kernel[4 * 32 + 5])
    assert output.shape == (3, 4)
    faces.weights(run)
    assert "3 units" in capsys.readouterr().out
    assert (tmp_path / "drawn.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": "identity", "split": "person"}, "needs config.split=image"),
        ({"dataset": "digits", "label": "eyes"}, "label=eyes is unknown in dataset digits, which"),
        ({"widths": ()}, "at least one hidden layer"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        faces.build(faces.Config(**changes))
