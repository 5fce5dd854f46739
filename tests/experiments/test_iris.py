"""Iris: logistic regression, classification of own rows, and pictures of regions."""

import io

import jax
import numpy as np
import pytest

from data.catalogue import DataError
from experiments import iris, open_run
from experiments.feedforward.regions import principal_plane
from experiments.feedforward.rows import classify, feature_plane, regions
from nets.feedforward.mlp import MLP
from train.config import ConfigError
from train.loop import fit
from train.task import Mean

HEADER = "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder of a softmax regression of tables with numbers and categories, and its data."""
    folder = tmp_path_factory.mktemp("trained")
    rng = np.random.default_rng(0)
    rows = [(f"{x:.3f}", f"{y:.3f}") for x, y in rng.normal([3, -20], [2, 9], (200, 2))]
    kinds = ["left" if float(x) > 3 else "right" for x, _ in rows]
    lines = [f"{x},{y},{k},{k[0]}" for (x, y), k in zip(rows, kinds, strict=True)]
    (folder / "x.csv").write_text("\n".join(["u,v,kind,class", *lines]))
    changes = {"steps": 60, "learning_rate": 0.1, "log_every": 30, "figures_at": ()}
    config = iris.Config(dataset=f"csv:{folder / 'x.csv'}", widths=(), batch_size=16, **changes)
    fit(iris.build(config), config, folder / "run")
    (folder / "x.csv").rename(folder / "moved.csv")
    return folder


def test_softmax_with_two_classes_is_logistic_regression():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(20, 4)).astype(np.float32), rng.integers(0, 2, 20)
    network = MLP((), 2, bias_init=jax.nn.initializers.normal(1.0))
    variables = network.init(jax.random.key(1), x)
    layer = jax.tree.map(np.asarray, variables["params"]["output"])
    # the lectures' P(Y = 1) = 1 / (1 + exp(w0 + sum_i w_i x_i))
    w0 = layer["bias"][0] - layer["bias"][1]
    w = layer["kernel"][:, 0] - layer["kernel"][:, 1]
    positive = 1 / (1 + np.exp(w0 + x @ w))
    logits = network.apply(variables, x)
    np.testing.assert_allclose(jax.nn.softmax(logits)[:, 1], positive, rtol=1e-5)
    task = iris.ClassifyRows(iris.Config(widths=()), ("no", "yes"), ())
    loss: Mean = task.means(logits, {"label": labels})["loss"]
    nats = -np.log(np.where(labels == 1, positive, 1 - positive)).mean()
    np.testing.assert_allclose(loss.value, nats, rtol=1e-5)


def test_the_networks_have_the_parameters_of_the_lectures():
    for widths, count in {(): 15, (10, 20, 10): 50 + 220 + 210 + 33}.items():
        experiment = iris.build(iris.Config(widths=widths))
        variables = experiment.task.init(jax.random.key(0), experiment.train(0))
        assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == count
    x = experiment.train.arrays["x"]
    assert len(x) == 108  # and 12 of the 120 flowers are for validation
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(x.std(axis=0), 1, atol=1e-6)


def test_own_rows_are_classified_without_the_data(trained, tmp_path, monkeypatch, capsys):
    (tmp_path / "own.csv").write_text("kind,other,u,v\nleft,?,4,-10\nright,?,1,-30\nunseen,?,9,0\n")
    classify(open_run(trained / "run", input=str(tmp_path / "own.csv")))
    printed = capsys.readouterr().out
    classes, probabilities = zip(*map(str.split, printed.splitlines()), strict=True)
    assert classes == ("l", "r", "l")
    assert all(0.5 <= float(p) <= 1 for p in probabilities)
    text = (tmp_path / "own.csv").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    classify(open_run(trained / "run"))
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("u,v,kind\n1,NA,left\n", "column v in line 2 of the standard input is missing"),
        ("u,v,kind\n1,two,left\n", "column v in line 2 of the standard input is 'two'"),
        ("u,kind\n1,left\n", "the columns of the standard input are u, kind; needs u and v"),
        ("u,v,kind\n", "the standard input has no rows"),
    ],
)
def test_rows_that_cannot_be_read_are_refused(trained, monkeypatch, text, message):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    with pytest.raises(DataError, match=message):
        classify(open_run(trained / "run"))


def test_regions_are_drawn_over_two_columns(trained, tmp_path, capsys):
    picture = tmp_path / "regions.png"
    data = f"csv:{trained / 'moved.csv'}"
    regions(open_run(trained / "run", dataset=data, features="u,v", picture=str(picture)))
    assert picture.stat().st_size > 10_000
    assert "rows right" in capsys.readouterr().out
    run = open_run(trained / "run", features="v, u")
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    v, u = (run.task.columns[i] for i in (1, 0))
    shown = np.stack([v.mean + v.deviation * x[:, 1], u.mean + u.deviation * x[:, 0]], axis=1)
    plane = feature_plane(run)
    np.testing.assert_allclose(plane.project(x), shown, rtol=1e-6)
    np.testing.assert_allclose(plane.inputs(shown), x * [1, 1, 0, 0], atol=1e-5)
    with pytest.raises(ConfigError, match="two of the columns u, v, got 'u,kind'"):
        feature_plane(open_run(trained / "run", features="u,kind"))
    with pytest.raises(ConfigError, match=r"got 'u,vv' \(did you mean v\?\)"):
        feature_plane(open_run(trained / "run", features="u,vv"))


def test_points_of_the_principal_plane_are_projected_onto_themselves():
    x = np.random.default_rng(0).normal(size=(50, 6))
    plane = principal_plane(x)
    points = plane.project(x)
    np.testing.assert_allclose(plane.project(plane.inputs(points)), points, atol=1e-5)
    with pytest.raises(DataError, match="at least two inputs"):
        principal_plane(x[:, :1])
