"""Character language model: a recurrent network reads a text and predicts each next character.

Reproduces: the language models of the lectures (Elman, GRU or LSTM units, one-hot characters,
truncated backpropagation through time with carried state, sampled text); on tiny Shakespeare, the
loss of nanoGPT's small transformer: 1.4697 nats per character on the last 10 % of the text.

    python -m experiments.char_lm --workdir=runs/char_lm --config.cell=gru
    python -m experiments.char_lm --workdir=runs/lecture --config.preset=lecture \\
        --config.dataset=text:FILE
    python -m experiments.char_lm --workdir=runs/strong --config.preset=strong \\
        --config.dataset=tiny_shakespeare
    python -m experiments.char_lm --workdir=runs/char_lm --mode=generate --config.prompt='def '
    python -m experiments.char_lm --workdir=runs/char_lm --mode=units

The preset `strong` is for a text of a million characters: two LSTM layers, dropout of the outputs
and of the recurrent weights, weight decay, and a moving average of the weights.
docs/language_models.md compares them, and describes the modes.

Data: python_source (Python's standard library; the default), tiny_shakespeare or another prepared
dataset of texts, or text:PATH. "validation" selects the best checkpoint; at the end two texts are
scored: "test", by which nothing was chosen, and "heldout", the validation text followed by the test
text, for comparison with published figures. Characters outside the vocabulary share one symbol.
Measured: the rows of C3 in experiments/README.md.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp

from data.text.characters import load_characters
from data.text.corpus import PADDING, UNKNOWN, Vocabulary
from experiments.language.task import SCORING, VOCABULARY, NextSymbol, make_experiment
from experiments.language.task import Config as LanguageConfig
from nets.language.recurrent_lm import LanguageModel
from train import cli
from train.config import option
from train.task import Assets, Experiment

MODES = {**SCORING, "units": "experiments.language.units:units"}


@dataclass(slots=True, kw_only=True)
class Config(LanguageConfig):
    """Settings of a character language model."""

    PRESETS: ClassVar = {
        "lecture": {
            "cell": "rnn",
            "hidden": 100,
            "bptt_length": 25,
            "batch_size": 10,
            "steps": 200_000,
            "learning_rate": 2e-3,
            "input_scale": 0.3,
            "eval_every": 2_000,
            "save_every": 5_000,
            "log_every": 100,
            "figures_at": (0.0, 0.01, 1.0),
        },
        "strong": {
            "cell": "lstm",
            "hidden": 384,
            "layers": 2,
            "dropout": 0.3,
            "weight_drop": 0.3,
            "steps": 13_000,
            "optimizer": "adamw",
            "weight_decay": 0.1,
            "learning_rate": 3e-3,
            "beta2": 0.99,
            "warmup_steps": 200,
            "ema_decay": 0.999,
            "eval_every": 1_625,
            "save_every": 1_000,
            "log_every": 100,
        },
    }
    TINY: ClassVar = {
        "dataset": "text:{data}/argparse.txt",
        "hidden": 8,
        "embedding": 8,
        "bptt_length": 8,
        "heldout_characters": 200,
        "sample_length": 20,
    }

    dataset: str = LanguageConfig.changed(
        "dataset",
        "python_source",
        "text:PATH, csv:PATH, tsv:PATH, jsonl:PATH, parquet:PATH, arrow:PATH or a TFDS dataset",
    )
    input_scale: float = option(
        0.0,
        "initial standard deviation of the one-hot input kernel",
        note="0: LeCun initialisation",
        minimum=0,
    )
    vocab_size: int = option(
        128,
        "maximum vocabulary size",
        note="rarer characters share one symbol",
        group="data",
        minimum=3,
    )
    heldout_characters: int = option(
        0,
        "number of characters to use from each held-out split",
        note="0: all",
        group="data",
        minimum=0,
    )

    input: str = option("", "input file", note="default: the validation text", modes=("units",))
    picture: str = option(
        "", "image file to write", note="default: RUN/MODE.png", modes=("units",), output=True
    )


class NextCharacter(NextSymbol):
    """Mean of -log P(next character | all characters before it)."""

    headline = "bits_per_character"


def make_task(config: Config, assets: Assets) -> NextCharacter:
    """Make the network for the characters of the vocabulary."""
    vocabulary = Vocabulary.from_bytes(assets[VOCABULARY])
    model = LanguageModel(
        vocabulary=len(vocabulary),
        cell=config.cell,
        hidden=config.hidden,
        layers=config.layers,
        embedding=config.embedding,
        input_scale=config.input_scale,
        dropout=config.dropout,
        variational=config.variational_dropout,
        weight_drop=config.weight_drop,
        dtype=jnp.dtype(config.precision),
    )
    return NextCharacter(model, vocabulary, config, "character", (PADDING, UNKNOWN))


def build(config: Config) -> Experiment:
    """Read the corpus; make the vocabulary, the task and the batches."""
    corpus = load_characters(config.dataset, config.data_dir, config.vocab_size)
    return make_experiment(
        make_task,
        config,
        corpus.vocabulary,
        train=corpus.train,
        held_out=corpus.held_out(config.heldout_characters),
        sha256=corpus.sha256,
    )


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
