"""The mode that trains a linear classifier on the code."""

import pytest

from experiments import autoencoder, open_run
from experiments.feedforward.features import features
from train.config import ConfigError
from train.loop import fit


def test_accuracies_of_three_kinds_of_features(tmp_path, capsys):
    config = autoencoder.Config(widths=(), code=8, steps=60, learning_rate=0.02, figures_at=())
    fit(autoencoder.build(config), config, tmp_path)
    capsys.readouterr()
    features(open_run(tmp_path, label_counts=(30, 100)))
    header, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    assert header == ["labelled", "pixels", "PCA", "code"]
    assert [row[0] for row in rows] == ["30", "100"]
    for few, many in zip(rows[0][1:], rows[1][1:], strict=True):
        assert 0.3 < float(few) < float(many) < 1  # chance: 0.1
    with pytest.raises(ConfigError, match="1293 training images"):
        features(open_run(tmp_path, label_counts=(2000,)))
