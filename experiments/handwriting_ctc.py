"""Handwriting without segments: columns of a picture, or strokes of a pen, to digits.

Reproduces: a bidirectional LSTM trained by connectionist temporal classification reads lines of
which nobody said where a symbol begins: Graves, Fernandez, Gomez and Schmidhuber, "Connectionist
temporal classification", 2006; Graves et al., "A novel connectionist system for unconstrained
handwriting recognition", 2009 (79.7 % of the words of IAM-OnDB, which is not free).

    python -m experiments.handwriting_ctc --workdir=runs/lines
    python -m experiments.handwriting_ctc --workdir=runs/pens --config.dataset=pens:FOLDER
    python -m experiments.handwriting_ctc --workdir=runs/lines --mode=transcribe \\
        --config.input=line.png

Data: digit_lines (the default), lines of scikit-learn's 1,797 real digits, read column by column,
data/lines/digits.py; pens, lines of synthetic pen strokes, and pens:FOLDER, lines of the pendigits
of 44 writers, data/lines/pens.py. New lines are drawn at each step; the test's are of digits, and
writers, that no training line shows. --mode=transcribe reads a picture, or the points of a pen as a
CSV file, and draws where each symbol was seen. Measured: the row of C11 in experiments/README.md.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from data.catalogue import DataError, nearest
from data.lines.digits import DIGITS, digit_images, longest_line, read_line
from data.lines.pens import pen_digits, read_pen
from experiments.signal.task import MODES, Corpus, divided, make_experiment, of_lines
from experiments.signal.task import Config as TranscriptionConfig
from train import cli
from train.task import Experiment

KINDS = ("digit_lines", "pens", "pens:FOLDER")


@dataclass(slots=True, kw_only=True)
class Config(TranscriptionConfig):
    """Settings of the lines."""

    dataset: str = TranscriptionConfig.changed(
        "dataset", "digit_lines", "digit_lines, pens or pens:FOLDER"
    )


def read_digits(config: Config) -> Corpus:
    """Lines of real digits as columns of a picture."""
    digits = digit_images(config.data_dir)
    rest, test = digits["train"], digits["test"]
    chosen, validation = divided(len(rest.labels), config)
    train = rest.subset(chosen, distort=True)
    lines = of_lines(config, train, rest.subset(validation), test, longest_line(config.max_length))
    return Corpus(DIGITS, **lines, read=read_line, kind="columns", found={"digits": len(chosen)})


def read_pens(config: Config, folder: str) -> Corpus:
    """Lines of digits as the path of a pen."""
    digits, test = pen_digits(folder)
    chosen, validation = divided(int((~test).sum()), config)
    places = np.flatnonzero(~test)
    lines = of_lines(
        config,
        digits.subset(places[chosen], distort=True),
        digits.subset(places[validation]),
        digits.subset(test),
        config.max_length * max(len(row) for row in digits.points),
    )
    read = partial(read_pen, scale=digits.scale)
    return Corpus(DIGITS, **lines, read=read, kind="pen", found={"digits": len(chosen)})


def build(config: Config) -> Experiment:
    """Read the digits, and make the network."""
    kind, _, folder = config.dataset.partition(":")
    if kind == "pens":
        corpus = read_pens(config, folder)
    elif config.dataset == "digit_lines":
        corpus = read_digits(config)
    else:
        near = nearest(config.dataset, KINDS)
        raise DataError(
            f"there is no dataset {config.dataset!r}{near}; there are {', '.join(KINDS)}"
        )
    return make_experiment(config, corpus)


if __name__ == "__main__":
    cli.run(Config, build, MODES)
