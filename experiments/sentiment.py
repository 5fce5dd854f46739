"""Sentiment: a recurrent network reads a sentence and classifies it.

Reproduces: many-to-one bidirectional recurrent networks on sentences of film reviews: MR (Pang and
Lee 2005; published: 76.1 % by a convolutional network without pretrained vectors, Kim 2014) and the
five classes of the Stanford Sentiment Treebank (Socher et al. 2013; published: 49.1 % by a
bidirectional LSTM with pretrained vectors, Tai et al. 2015).

    python -m experiments.sentiment --workdir=runs/packages
    python -m experiments.sentiment --workdir=runs/mr --config.preset=mr \\
        --config.dataset=lines:FOLDER
    python -m experiments.sentiment --workdir=runs/sst --config.preset=sst \\
        --config.dataset=trees:FOLDER
    echo 'a gorgeous bore .' | python -m experiments.sentiment --workdir=runs/mr --mode=rate

Data: packages (paragraphs of the documentation of Python's library, classified by package; the
default), lines:FOLDER (one file per class; one of ten folds is the test), or trees:FOLDER (train,
dev and test files of the treebank); see data/sentences/sentiment.py. Measured: the rows of C9 in
experiments/README.md.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp

from data.buckets import EvaluationBuckets, TrainingBuckets
from data.sentences.sentiment import FOLDS, load_sentiment
from data.sentences.sentiment_batches import LabelledIds
from data.text.words import FIRST_WORD, WordVocabulary
from experiments.common.assets import CLASSES, classes_of, to_json
from experiments.common.pretrained import pretrained_tables, vectors
from experiments.sentence.rating import Rate
from nets.recurrent.stack import DIRECTIONS, DeepRecurrent
from nets.recurrent.variants import ALL_CELLS
from nets.sentence.classifier import POOLINGS, SentenceClassifier
from nets.sentence.encoder import SentenceEncoder
from train import cli
from train.config import OptimizerConfig, option
from train.optimizer import make_optimizer
from train.task import Assets, Experiment

MODES = {"rate": "experiments.sentence.rating_modes:rate"}
VOCABULARY = "vocabulary.json"  # name of an asset
REVIEWS: dict[str, Any] = {"learning_rate": 2e-3, "max_length": 60}
PRESETS: dict[str, dict[str, Any]] = {
    "mr": {
        **REVIEWS,
        "word_dropout": 0.2,
        "ema_decay": 0.99,
        "batch_size": 50,
        "steps": 900,
        "eval_every": 150,
    },
    "sst": {
        **REVIEWS,
        "phrases": True,
        "hidden": 100,
        "ema_decay": 0.995,
        "steps": 6000,
        "eval_every": 500,
    },
}


@dataclass(slots=True, kw_only=True)
class Config(OptimizerConfig):
    """Settings of sentence classification."""

    PRESETS: ClassVar = PRESETS
    TINY: ClassVar = {
        "dataset": "lines:{data}/rated",
        "hidden": 8,
        "embedding": 8,
        "buckets": 1,
        "dropout": 0.0,
        "word_dropout": 0.0,
    }

    dataset: str = OptimizerConfig.changed(
        "dataset",
        "packages",
        "packages, lines:FOLDER, trees:FOLDER, csv:PATH, tsv:PATH, jsonl:PATH, parquet:PATH or "
        "arrow:PATH",
    )
    fold: int = option(
        -1,
        "cross-validation fold that is the test set",
        note="-1: the last digit of the seed; only with lines:FOLDER",
        group="data",
        minimum=-1,
        maximum=9,
    )
    phrases: bool = option(
        False,
        "train on every phrase, not only on whole sentences",
        note="only with trees:FOLDER",
        group="data",
    )
    min_count: int = option(2, "minimum count of a word in the vocabulary", group="data", minimum=1)
    vectors: str = vectors()
    max_length: int = option(
        100,
        "maximum length of a training sequence",
        note="in words; longer sentences are left out",
        group="data",
        minimum=1,
    )
    buckets: int = option(
        4,
        "maximum number of length buckets, each with its own batch shape",
        group="data",
        minimum=1,
    )
    batch_size: int = OptimizerConfig.changed("batch_size", 64, "in sentences")

    embedding: int = option(100, "embedding dimension", minimum=1)
    cell: str = option("lstm", "recurrent cell", choices=ALL_CELLS)
    hidden: int = option(64, "hidden units per layer", note="per direction", minimum=1)
    layers: int = option(1, "number of recurrent layers", minimum=1)
    directions: str = option("both", "reading directions", choices=DIRECTIONS)
    pooling: str = option("max", "pooling of the states over time", choices=POOLINGS)
    dropout: float = option(
        0.5,
        "dropout probability",
        note="of embeddings and states; one mask for all words",
        minimum=0,
        maximum=0.95,
    )
    word_dropout: float = option(
        0.1,
        "dropout probability of whole words",
        note="read as the unknown word",
        minimum=0,
        maximum=0.95,
    )

    steps: int = OptimizerConfig.changed("steps", 800)
    learning_rate: float = OptimizerConfig.changed("learning_rate", 3e-3)
    clip_norm: float = OptimizerConfig.changed("clip_norm", 1.0)
    eval_every: int = OptimizerConfig.changed("eval_every", 200)
    figures_at: tuple[float, ...] = OptimizerConfig.changed("figures_at", (1.0,))


def make_network(config: Config, words: int, classes: int) -> SentenceClassifier:
    """Network for these numbers of word ids and classes."""
    dtype = jnp.dtype(config.precision)
    encoder = SentenceEncoder(
        core=DeepRecurrent(
            hidden=config.hidden,
            layers=config.layers,
            cell=config.cell,
            directions=config.directions,
            dropout=config.dropout,
            variational=True,
            dtype=dtype,
        ),
        words=words,
        width=config.embedding,
        word_dropout=config.word_dropout,
        dtype=dtype,
    )
    return SentenceClassifier(encoder, classes, config.pooling)


def make_task(config: Config, assets: Assets) -> Rate:
    """Make the network for the words and the classes."""
    vocabulary = WordVocabulary.from_bytes(assets[VOCABULARY])
    classes = classes_of(assets)
    network = make_network(config, vocabulary.padded_size, len(classes))
    return Rate(network, classes, vocabulary)


def build(config: Config) -> Experiment:
    """Read the sentences; make the vocabulary, the task and the batches."""
    corpus = load_sentiment(
        config.dataset,
        config.data_dir,
        seed=config.seed,
        fold=config.seed % FOLDS if config.fold < 0 else config.fold,
        phrases=config.phrases,
    )
    sentences = (words for words, _ in corpus.train)
    vocabulary = WordVocabulary.from_sentences(sentences, config.min_count, "drop")
    train, *held_out = (
        LabelledIds.from_sentences(split, vocabulary)
        for split in (corpus.train, corpus.validation, corpus.test)
    )
    batches = TrainingBuckets(
        train, config.batch_size, config.seed, config.max_length, config.buckets
    )
    assets = {VOCABULARY: vocabulary.to_bytes(), CLASSES: to_json(corpus.classes)}
    return Experiment(
        task=make_task(config, assets),
        optimizer=make_optimizer(config),
        train=batches,
        evals={
            name: EvaluationBuckets(split, config.batch_size, batches.shapes)
            for name, split in zip(("validation", "test"), held_out, strict=True)
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
        assets=assets,
        pretrained=pretrained_tables(
            config, vocabulary.words, "params/encoder/embed/embedding", first=FIRST_WORD
        ),
    )


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
