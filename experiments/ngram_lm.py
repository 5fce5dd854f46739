"""Feed-forward word language model: a network predicts each word from the few words before it.

Reproduces: the neural probabilistic language model (Bengio, Ducharme, Vincent and Jauvin 2003). On
the Penn Treebank its test perplexity is 140.2 (Mikolov's thesis, 2012), and that of 5-grams with
modified Kneser-Ney smoothing 141.2 (computed by `python -m bench.kneser_ney`).

    python -m experiments.ngram_lm --workdir=runs/ngrams
    python -m experiments.ngram_lm --workdir=runs/ptb --config.preset=ptb \\
        --config.dataset=words:FOLDER
    python -m experiments.ngram_lm --workdir=runs/ngrams --mode=generate --config.prompt='the name'

Data, vocabulary and scoring are those of `word_lm`, so perplexities are comparable: <eos> is
predicted like any word, a context may include the previous line, and every held-out word except the
first is scored. The text is preceded by <eos>. Measured: rows of C4 in experiments/README.md.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from data.text.ngrams import EvaluationNgrams, TrainingNgrams, ngrams
from data.text.words import RunningWords
from experiments.common.pretrained import vectors
from experiments.language.task import (
    MODES,
    VOCABULARY,
    SymbolConfig,
    SymbolTask,
)
from experiments.language.word_corpus import make_word_experiment
from nets.language.neural_ngram import NeuralNGram
from train import cli
from train.config import option
from train.task import Assets, Experiment

EPOCH = 1815  # steps of 512 words over the Penn Treebank
EVALUATION_ROWS = 256  # per device; does not affect the results


@dataclass(slots=True, kw_only=True)
class Config(SymbolConfig):
    """Settings of a feed-forward language model."""

    PRESETS: ClassVar = {
        "ptb": {
            "min_count": 1,
            "batch_size": 512,
            "hidden": 200,
            "embedding": 100,
            "dropout": 0.25,
            "embedding_dropout": 0.25,
            "learning_rate": 2e-3,
            "steps": 7 * EPOCH,
            "eval_every": EPOCH,
            "save_every": EPOCH,
            "log_every": 100,
        },
    }
    TINY: ClassVar = {
        "dataset": "text:{data}/argparse.txt",
        "hidden": 8,
        "embedding": 8,
        "context_size": 8,
        "sample_length": 20,
    }

    dataset: str = SymbolConfig.changed(
        "dataset",
        "python_docs",
        "words:FOLDER, text:PATH, csv:PATH, tsv:PATH, jsonl:PATH, parquet:PATH, arrow:PATH or a "
        "TFDS dataset of texts",
    )
    min_count: int = option(3, "minimum count of a word in the vocabulary", group="data", minimum=1)
    vectors: str = vectors()
    batch_size: int = SymbolConfig.changed("batch_size", 256, "in predicted words")

    context_size: int = option(5, "number of context words", minimum=1)
    hidden: int = option(200, "hidden units per layer", note="tanh", minimum=1)
    embedding: int = option(100, "embedding dimension", minimum=1)
    embedding_dropout: float = option(
        0.0, "dropout probability of embeddings", minimum=0, maximum=0.95
    )
    direct_connections: bool = option(False, "connect the embeddings to the output layer")
    learning_rate: float = SymbolConfig.changed("learning_rate", 1e-3)
    sample_length: int = SymbolConfig.changed("sample_length", 60, "in words")


class NextWord(SymbolTask):
    """Mean of -log P(next word | the few words before it)."""

    headline = "perplexity"
    config: Config

    def grams(self, ids: np.ndarray) -> np.ndarray:
        """N-grams int32 [N - 1, context_size + 1] that end with each word but the first of N."""
        return ngrams(ids, self.config.context_size + 1, self.vocabulary.encode("\n")[0])

    def training(self, ids):
        """Every n-gram once per epoch, in random order."""
        return TrainingNgrams(self.grams(ids), self.config.batch_size, self.config.seed)

    def held_out(self, ids):
        """Every n-gram once."""
        return EvaluationNgrams(self.grams(ids), EVALUATION_ROWS * jax.device_count())

    def inputs(self, batch):
        """Context words."""
        return (batch["contexts"],)

    def read(self, variables, tokens):
        """Return the context of the next word, int32 [1, context_size]."""
        size = self.config.context_size
        padding = np.repeat(self.vocabulary.encode("\n")[None], size, axis=1)
        return np.concatenate([padding, tokens], axis=1)[:, -size:]

    def step(self, variables, tokens, carry):
        """Append the words to their contexts and predict."""
        contexts = jnp.concatenate([carry[:, 1:], tokens[:, None]], axis=1)
        return self.model.apply(variables, contexts), contexts


def make_task(config: Config, assets: Assets) -> NextWord:
    """Make the network for the words of the vocabulary."""
    vocabulary = RunningWords.from_bytes(assets[VOCABULARY])
    model = NeuralNGram(
        vocabulary=len(vocabulary),
        hidden=config.hidden,
        embedding=config.embedding,
        direct=config.direct_connections,
        dropout=config.dropout,
        embedding_dropout=config.embedding_dropout,
        dtype=jnp.dtype(config.precision),
    )
    return NextWord(model, vocabulary, config, "word", vocabulary.unknown_ids)


def build(config: Config) -> Experiment:
    """Read the corpus; make the vocabulary, the task and the batches."""
    return make_word_experiment(make_task, config)


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
