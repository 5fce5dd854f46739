"""Word language model: a recurrent network reads a text and predicts each next word.

Reproduces: the recurrent network language model (Mikolov et al. 2010; in his thesis, 2012, test
perplexity 124.7 on the Penn Treebank), LSTMs of two layers (Zaremba, Sutskever and Vinyals 2014:
small about 115, medium 82.7) and AWD-LSTM (Merity, Keskar and Socher 2018: 57.3), with carried
state and truncated backpropagation through time. Their settings: experiments/language/presets.py.

    python -m experiments.word_lm --workdir=runs/words
    python -m experiments.word_lm --workdir=runs/small --config.preset=zaremba_small \\
        --config.dataset=words:FOLDER
    python -m experiments.word_lm --workdir=runs/words --mode=generate --config.prompt='the name'
    python -m experiments.word_lm --workdir=runs/words --mode=cache
    python -m experiments.word_lm --workdir=runs/words --mode=dynamic

Large vocabularies, and the modes cache, calibrate, dynamic: docs/language_models.md.

Data: python_docs (prose of Python's library, the default), words:FOLDER with train, valid and test
files in the form of the Penn Treebank, text:PATH, or a prepared dataset with text. The end of a
sentence is a word, <eos>, and is predicted like any other; words that occur less than
config.minimum times are <unk>, which is predicted but never written. A held-out text is read in one
pass from its first word to its last. Measured: mikolov and zaremba_small, rows of C4 in
experiments/README.md.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp

from data.text.words import UNKNOWN, RunningWords, as_text, load_words
from experiments.language.cache import SHARES, THETAS, cache
from experiments.language.calibration import calibrate
from experiments.language.dynamic import dynamic
from experiments.language.presets import PRESETS
from experiments.language.task import MODES, NextSymbol, make_experiment
from experiments.language.task import Config as LanguageConfig
from nets.language.recurrent_lm import SOFTMAXES, LanguageModel
from train import cli
from train.config import ConfigError, option
from train.task import Experiment, Mean


@dataclass(slots=True, kw_only=True)
class Config(LanguageConfig):
    """Settings of a word language model."""

    PRESETS: ClassVar = PRESETS

    dataset: str = option("python_docs", "words:FOLDER, text:PATH, a prepared dataset with text")
    minimum: int = option(3, "occurrences of a word of the vocabulary", minimum=1)
    hidden: int = option(200, "units of a layer", minimum=1)
    embedding: int = option(200, "width of the embedding", minimum=1)
    embedding_dropout: float = option(0.0, "of the embeddings", minimum=0, maximum=0.95)
    word_dropout: float = option(0.0, "of words, each everywhere", minimum=0, maximum=0.95)
    activation_penalty: float = option(0.0, "AR: times the mean of squared outputs", minimum=0)
    change_penalty: float = option(0.0, "TAR: times that of their squared changes", minimum=0)
    tied: bool = option(True, "the output product is the embedding's table")
    softmax: str = option("full", "how it is trained", choices=SOFTMAXES)
    samples: int = option(1000, "words drawn at a step, softmax=sampled", minimum=1)
    cutoffs: tuple[int, ...] = option((2000, 20000), "where clusters begin, adaptive", minimum=1)
    cache_size: int = option(500, "words that mode=cache remembers", minimum=1, volatile=True)
    cache_thetas: tuple[float, ...] = option(THETAS, "that it tries", minimum=0, volatile=True)
    cache_shares: tuple[float, ...] = option(SHARES, "too", above=0, below=1, volatile=True)
    init_range: float = option(0.0, "kernels start within +- this; 0: own rules", minimum=0)
    window: int = option(35, "words of backpropagation through time", minimum=1)
    sample_length: int = option(60, "words of a sample", minimum=1, volatile=True)


class NextWord(NextSymbol):
    """Mean of -log P(next word given all before it)."""

    headline = "perplexity"

    def inputs(self, batch, carry):
        """Add the targets, which a softmax that is not full looks at in training."""
        return *super().inputs(batch, carry), batch["targets"]

    def means(self, outputs, batch):
        """Loss in nats; the accuracy only where training has logits as well."""
        if outputs.shape == batch["targets"].shape:
            return {"loss": Mean.of(-outputs, batch.get("mask"))}
        found = super().means(outputs, batch)
        return found if self.model.softmax == "full" else {"loss": found["loss"]}


def network(config: Config, vocabulary: int) -> LanguageModel:
    """Make the network for this many words."""
    return LanguageModel(
        *(vocabulary, config.cell, config.hidden, config.layers, config.embedding),
        dropout=config.dropout,
        dtype=jnp.dtype(config.precision),
        embedding_dropout=config.embedding_dropout,
        tied=config.tied,
        init_range=config.init_range,
        variational=config.variational,
        word_dropout=config.word_dropout,
        weight_drop=config.weight_drop,
        activation_penalty=config.activation_penalty,
        change_penalty=config.change_penalty,
        softmax=config.softmax,
        samples=config.samples,
        cutoffs=tuple(int(first) for first in config.cutoffs if first < vocabulary),
    )


def build(config: Config) -> Experiment:
    """Read the corpus; make the network, the lanes and the task."""
    if config.tied and config.layers == 1 and config.embedding != config.hidden:
        raise ConfigError("config.tied with one layer needs config.embedding = config.hidden")
    if config.tied and config.softmax == "adaptive":
        raise ConfigError("config.softmax=adaptive needs config.tied=False")
    if list(config.cutoffs) != sorted({int(first) for first in config.cutoffs}):
        raise ConfigError(f"config.cutoffs must be increasing whole numbers, got {config.cutoffs}")
    corpus = load_words(config.dataset, config.data_dir)
    vocabulary = RunningWords.from_sentences(corpus.train, config.minimum)
    model = network(config, len(vocabulary))
    never = [i for word, i in vocabulary.vocabulary.index.items() if word == UNKNOWN]
    texts = {name: as_text(split) for name, split in corpus.held_out.items()}
    task = NextWord(model, vocabulary, config, "word", never, texts=texts)
    return make_experiment(task, as_text(corpus.train), texts, corpus.sha256)


if __name__ == "__main__":
    cli.run(Config, build, {**MODES, "cache": cache, "calibrate": calibrate, "dynamic": dynamic})
