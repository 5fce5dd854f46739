"""Handwriting without segmentation: columns of a picture, or strokes of a pen, to digits.

Reproduces: a bidirectional LSTM, trained by connectionist temporal classification, reads lines
without any frame-level alignment: Graves, Fernandez, Gomez and Schmidhuber, "Connectionist temporal
classification", 2006; Graves et al., "A novel connectionist system for unconstrained handwriting
recognition", 2009 (79.7 % of the words of IAM-OnDB, which is not free).

    python -m experiments.handwriting_ctc --workdir=runs/lines
    python -m experiments.handwriting_ctc --workdir=runs/pens --config.dataset=pens:FOLDER
    python -m experiments.handwriting_ctc --workdir=runs/lines --mode=transcribe \\
        --config.input=line.png

Data: digit_lines (the default), lines of scikit-learn's 1,797 real digits, read column by column,
see data/lines/digits.py; pens, lines of synthetic pen strokes, and pens:FOLDER, lines of the
pendigits of 44 writers, see data/lines/pens.py. Each training step draws new lines; the digits of
the test lines, with pens:FOLDER also their writers, do not occur in training. --mode=transcribe
reads a picture, or the points of a pen from a CSV file, and draws which frames belong to each
symbol. Measured: the row of C11 in experiments/README.md.
"""

import json
from dataclasses import dataclass
from functools import partial

import numpy as np

from data.catalogue import unknown_dataset
from data.lines.transcripts import Alphabet
from experiments.common.assets import to_json
from experiments.common.split import split_indices
from experiments.signal.task import (
    ALPHABET,
    MODES,
    Transcribe,
    TranscriptionData,
    composed_data,
    make_experiment,
    make_network,
)
from experiments.signal.task import Config as TranscriptionConfig
from train import cli
from train.task import Assets, Experiment

SCALE = "scale.json"  # name of the asset of pens
DATASETS = ("digit_lines", "pens", "pens:FOLDER")


@dataclass(slots=True, kw_only=True)
class Config(TranscriptionConfig):
    """Settings of the lines."""

    dataset: str = TranscriptionConfig.changed(
        "dataset", "digit_lines", "digit_lines, pens or pens:FOLDER"
    )


def read_digits(config: Config) -> TranscriptionData:
    """Data of lines of real digits, as columns of a picture."""
    from data.lines.digits import DIGITS, digit_images, longest_line
    from data.tabular.batches import sha256_of

    digits = digit_images(config.data_dir)
    rest = digits["train"]
    train, validation = split_indices(len(rest.labels), config.validation_fraction, config.seed)
    return composed_data(
        config,
        DIGITS,
        train=rest.subset(train, distort=True),
        validation=rest.subset(validation),
        test=digits["test"],
        longest=longest_line(config.max_length),
        assets={},
        provenance={"digits": len(train), "train_sha256": sha256_of(rest.images, rest.labels)},
    )


def read_pens(config: Config, folder: str) -> TranscriptionData:
    """Data of lines of digits, as movements of a pen."""
    from data.lines.digits import DIGITS
    from data.lines.pens import pen_digits
    from data.tabular.batches import sha256_of

    digits, test = pen_digits(folder)
    rest = np.flatnonzero(~test)
    train, validation = split_indices(len(rest), config.validation_fraction, config.seed)
    return composed_data(
        config,
        DIGITS,
        train=digits.subset(rest[train], distort=True),
        validation=digits.subset(rest[validation]),
        test=digits.subset(test),
        longest=config.max_length * max(len(points) for points in digits.points),
        assets={SCALE: to_json(float(digits.scale))},
        provenance={
            "digits": len(train),
            "pieces_sha256": sha256_of(*digits.points, *digits.up, digits.labels),
        },
    )


def make_task(config: Config, assets: Assets) -> Transcribe:
    """Make the network for the alphabet, and the reader of input files."""
    alphabet = Alphabet.from_bytes(assets[ALPHABET])
    network = make_network(config, len(alphabet.symbols))
    if config.dataset.startswith("pens"):
        from data.lines.pens import read_pen

        read_file = partial(read_pen, scale=json.loads(assets[SCALE]))
        return Transcribe(config, alphabet, network, read_file, "pen")
    from data.lines.digits import read_line

    return Transcribe(config, alphabet, network, read_line, "columns")


def build(config: Config) -> Experiment:
    """Read the digits; make the task and the batches."""
    kind, _, folder = config.dataset.partition(":")
    if kind == "pens":
        data = read_pens(config, folder)
    elif config.dataset == "digit_lines":
        data = read_digits(config)
    else:
        raise unknown_dataset(config.dataset, DATASETS)
    return make_experiment(config, make_task, data)


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
