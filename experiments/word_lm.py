"""Word language model: a recurrent network reads a text and predicts each next word.

Reproduces, on the Penn Treebank: the recurrent language model (Mikolov et al. 2010; test perplexity
124.7 in Mikolov's thesis, 2012), two-layer LSTMs (Zaremba, Sutskever and Vinyals 2014: about 115
for small, 82.7 for medium) and AWD-LSTM (Merity, Keskar and Socher 2018: 57.3), all with truncated
backpropagation through time and carried state. Presets: experiments/language/presets.py.

    python -m experiments.word_lm --workdir=runs/words
    python -m experiments.word_lm --workdir=runs/small --config.preset=zaremba_small \\
        --config.dataset=words:FOLDER
    python -m experiments.word_lm --workdir=runs/words --mode=generate --config.prompt='the name'
    python -m experiments.word_lm --workdir=runs/words --mode=cache
    python -m experiments.word_lm --workdir=runs/words --mode=dynamic

docs/language_models.md describes the modes, and the softmaxes for large vocabularies.

Data: python_docs (comments and docstrings of Python's library; the default), words:FOLDER with
train, valid and test files in the format of the Penn Treebank, text:PATH, or a prepared dataset of
texts. The end of a sentence is the word <eos>, predicted like any other. Words that occur less than
config.min_count times are <unk>, which is predicted but never sampled. A held-out text is scored in
one pass. Measured: mikolov and zaremba_small, rows of C4 in experiments/README.md.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp

from data.text.words import RunningWords
from experiments.common.pretrained import vectors
from experiments.language.presets import PRESETS
from experiments.language.task import (
    SCORING,
    VOCABULARY,
    NextSymbol,
)
from experiments.language.task import Config as LanguageConfig
from experiments.language.word_corpus import make_word_experiment
from nets.language.recurrent_lm import SOFTMAXES, LanguageModel
from train import cli
from train.config import ConfigError, option
from train.task import Assets, Experiment, Mean

MODES = {**SCORING, "cache": "experiments.language.cache:cache"}
THETAS = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0)
SHARES = (0.05, 0.1, 0.2, 0.3)


@dataclass(slots=True, kw_only=True)
class Config(LanguageConfig):
    """Settings of a word language model."""

    PRESETS: ClassVar = PRESETS
    TINY: ClassVar = {
        "dataset": "text:{data}/argparse.txt",
        "hidden": 8,
        "embedding": 8,
        "bptt_length": 8,
        "sample_length": 20,
    }

    dataset: str = LanguageConfig.changed(
        "dataset",
        "python_docs",
        "words:FOLDER, text:PATH, csv:PATH, tsv:PATH, jsonl:PATH, parquet:PATH, arrow:PATH or a "
        "TFDS dataset of texts",
    )
    min_count: int = option(3, "minimum count of a word in the vocabulary", group="data", minimum=1)
    vectors: str = vectors()
    bptt_length: int = LanguageConfig.changed("bptt_length", 35)

    hidden: int = LanguageConfig.changed("hidden", 200)
    embedding: int = option(200, "embedding dimension", minimum=1)
    embedding_dropout: float = option(
        0.0, "dropout probability of embeddings", minimum=0, maximum=0.95
    )
    word_dropout: float = option(
        0.0,
        "dropout probability of whole words",
        note="drops all occurrences in the batch",
        minimum=0,
        maximum=0.95,
    )
    activation_reg: float = option(0.0, "weight of the L2 penalty on outputs (AR)", minimum=0)
    temporal_activation_reg: float = option(
        0.0, "weight of the L2 penalty on changes of outputs over time (TAR)", minimum=0
    )
    tie_embeddings: bool = option(True, "share the embedding matrix with the output layer")
    softmax: str = option("full", "output softmax", choices=SOFTMAXES)
    num_sampled: int = option(
        1000, "number of sampled words per step", note="only with softmax=sampled", minimum=1
    )
    cutoffs: tuple[int, ...] = option(
        (2000, 20000),
        "frequency rank at which each cluster of rare words begins",
        note="only with softmax=adaptive",
        minimum=1,
    )
    init_range: float = option(
        0.0,
        "half-width r of the uniform initialisation in [-r, r]",
        note="0: the default of each layer",
        minimum=0,
    )

    sample_length: int = LanguageConfig.changed("sample_length", 60, "in words")
    cache_size: int = option(500, "number of words in the cache", modes=("cache",), minimum=1)
    cache_thetas: tuple[float, ...] = option(
        THETAS, "flatness parameters theta to try", modes=("cache",), minimum=0
    )
    cache_shares: tuple[float, ...] = option(
        SHARES, "interpolation weights of the cache to try", modes=("cache",), above=0, below=1
    )


class NextWord(NextSymbol):
    """Mean of -log P(next word | all words before it)."""

    headline = "perplexity"

    def inputs(self, batch):
        """Add the targets, which the sampled and the adaptive softmax need in training."""
        return *super().inputs(batch), batch["targets"]

    def means(self, outputs, batch):
        """Loss in nats, and accuracy if the softmax is full, so that all logits are computed."""
        if outputs.shape == batch["targets"].shape:
            return {"loss": Mean.from_values(-outputs, batch.get("mask"))}
        means = super().means(outputs, batch)
        return means if self.model.softmax == "full" else {"loss": means["loss"]}


def network(config: Config, vocabulary: int) -> LanguageModel:
    """Network for a vocabulary of this size."""
    return LanguageModel(
        vocabulary=vocabulary,
        cell=config.cell,
        hidden=config.hidden,
        layers=config.layers,
        embedding=config.embedding,
        tied=config.tie_embeddings,
        init_range=config.init_range,
        dropout=config.dropout,
        embedding_dropout=config.embedding_dropout,
        variational=config.variational_dropout,
        word_dropout=config.word_dropout,
        weight_drop=config.weight_drop,
        activation_penalty=config.activation_reg,
        change_penalty=config.temporal_activation_reg,
        softmax=config.softmax,
        samples=config.num_sampled,
        cutoffs=tuple(int(first) for first in config.cutoffs if first < vocabulary),
        dtype=jnp.dtype(config.precision),
    )


def make_task(config: Config, assets: Assets) -> NextWord:
    """Make the network for the words of the vocabulary."""
    vocabulary = RunningWords.from_bytes(assets[VOCABULARY])
    model = network(config, len(vocabulary))
    return NextWord(model, vocabulary, config, "word", vocabulary.unknown_ids)


def build(config: Config) -> Experiment:
    """Read the corpus; make the vocabulary, the task and the batches."""
    if config.tie_embeddings and config.layers == 1 and config.embedding != config.hidden:
        raise ConfigError(
            "config.tie_embeddings with one layer needs config.embedding = config.hidden, got "
            f"{config.embedding} and {config.hidden}"
        )
    if config.tie_embeddings and config.softmax == "adaptive":
        raise ConfigError("config.softmax=adaptive needs config.tie_embeddings=False")
    if list(config.cutoffs) != sorted({int(first) for first in config.cutoffs}):
        raise ConfigError(f"config.cutoffs must be increasing integers, got {config.cutoffs}")
    return make_word_experiment(make_task, config)


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
