"""Convolution over time: spoken digits, and digits as the path of a pen.

Reproduces: weights shared over time make a network blind to when something is said: Waibel et al.,
"Phoneme recognition using time-delay neural networks", 1989; LeCun and Bengio, "Convolutional
networks for images, speech, and time series", 1995. The layers are in nets/convolution/temporal.py.

    python -m experiments.spoken_digits --workdir=runs/strokes
    python -m experiments.spoken_digits --workdir=runs/spoken --config.dataset=waves:recordings
    python -m experiments.spoken_digits --workdir=runs/pens --config.dataset=pendigits:FOLDER
    python -m experiments.spoken_digits --workdir=runs/spoken --mode=shift --config.against=runs/b

Data: strokes (synthetic drawings, the default) and pendigits:FOLDER (real ones),
data/series/strokes.py; waves:FOLDER, WAV files as the Free Spoken Digit Dataset has them,
data/sound/waves.py. --mode=shift lets every series of the test begin later, and says how many are
still named right. Measured: the rows of B7 in experiments/README.md; docs/convolution.md.
"""

from dataclasses import dataclass
from typing import cast

import jax.numpy as jnp
import numpy as np

from data.series.labelled import EvaluationSeries, TimeSeries, TrainingSeries
from experiments.common.classification import Classify
from experiments.signal.series import (
    accuracy_by_offset,
    draw_evidence,
    load_series,
    pictures,
    show_shift,
)
from nets.convolution.temporal import READOUTS, TimeConvNet, TimeConvolutions
from train import cli
from train.config import Config as SharedConfig
from train.config import changed, option
from train.optimizer import make_optimizer
from train.task import Experiment

VALIDATION = 2  # word of the seed, so that no two streams meet


@dataclass(slots=True, kw_only=True)
class Config(SharedConfig):
    """Settings of data, augmentation and network."""

    dataset: str = option("strokes", "strokes, pendigits:FOLDER or waves:FOLDER")
    held_out: str = option("standard", "the test: standard, or speaker:NAME of recordings")
    validation: float = option(0.1, "share of the rest for validation", above=0, maximum=0.5)
    bands: int = option(40, "of the log-mel spectrogram of a recording", minimum=4)
    frames: int = option(100, "of it, 10 ms each; the rest is cut off", minimum=10)
    shift: int = option(20, "augmentation: most steps of rest before a series", minimum=0)
    gain: float = option(10.0, "augmentation: highest change of loudness, decibel", minimum=0)
    noise: float = option(0.2, "augmentation: standard deviation of noise", minimum=0)

    filters: int = option(64, "kernels of a layer", minimum=1)
    layers: int = option(3, "of convolution", minimum=1)
    size: int = option(5, "of a kernel, steps", minimum=1)
    pool: int = option(2, "steps of which a layer leaves the largest", minimum=1)
    readout: str = option("max", "pooling over time, or a weight a place", choices=READOUTS)
    dropout: float = option(0.0, "of what is read out", minimum=0, below=1)

    steps: int = changed("steps", 1500)
    batch_size: int = option(64, "series in a step", minimum=1)
    learning_rate: float = changed("learning_rate", 2e-3)
    figures_at: tuple[float, ...] = changed("figures_at", (1.0,))

    against: str = option("", "other runs that --mode=shift draws, by commas", volatile=True)
    picture: str = option("shift.png", "file that --mode=shift draws", volatile=True)


class ClassifySeries(Classify):
    """Mean of -log P(label given series)."""

    model: TimeConvNet

    def __init__(self, config: Config, test: TimeSeries):
        dtype = jnp.dtype(config.precision)
        features = (config.filters,) * config.layers
        layers = TimeConvolutions(features, config.size, config.pool, dtype)
        network = TimeConvNet(layers, len(test.classes), config.readout, config.dropout)
        super().__init__(network, test.classes)
        self.settings, self.held_out = config, test

    def inputs(self, batch, carry):
        """Return the series and their lengths."""
        return batch["x"], batch["lengths"]

    def pictures(self, batch):
        """Spectrograms, or the path of the pen."""
        return pictures(batch["x"], batch["lengths"])

    def figures(self, predict, batches):
        """What speaks for the label and when, the confusion matrix, and the worst mistakes."""
        shown = draw_evidence(self.model, predict.variables, next(iter(batches)), self.classes)
        return {"evidence": shown} | super().figures(predict, batches)


def build(config: Config) -> Experiment:
    """Load the series, divide them, and make the network."""
    series, of_test = load_series(config.dataset, config.held_out, config.bands, config.frames)
    test, rest = series.subset(of_test), series.subset(~of_test)
    order = np.random.default_rng((config.seed, VALIDATION)).permutation(len(rest.labels))
    count = max(1, round(len(order) * config.validation))
    validation, train = rest.subset(order[:count]), rest.subset(order[count:])
    augmentation = (config.shift, config.gain, config.noise)
    return Experiment(
        task=ClassifySeries(config, test),
        optimizer=make_optimizer(config),
        train=TrainingSeries(train, config.batch_size, config.seed, *augmentation),
        evals={
            "validation": EvaluationSeries(validation, config.batch_size),
            "test": EvaluationSeries(test, config.batch_size),
        },
        provenance={
            "dataset": config.dataset,
            "train": len(train.labels),
            "validation": count,
            "test": len(test.labels),
            "sha256": series.sha256,
        },
    )


def shift(task: ClassifySeries, predict) -> None:
    """Print and draw the accuracy on the test against when the series begin."""
    runs = {"this run": (task, predict)}
    config = task.settings
    for folder in filter(None, config.against.split(",")):
        words = ["", f"--workdir={folder}", "--mode=shift"]
        other, workdir, _ = cli.parse(Config, ("train", "shift"), words)
        experiment, predict = cli.load_run(build, other, workdir)
        runs[folder] = (cast(ClassifySeries, experiment.task), predict)
    found = {}
    for folder, (each, predict) in runs.items():
        how = each.settings
        name = f"{folder}: {how.readout}, trained with shifts to {how.shift}"
        found[name] = accuracy_by_offset(predict, each.held_out)
    show_shift(found, config.picture)


if __name__ == "__main__":
    cli.run(Config, build, {"shift": shift})
