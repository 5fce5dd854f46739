"""Sentence to rating: a recurrent network reads a sentence and says what is thought in it.

Reproduces: many-to-one recurrent networks of both directions on sentences of film reviews: MR (Pang
and Lee 2005; a convolutional network without pretrained vectors 76.1 %, Kim 2014) and the five
ratings of the Stanford Sentiment Treebank (Socher et al. 2013; LSTM of both directions with
pretrained vectors 49.1 %, Tai et al. 2015).

    python -m experiments.sentiment --workdir=runs/packages
    python -m experiments.sentiment --workdir=runs/mr --config.preset=mr \\
        --config.dataset=lines:FOLDER
    python -m experiments.sentiment --workdir=runs/sst --config.preset=sst \\
        --config.dataset=trees:FOLDER
    echo 'a gorgeous bore .' | python -m experiments.sentiment --workdir=runs/mr --mode=rate

Data: packages (from which package of Python's library is a paragraph of its documentation? the
default), lines:FOLDER (a file a class, one of ten folds is the test), or trees:FOLDER (train, dev
and test of the treebank): data/sentences/sentiment.py. --mode=rate reads sentences from standard
input, a line each, and says of each word how much it speaks for the class. Measured: the rows of C9
in experiments/README.md.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp

from data.buckets import EvaluationBuckets, TrainingBuckets
from data.sentences.sentiment import FOLDS, load_sentiment
from data.sentences.sentiment_batches import LabelledIds
from data.text.words import WordVocabulary
from experiments.sentence.rating import Rate, rate
from nets.recurrent.stack import DIRECTIONS, UNITS, DeepRecurrent
from nets.sentence.classifier import POOLINGS, SentenceClassifier
from nets.sentence.encoder import SentenceEncoder
from train import cli
from train.config import Config as SharedConfig
from train.config import changed, option
from train.optimizer import make_optimizer
from train.task import Experiment

REVIEWS: dict[str, Any] = {"learning_rate": 2e-3, "longest": 60}
PRESETS: dict[str, dict[str, Any]] = {
    "mr": {
        **REVIEWS,
        "word_dropout": 0.2,
        "averaging": 0.99,
        "batch_size": 50,
        "steps": 900,
        "eval_every": 150,
    },
    "sst": {
        **REVIEWS,
        "phrases": True,
        "hidden": 100,
        "averaging": 0.995,
        "steps": 6000,
        "eval_every": 500,
    },
}


@dataclass(slots=True, kw_only=True)
class Config(SharedConfig):
    """Settings of data, network and training."""

    PRESETS: ClassVar = PRESETS

    dataset: str = option("packages", "packages, lines:FOLDER or trees:FOLDER")
    fold: int = option(
        -1, "of lines:FOLDER that is the test; -1: the seed's last digit", minimum=-1, maximum=9
    )
    phrases: bool = option(False, "train on every phrase of trees:FOLDER, not on wholes alone")
    minimum: int = option(2, "occurrences of a word of the vocabulary", minimum=1)
    longest: int = option(100, "words of a sentence in training; longer are left out", minimum=1)
    buckets: int = option(4, "shapes of batches at most", minimum=1)

    embedding: int = option(100, "width of the words' vectors", minimum=1)
    cell: str = option("lstm", "", choices=UNITS)
    hidden: int = option(64, "units of a layer and direction", minimum=1)
    layers: int = option(1, "of recurrence", minimum=1)
    directions: str = option("both", "in which a sentence is read", choices=DIRECTIONS)
    pooling: str = option("max", "what is made of its words' states", choices=POOLINGS)
    dropout: float = option(0.5, "of vectors and states, all words alike", minimum=0, maximum=0.95)
    word_dropout: float = option(0.1, "of words, read as unknown", minimum=0, maximum=0.95)

    steps: int = changed("steps", 800)
    batch_size: int = option(64, "sentences in a step", minimum=1)
    learning_rate: float = changed("learning_rate", 3e-3)
    clip_norm: float = changed("clip_norm", 1.0)
    eval_every: int = option(200, "steps between evaluations", minimum=1)
    figures_at: tuple[float, ...] = changed("figures_at", (1.0,))


def make_network(config: Config, words: int, classes: int) -> SentenceClassifier:
    """Network for vocabularies of this size."""
    dtype = jnp.dtype(config.precision)
    core = DeepRecurrent(
        *(config.hidden, config.layers, config.cell, config.directions, config.dropout),
        variational=True,
        dtype=dtype,
    )
    encoder = SentenceEncoder(
        core, words, config.embedding, word_dropout=config.word_dropout, dtype=dtype
    )
    return SentenceClassifier(encoder, classes, config.pooling)


def build(config: Config) -> Experiment:
    """Read the sentences; make the network, the batches and the task."""
    corpus = load_sentiment(
        config.dataset,
        config.data_dir,
        seed=config.seed,
        fold=config.seed % FOLDS if config.fold < 0 else config.fold,
        phrases=config.phrases,
    )
    sentences = (words for words, _ in corpus.train)
    vocabulary = WordVocabulary.from_sentences(sentences, config.minimum, "drop")
    train, *held_out = (
        LabelledIds.from_sentences(part, vocabulary)
        for part in (corpus.train, corpus.validation, corpus.test)
    )
    batches = TrainingBuckets(train, config.batch_size, config.seed, config.longest, config.buckets)
    network = make_network(config, vocabulary.padded_size, len(corpus.classes))
    return Experiment(
        task=Rate(network, corpus.classes, vocabulary),
        optimizer=make_optimizer(config),
        train=batches,
        evals={
            name: EvaluationBuckets(part, config.batch_size, batches.shapes)
            for name, part in zip(("validation", "test"), held_out, strict=True)
        },
        provenance={
            "dataset": config.dataset.split(":")[0],
            "sha256": corpus.sha256,
            "classes": len(corpus.classes),
            "train": len(corpus.train),
            "too long": batches.too_long,
            "validation": len(corpus.validation),
            "test": len(corpus.test),
            "words": len(vocabulary),
        },
    )


if __name__ == "__main__":
    cli.run(Config, build, {"rate": rate})
