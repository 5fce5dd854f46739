"""Word language model: a recurrent network reads a text and predicts each next word.

Reproduces: the recurrent network language model (Mikolov et al. 2010; in his thesis, 2012, test
perplexity 124.7 on the Penn Treebank), and LSTMs of two layers (Zaremba, Sutskever and Vinyals
2014: small about 115, medium 82.7), with carried state and truncated backpropagation through time.

    python -m experiments.word_lm --workdir=runs/words
    python -m experiments.word_lm --workdir=runs/small --config.preset=zaremba_small \\
        --config.dataset=words:FOLDER
    python -m experiments.word_lm --workdir=runs/words --mode=generate --config.prompt='the name'

Data: python_docs (prose of Python's library, the default), words:FOLDER with train, valid and test
files in the form of the Penn Treebank, text:PATH, or a prepared dataset with text. The end of a
sentence is a word, <eos>, and is predicted like any other; words that occur less than
config.minimum times are <unk>, which is predicted but never written. A held-out text is read in one
pass from its first word to its last. Not measured yet.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp

from data.words import UNKNOWN, RunningWords, as_text, load_words
from experiments._language import MODES, NextSymbol, make_experiment
from experiments._language import Config as LanguageConfig
from nets.language_model import LanguageModel
from train import cli
from train.config import ConfigError, option
from train.task import Experiment

PASS, SHORT_PASS = 2323, 1327  # over the Penn Treebank in 20 lanes, windows of 20 and 35 words
ZAREMBA = {
    **{"cell": "lstm", "layers": 2, "tied": False, "minimum": 1, "batch_size": 20},
    **{"optimizer": "sgd", "schedule": "step", "save_every": 500},
}


@dataclass(slots=True, kw_only=True)
class Config(LanguageConfig):
    """Settings of a word language model."""

    # the loss is a mean over words here, a sum over the window there: so rates times the window,
    # limits of the gradient over it
    PRESETS: ClassVar = {
        "mikolov": {
            **{"cell": "rnn", "hidden": 300, "embedding": 300, "minimum": 1, "dropout": 0.3},
            **{"steps": 12 * PASS, "eval_every": PASS, "batch_size": 20, "window": 20},
        },
        "zaremba_small": {
            **ZAREMBA,
            **{"hidden": 200, "embedding": 200, "window": 20, "init_range": 0.1},
            **{"learning_rate": 20.0, "clip_norm": 5 / 20, "steps": 13 * PASS, "eval_every": PASS},
            **{"decay_start": 3 * PASS, "decay_every": PASS, "decay_factor": 0.5},
        },
        "zaremba_medium": {
            **ZAREMBA,
            **{"hidden": 650, "embedding": 650, "window": 35, "init_range": 0.05},
            **{
                "dropout": 0.5,
                "embedding_dropout": 0.5,
                "learning_rate": 35.0,
                "clip_norm": 5 / 35,
            },
            **{"steps": 39 * SHORT_PASS, "eval_every": SHORT_PASS, "decay_start": 5 * SHORT_PASS},
            **{"decay_every": SHORT_PASS, "decay_factor": 1 / 1.2},
        },
    }

    dataset: str = option("python_docs", "words:FOLDER, text:PATH, a prepared dataset with text")
    minimum: int = option(3, "occurrences of a word of the vocabulary", minimum=1)
    hidden: int = option(200, "units of a layer", minimum=1)
    embedding: int = option(200, "width of the embedding", minimum=1)
    embedding_dropout: float = option(0.0, "of the embeddings", minimum=0, maximum=0.95)
    word_dropout: float = option(0.0, "of words, each everywhere", minimum=0, maximum=0.95)
    activation_penalty: float = option(0.0, "AR: times the mean of squared outputs", minimum=0)
    change_penalty: float = option(0.0, "TAR: times that of their squared changes", minimum=0)
    tied: bool = option(True, "the output product is the embedding's table")
    init_range: float = option(0.0, "kernels start within +- this; 0: own rules", minimum=0)
    window: int = option(35, "words of backpropagation through time", minimum=1)
    sample_length: int = option(60, "words of a sample", minimum=1, volatile=True)


class NextWord(NextSymbol):
    """Mean of -log P(next word given all before it)."""

    headline = "perplexity"


def build(config: Config) -> Experiment:
    """Read the corpus; make the network, the lanes and the task."""
    if config.tied and config.layers == 1 and config.embedding != config.hidden:
        raise ConfigError("config.tied with one layer needs config.embedding = config.hidden")
    corpus = load_words(config.dataset, config.data_dir)
    vocabulary = RunningWords.of(corpus.train, config.minimum)
    size = (len(vocabulary), config.cell, config.hidden, config.layers, config.embedding)
    model = LanguageModel(
        *size,
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
    )
    never = [i for word, i in vocabulary.vocabulary.index.items() if word == UNKNOWN]
    task = NextWord(model, vocabulary, config, "word", never)
    heldout = {name: as_text(split) for name, split in corpus.held_out.items()}
    return make_experiment(task, as_text(corpus.train), heldout, corpus.sha256)


if __name__ == "__main__":
    cli.run(Config, build, MODES)
