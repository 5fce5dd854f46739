"""Convolution over time: spoken digits, and digits written with a pen.

Reproduces: weights that are shared over time make a network insensitive to when something occurs:
Waibel et al., "Phoneme recognition using time-delay neural networks", 1989; LeCun and Bengio,
"Convolutional networks for images, speech, and time series", 1995. The layers are in
nets/convolution/temporal.py.

    python -m experiments.spoken_digits --workdir=runs/strokes
    python -m experiments.spoken_digits --workdir=runs/spoken --config.dataset=waves:recordings
    python -m experiments.spoken_digits --workdir=runs/pens --config.dataset=pendigits:FOLDER
    python -m experiments.spoken_digits --workdir=runs/spoken --mode=shift \\
        --config.compare_runs=runs/b

Data: strokes (synthetic pen strokes, the default) and pendigits:FOLDER (real ones), see
data/series/strokes.py; waves:FOLDER, WAV files named as in the Free Spoken Digit Dataset, see
data/sound/waves.py. --mode=shift delays the test series and measures the accuracy. Measured: the
rows of B7 in experiments/README.md; see also docs/convolution.md.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from data.catalogue import DataError, unknown_dataset
from data.series.labelled import EvaluationSeries, TimeSeries, TrainingSeries
from experiments.common.assets import CLASSES, classes_of, to_json
from experiments.common.classification import Classify
from experiments.common.settings import picture, validation_fraction
from experiments.common.split import split_indices
from nets.convolution.temporal import READOUTS, TimeConvNet, TimeConvolutions
from train import cli
from train.config import OptimizerConfig, option
from train.optimizer import make_optimizer
from train.task import Assets, Experiment
from train.trained import TrainedRun

MODES = {"shift": f"{__name__}:shift"}
DATASETS = ("strokes", "pendigits:FOLDER", "waves:FOLDER")
SIDE = 28  # of the image of a pen path, in pixels


@dataclass(slots=True, kw_only=True)
class Config(OptimizerConfig):
    """Settings of the data, the augmentation and the network."""

    TINY: ClassVar = {"filters": 8, "mel_bands": 8, "max_frames": 96}

    dataset: str = OptimizerConfig.changed(
        "dataset", "strokes", "strokes, pendigits:FOLDER or waves:FOLDER"
    )
    test_split: str = option(
        "standard",
        "test recordings: the standard split, or speaker:NAME",
        note="only with waves:FOLDER",
        group="data",
    )
    validation_fraction: float = validation_fraction()
    mel_bands: int = option(
        40,
        "number of bands of the log-mel spectrogram",
        note="only with waves:FOLDER",
        group="data",
        minimum=4,
    )
    max_frames: int = option(
        100,
        "maximum number of frames",
        note="10 ms each; longer recordings are cut; only with waves:FOLDER",
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
    conv_layers: int = option(3, "number of convolution layers", minimum=1)
    kernel_size: int = option(5, "length of a kernel, in steps", minimum=1)
    pool_size: int = option(2, "steps per max-pooling window", minimum=1)
    readout: str = option("max", "readout: pooling over time, or flatten", choices=READOUTS)
    dropout: float = option(
        0.0, "dropout probability", note="before the readout", minimum=0, below=1
    )

    steps: int = OptimizerConfig.changed("steps", 1500)
    learning_rate: float = OptimizerConfig.changed("learning_rate", 2e-3)
    figures_at: tuple[float, ...] = OptimizerConfig.changed("figures_at", (1.0,))

    compare_runs: str = option(
        "", "run directories to compare with, separated by commas", modes=("shift",)
    )
    picture: str = picture("shift")


def load_series(config: Config) -> tuple[TimeSeries, np.ndarray]:
    """Series of the dataset, and bool [N], true in the test set.

    Raises DataError if there is no such dataset, or if it cannot be split by config.test_split.
    """
    kind, _, folder = config.dataset.partition(":")
    if kind == "waves":
        from data.sound.spectrogram import spectrograms
        from data.sound.waves import load_waves

        waves = load_waves(folder)
        test = waves.held_out(config.test_split)
        return spectrograms(waves, test, config.mel_bands, config.max_frames), test
    if config.test_split != "standard":
        raise DataError(
            f"config.test_split={config.test_split} needs recordings, "
            f"{config.dataset} has standard only"
        )
    if kind == "pendigits":
        from data.series.strokes import load_pendigits

        return load_pendigits(folder)
    if config.dataset == "strokes":
        from data.series.strokes import strokes

        return strokes()
    raise unknown_dataset(config.dataset, DATASETS)


def series_images(x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Images [N, H, W, 1] of series [N, T, D]: the path of a pen if D is 2 or 3, else D over T."""
    if x.shape[2] > 3:
        valid = (np.arange(x.shape[1]) < lengths[:, None])[..., None]
        x = np.where(valid, x, x.min(axis=(1, 2), keepdims=True))
        return x[:, :, ::-1].swapaxes(1, 2)[..., None].repeat(2, axis=1)
    images = np.zeros((len(x), SIDE, SIDE, 1), np.float32)
    for image, row, length in zip(images, x, lengths, strict=True):
        if length:
            points, down = row[:length, :2], row[1:length, 2:].all(axis=1)
            points = np.cumsum(points, axis=0) if x.shape[2] == 3 else points
            low, extent = points.min(axis=0), np.ptp(points, axis=0).max()
            points = (points - low) * (SIDE - 1) / max(extent, 1e-6)
            samples = np.linspace(points[:-1][down], points[1:][down], 2 * SIDE).reshape(-1, 2)
            right, up = np.rint(samples).astype(int).T
            image[SIDE - 1 - up, right] = 1
    return images


class ClassifySeries(Classify):
    """Mean of -log P(label given series)."""

    model: TimeConvNet
    axes: ClassVar = {"x": "b, t, ..."}

    def __init__(self, config: Config, classes: tuple[str, ...]):
        layers = TimeConvolutions(
            features=(config.filters,) * config.conv_layers,
            size=config.kernel_size,
            window=config.pool_size,
            dtype=jnp.dtype(config.precision),
        )
        network = TimeConvNet(
            layers=layers,
            classes=len(classes),
            readout=config.readout,
            dropout=config.dropout,
        )
        super().__init__(network, classes)

    def inputs(self, batch):
        """Return the series and their lengths."""
        return batch["x"], batch["lengths"]

    def example_images(self, batch):
        """Return spectrograms, or paths of a pen."""
        return series_images(batch["x"], batch["lengths"])

    def figures(self, predict, batches):
        """Draw the evidence over time, the confusion matrix, and the most confident mistakes."""
        from experiments.signal.evidence import draw_evidence

        batch = next(iter(batches))
        evidence = draw_evidence(self.model, predict.variables, batch, self.classes)
        return {"evidence": evidence} | super().figures(predict, batches)


class ClassifyFlattened(ClassifySeries):
    """The same with readout=flatten, which has weights for every step of series of one length."""

    axes: ClassVar = {}


def make_task(config: Config, assets: Assets) -> ClassifySeries:
    """Make the network for the classes."""
    kind = ClassifyFlattened if config.readout == "flatten" else ClassifySeries
    return kind(config, classes_of(assets))


def build(config: Config) -> Experiment:
    """Load the series, split them, and make the network."""
    series, in_test = load_series(config)
    test, rest = series.subset(in_test), series.subset(~in_test)
    train, validation = (
        rest.subset(indices)
        for indices in split_indices(len(rest.labels), config.validation_fraction, config.seed)
    )
    assets = {CLASSES: to_json(series.classes)}
    return Experiment(
        task=make_task(config, assets),
        optimizer=make_optimizer(config),
        train=TrainingSeries(
            source=train,
            batch_size=config.batch_size,
            seed=config.seed,
            shift=config.max_delay,
            gain=config.gain_db,
            noise=config.jitter,
        ),
        evals={
            "validation": EvaluationSeries(validation, config.batch_size),
            "test": EvaluationSeries(test, config.batch_size),
        },
        provenance={
            "dataset": config.dataset.split(":")[0],
            "train": len(train.labels),
            "validation": len(validation.labels),
            "test": len(test.labels),
            "sha256": series.sha256,
        },
        assets=assets,
    )


def shift(run: TrainedRun) -> None:
    """Print and draw the accuracy on delayed test series."""
    from experiments.common.output import picture_of
    from experiments.signal.shift import accuracy_by_offset, report_shift
    from train.trained import load_run

    picture, runs = picture_of(run, "shift"), {"this run": run}
    for folder in filter(None, run.config.compare_runs.split(",")):
        words = ["", f"--workdir={folder}", "--mode=shift"]
        config, workdir, _ = cli.parse(Config, ("train", "shift"), words)
        runs[folder] = load_run(build, make_task, config, workdir)
    accuracies = {}
    for folder, each in runs.items():
        config, test = each.config, each.held_out("test").source
        name = f"{folder}: {config.readout}, trained with delays of up to {config.max_delay}"
        accuracies[name] = accuracy_by_offset(each.predict, test)
    report_shift(accuracies, picture)


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
