"""A published LeNet-5 is trained, and its accuracy on distorted images is measured."""

import dataclasses
import json

import numpy as np
import pytest

from data.images.labelled import EvaluationBatches
from experiments import lenet5
from experiments.image.robustness import CHANGES, robustness
from tests.experiments.opened import opened
from tests.experiments.test_lenet5 import settings
from train.loop import fit
from train.metrics import read_metrics
from train.trained import load_run


def test_published_variant_trains_and_its_robustness_is_measured(monkeypatch, tmp_path, capsys):
    few = [dataclasses.replace(each, levels=(each.neutral, each.levels[-1])) for each in CHANGES]
    monkeypatch.setattr("experiments.image.robustness.CHANGES", few)
    config = settings(tmp_path, distort=True)
    fit(lenet5.build(config), config, tmp_path / "run")
    assert all(np.isfinite(v) for line in read_metrics(tmp_path / "run") for v in line.values())
    run = load_run(lenet5.build, lenet5.make_task, config, tmp_path / "run")
    test = EvaluationBatches(run.held_out("test").source.subset(slice(0, 6)), 8)
    robustness(opened(run.task, run.predict, config=config, evals={"test": test}))
    numbers = json.loads((tmp_path / "robust.json").read_text())
    assert list(numbers) == ["scale", "stroke width", "squeeze", "rotation", "noise"]
    batch = next(iter(test))
    plain = (np.argmax(run.predict(batch)[0], axis=1) == batch["label"])[:6].mean()
    for change in few:
        accuracy = dict(zip(*numbers[change.name].values(), strict=True))
        assert list(accuracy) == list(change.levels)
        assert accuracy[change.neutral] == pytest.approx(plain)
    for name in ("robust.png", "robust_images.png"):
        assert (tmp_path / name).stat().st_size > 1000
    assert "scale" in capsys.readouterr().out
