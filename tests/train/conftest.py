"""A small task that every test of the training code can afford, and command lines."""

import sys

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from train import cli
from train.config import OptimizerConfig
from train.optimizer import make_optimizer
from train.task import Experiment, Mean, RecurrentTask, Task


class Running(nn.Module):
    """Linear map of x and of a running sum of x; dropout, statistics, a penalty as options."""

    features: int = 2
    dropout: float = 0.0
    count_calls: bool = False
    penalty: float = 0.0

    @nn.compact
    def __call__(self, x, carry, *, train: bool = False):
        if self.count_calls:
            calls = self.variable("stats", "calls", lambda: jnp.zeros(()))
            if train:
                calls.value = calls.value + 1
        carry = carry + x
        x = nn.Dropout(self.dropout, deterministic=not train)(jnp.concatenate([x, carry], -1))
        y = nn.Dense(self.features, name="dense")(x)
        if train and self.penalty:
            self.sow("penalties", "outputs", self.penalty * jnp.mean(y**2))
        return y, carry


class Regression(RecurrentTask):
    """Squared error of rows that the mask lets through."""

    headline = "error"

    def __init__(self, **options):
        self.model = Running(**options)

    def inputs(self, batch):
        return (batch["x"],)

    def init_carry(self, batch):
        return jnp.zeros(batch["x"].shape)

    def means(self, outputs, batch):
        error = jnp.square(outputs - batch["y"]).sum(-1)
        return {
            "loss": Mean.from_values(error, batch["mask"]),
            "error": Mean.from_values(error, batch["mask"]),
        }

    def scores(self, predict, batches):
        outputs = [np.asarray(predict(batch)[0])[batch["mask"] > 0] for batch in batches]
        return {"largest": float(np.max(np.concatenate(outputs)))}

    def figures(self, predict, batches):
        return {"kernel": str(np.asarray(predict.variables["params"]["dense"]["kernel"]).shape)}


class Linear(nn.Module):
    """Logits of images for three classes."""

    @nn.compact
    def __call__(self, x, *, train=False):
        return nn.Dense(3)(x.reshape(x.shape[0], -1))


class Classes(Task):
    """Cross-entropy of images that the mask, if there is one, lets through."""

    model = Linear()

    def inputs(self, batch):
        return (batch["image"],)

    def means(self, outputs, batch):
        losses = optax.softmax_cross_entropy_with_integer_labels(outputs, batch["label"])
        return {"loss": Mean.from_values(losses, batch.get("mask"))}


def batch_at(step, rows=8, real=None, bad=()):
    """Rows of x and a target linear in x; the last ones masked, with garbage under the mask."""
    rng = np.random.default_rng(step)
    x = rng.standard_normal((rows, 3)).astype(np.float32)
    y = x[:, :2] * np.float32(2.0) - x[:, 1:] + 1
    mask = (np.arange(rows) < (rows if real is None else real)).astype(np.float32)
    y[mask == 0] = 1e3
    if step in bad:
        y[0] = np.inf
    return {"x": x, "y": y, "mask": mask}


def by_rows(train):
    """Make (step, rows) -> batch from step -> whole batch."""
    return lambda step, rows=slice(None): {name: x[rows] for name, x in train(step).items()}


@pytest.fixture
def small_config():
    """Make a config of a run that takes a second."""

    def make(**changes):
        defaults = {
            "steps": 12,
            "batch_size": 8,
            "learning_rate": 0.05,
            "log_every": 3,
            "eval_every": 6,
            "save_every": 4,
        }
        return OptimizerConfig(**{**defaults, **changes})

    return make


@pytest.fixture
def regression():
    """Make the experiment for a config; `train` may be replaced by another step -> whole batch."""

    def make(config, train=None, evals=None, **options):
        def usual(step):
            return batch_at(step, config.batch_size, real=5 + step % 4)

        return Experiment(
            task=Regression(**options),
            optimizer=make_optimizer(config),
            train=by_rows(train or usual),
            evals=evals
            or {"validation": [batch_at(900), batch_at(901, real=3)], "test": [batch_at(902)]},
            provenance={"rows": "drawn"},
        )

    return make


@pytest.fixture
def run(monkeypatch, capsys):
    """Run an experiment's command line in this process: (exit code, stdout, stderr)."""

    def run(module, *words):
        monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, words)])
        code = 0
        try:
            make_task = getattr(module, "make_task", None)
            cli.run(module.Config, module.build, make_task, getattr(module, "MODES", None))
        except SystemExit as stop:
            code = stop.code
        out = capsys.readouterr()
        return code, out.out, out.err

    return run


def refused(result, *parts):
    code, out, err = result
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    assert "Traceback" not in out + err
    for part in parts:
        assert part in err, (part, err)
