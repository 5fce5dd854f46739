"""Tagging: a bidirectional recurrent network reads a sentence and tags each of its words.

Reproduces: part-of-speech tagging and chunking by bidirectional LSTMs with an encoder of the
characters of a word and a conditional random field over the tags (Huang, Xu and Yu 2015; Lample et
al. 2016; Ma and Hovy 2016: 97.6 % accuracy on the Penn Treebank, with pretrained vectors).

    python -m experiments.pos_tagger --workdir=runs/tokens
    python -m experiments.pos_tagger --workdir=runs/tokens --mode=tag < launch.py
    python -m experiments.pos_tagger --workdir=runs/ewt --config.preset=ewt
    python -m experiments.pos_tagger --workdir=runs/chunks --config.preset=chunking \\
        --config.dataset=conll:FOLDER

Data: python_tokens, the characters of Python's standard library, tagged as part of a comment, of a
string, or of neither (the default; needs no download); for parts of speech, conllu:FOLDER or a
prepared treebank such as universal_dependencies/en_ewt; for phrases, conll:FOLDER, such as
CoNLL-2000. docs/tagging.md describes the formats and the scores. Measured: the rows of C8 in
experiments/README.md.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from data.sentences.schemes import mark_spans
from data.sentences.tag_batches import Vocabularies
from experiments.sentence.tagging import (
    MODES,
    VOCABULARIES,
    Tag,
    make_experiment,
    make_tag,
    read_corpus,
)
from experiments.sentence.tagging import Config as TaggingConfig
from train import cli
from train.task import Assets, Experiment

PRESETS: dict[str, dict[str, Any]] = {
    "ewt": {
        "dataset": "universal_dependencies/en_ewt",
        "output": "softmax",
        "hidden": 200,
        "dropout": 0.5,
        "word_dropout": 0.1,
        "ema_decay": 0.998,
        "steps": 4000,
        "eval_every": 800,
    },
    "chunking": {
        "char_features": 100,
        "hidden": 200,
        "dropout": 0.5,
        "word_dropout": 0.1,
        "ema_decay": 0.998,
        "steps": 3000,
        "eval_every": 600,
    },
}


@dataclass(slots=True, kw_only=True)
class Config(TaggingConfig):
    """Settings of tagging of words."""

    PRESETS: ClassVar = PRESETS

    steps: int = TaggingConfig.changed("steps", 1500)


def make_task(config: Config, assets: Assets) -> Tag:
    """Make the network for the vocabularies."""
    vocabularies = Vocabularies.from_bytes(assets[VOCABULARIES])
    headline = "span_f1" if mark_spans(vocabularies.tags) else "accuracy"
    return make_tag(config, vocabularies, config.hidden, headline)


def build(config: Config) -> Experiment:
    """Read the sentences; make the vocabularies, the task and the batches."""
    corpus, vocabularies = read_corpus(config)
    return make_experiment(make_task, corpus, vocabularies, config)


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
