"""Convolution over time: spoken digits, and digits as the path of a pen.

Reproduces: weights shared over time make a network blind to when something is said: Waibel et al.,
"Phoneme recognition using time-delay neural networks", 1989; LeCun and Bengio, "Convolutional
networks for images, speech, and time series", 1995. The layers are in nets/convolution/temporal.py.

    python -m experiments.spoken_digits --workdir=runs/strokes
    python -m experiments.spoken_digits --workdir=runs/spoken --config.dataset=waves:recordings
    python -m experiments.spoken_digits --workdir=runs/pens --config.dataset=pendigits:FOLDER
    python -m experiments.spoken_digits --workdir=runs/spoken --mode=shift \\
        --config.compare_runs=runs/b

Data: strokes (synthetic drawings, the default) and pendigits:FOLDER (real ones),
data/series/strokes.py; waves:FOLDER, WAV files as the Free Spoken Digit Dataset has them,
data/sound/waves.py. --mode=shift lets every series of the test begin later, and says how many are
still named right. Measured: the rows of B7 in experiments/README.md; docs/convolution.md.
"""

from dataclasses import dataclass
from typing import ClassVar, cast

import jax.numpy as jnp
import numpy as np

from data.series.labelled import EvaluationSeries, TimeSeries, TrainingSeries
from experiments.common.classification import Classify
from experiments.signal.series import load_series, pictures
from nets.convolution.temporal import READOUTS, TimeConvNet, TimeConvolutions
from train import cli
from train.config import OptimizerConfig, option
from train.optimizer import make_optimizer
from train.task import Experiment

MODES = {"shift": f"{__name__}:shift"}
VALIDATION = 2  # word of the seed, so that no two streams meet


@dataclass(slots=True, kw_only=True)
class Config(OptimizerConfig):
    """Settings of the data, the augmentation and the network."""

    TINY: ClassVar = {"filters": 8, "mel_bands": 8, "max_frames": 96}

    dataset: str = OptimizerConfig.changed(
        "dataset", "strokes", "strokes, pendigits:FOLDER or waves:FOLDER"
    )
    test_split: str = option(
        "standard", "test recordings: standard, or speaker:NAME", note="waves:FOLDER", group="data"
    )
    validation_fraction: float = option(
        0.1,
        "fraction of the training data held out for validation",
        group="data",
        above=0,
        maximum=0.5,
    )
    mel_bands: int = option(
        40, "bands of the log-mel spectrogram", note="waves:FOLDER", group="data", minimum=4
    )
    max_frames: int = option(
        100,
        "maximum number of frames",
        note="waves:FOLDER; of 10 ms; longer recordings are cut",
        group="data",
        minimum=10,
    )
    max_delay: int = option(
        20, "augmentation: maximum number of silent steps before a series", group="data", minimum=0
    )
    gain_db: float = option(
        10.0, "augmentation: maximum change of loudness, in dB", group="data", minimum=0
    )
    jitter: float = option(
        0.2, "augmentation: standard deviation of additive noise", group="data", minimum=0
    )
    batch_size: int = OptimizerConfig.changed("batch_size", 64, "in series")

    filters: int = option(64, "convolution kernels per layer", minimum=1)
    conv_layers: int = option(3, "convolution layers", minimum=1)
    kernel_size: int = option(5, "length of a kernel, in steps", minimum=1)
    pool_size: int = option(2, "steps per max-pooling window", minimum=1)
    readout: str = option("max", "readout: pooling over time, or flatten", choices=READOUTS)
    dropout: float = option(0.0, "dropout probability", note="of the readout", minimum=0, below=1)

    steps: int = OptimizerConfig.changed("steps", 1500)
    learning_rate: float = OptimizerConfig.changed("learning_rate", 2e-3)
    figures_at: tuple[float, ...] = OptimizerConfig.changed("figures_at", (1.0,))

    compare_runs: str = option(
        "", "run directories to compare with, separated by commas", modes=("shift",)
    )
    picture: str = option("shift.png", "image file to write", modes=("shift",))


class ClassifySeries(Classify):
    """Mean of -log P(label given series)."""

    model: TimeConvNet

    def __init__(self, config: Config, test: TimeSeries):
        dtype = jnp.dtype(config.precision)
        features = (config.filters,) * config.conv_layers
        layers = TimeConvolutions(features, config.kernel_size, config.pool_size, dtype)
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
        from experiments.signal.evidence import draw_evidence

        shown = draw_evidence(self.model, predict.variables, next(iter(batches)), self.classes)
        return {"evidence": shown} | super().figures(predict, batches)


def build(config: Config) -> Experiment:
    """Load the series, divide them, and make the network."""
    series, of_test = load_series(
        config.dataset, config.test_split, config.mel_bands, config.max_frames
    )
    test, rest = series.subset(of_test), series.subset(~of_test)
    order = np.random.default_rng((config.seed, VALIDATION)).permutation(len(rest.labels))
    count = max(1, round(len(order) * config.validation_fraction))
    validation, train = rest.subset(order[:count]), rest.subset(order[count:])
    augmentation = (config.max_delay, config.gain_db, config.jitter)
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
    from experiments.signal.shift import accuracy_by_offset, show_shift

    runs = {"this run": (task, predict)}
    config = task.settings
    for folder in filter(None, config.compare_runs.split(",")):
        words = ["", f"--workdir={folder}", "--mode=shift"]
        other, workdir, _ = cli.parse(Config, ("train", "shift"), words)
        experiment, predict = cli.load_run(build, other, workdir)
        runs[folder] = (cast(ClassifySeries, experiment.task), predict)
    found = {}
    for folder, (each, predict) in runs.items():
        how = each.settings
        name = f"{folder}: {how.readout}, trained with shifts to {how.max_delay}"
        found[name] = accuracy_by_offset(predict, each.held_out)
    show_shift(found, config.picture)


if __name__ == "__main__":
    cli.run(Config, build, MODES)
