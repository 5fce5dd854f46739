"""Experiments that read a corpus of words."""

from collections.abc import Callable
from typing import Any

from data.text.words import RunningWords, as_text, load_words
from experiments.common.pretrained import pretrained_tables
from experiments.language.task import SymbolTask, make_experiment
from train.task import Assets, Experiment


def make_word_experiment(make_task: Callable[[Any, Assets], SymbolTask], config: Any) -> Experiment:
    """Read the corpus of config.dataset; make the vocabulary, the task and the batches.

    The model's embedding is its module `embed`.
    """
    corpus = load_words(config.dataset, config.data_dir)
    vocabulary = RunningWords.from_sentences(corpus.train, config.min_count)
    words = vocabulary.vocabulary.words
    return make_experiment(
        make_task,
        config,
        vocabulary,
        train=vocabulary.encode(as_text(corpus.train)),
        held_out={
            name: vocabulary.encode(as_text(split)) for name, split in corpus.held_out.items()
        },
        sha256=corpus.sha256,
        pretrained=pretrained_tables(config, words, "params/embed/embedding"),
    )
