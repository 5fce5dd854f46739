"""Opinion spans: deep bidirectional recurrent networks mark the targets of opinions in sentences.

Reproduces: Irsoy and Cardie, "Opinion mining with deep recurrent neural networks", 2014: each
direction of a layer reads both directions of the layer below; tags B, I, O; deep and shallow
networks of the same size, compared by proportional and binary overlap of spans.

    python -m experiments.opinion_spans --workdir=runs/strings
    python -m experiments.opinion_spans --workdir=runs/laptops --config.preset=laptop \\
        --config.dataset=spans:FOLDER
    python launch.py --experiment=opinion_spans --workdir=runs/depth --config.preset=laptop \\
        --config.dataset=spans:FOLDER --sweep=layers=1,2,3 --sweep=seed=0..3
    echo 'The battery is great, the screen is not.' | \\
        python -m experiments.opinion_spans --workdir=runs/laptops --mode=tag

Data: spans:FOLDER, reviews with marked opinion targets, such as the laptops of SemEval-2014;
conll:FOLDER with tags B-TYPE, I-TYPE, O; or python_tokens, the comments and strings of Python code
(the default; needs no download). config.parameter_budget chooses the hidden units so that networks
of all depths have about as many parameters, not counting embeddings. Measured: the row of C7 in
experiments/README.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, ClassVar

from data.catalogue import DataError
from data.sentences.tag_batches import Vocabularies
from experiments.sentence.tagging import (
    MODES,
    VOCABULARIES,
    Tag,
    make_experiment,
    make_network,
    make_tag,
    parameter_count,
    read_corpus,
)
from experiments.sentence.tagging import Config as TaggingConfig
from train import cli
from train.config import ConfigError, option
from train.task import Assets, Experiment

PRESETS: dict[str, dict[str, Any]] = {
    "laptop": {
        "cell": "relu",
        "output": "softmax",
        "parameter_budget": 100_000,
        "dropout": 0.5,
        "word_dropout": 0.1,
        "learning_rate": 3e-3,
        "ema_decay": 0.99,
        "steps": 800,
        "eval_every": 200,
    }
}


@dataclass(slots=True, kw_only=True)
class Config(TaggingConfig):
    """Settings of tagging of spans."""

    PRESETS: ClassVar = PRESETS

    layers: int = TaggingConfig.changed("layers", 2)
    parameter_budget: int = option(
        0,
        "maximum number of parameters, not counting embeddings",
        note="sets hidden to the largest width that fits; 0: hidden as given",
        minimum=0,
    )
    steps: int = TaggingConfig.changed("steps", 1000)


def hidden_of_budget(parameters: Callable[[int], int], budget: int) -> int:
    """Largest width with parameters(width) <= budget, for a quadratic number of parameters.

    Raises ConfigError when a width of 1 exceeds the budget.
    """
    first, second, third = (parameters(width) for width in (1, 2, 3))
    if first > budget:
        raise ConfigError(f"config.parameter_budget must be at least {first} here, got {budget}")
    slope, curvature = second - first, third - 2 * second + first
    # Newton's form of the quadratic through three points, evaluated at width + 1
    return next(
        width
        for width in count(1)
        if first + width * slope + width * (width - 1) // 2 * curvature > budget
    )


def make_task(config: Config, assets: Assets) -> Tag:
    """Make the network for the vocabularies, with hidden units by the budget."""
    vocabularies = Vocabularies.from_bytes(assets[VOCABULARIES])
    hidden = config.hidden
    if config.parameter_budget:

        def parameters(width: int) -> int:
            return parameter_count(make_network(config, vocabularies, width))

        hidden = hidden_of_budget(parameters, config.parameter_budget)
    return make_tag(config, vocabularies, hidden, "proportional_f1")


def build(config: Config) -> Experiment:
    """Read the sentences; make the vocabularies, the task and the batches."""
    corpus, vocabularies = read_corpus(config)
    if wrong := corpus.wrong_tag:
        raise DataError(
            f"spans need tags such as O, B-TYPE and I-TYPE (IOB1, IOB2, IOE1, IOE2, BIOES or BILOU)"
            f", but there is {wrong}"
        )
    return make_experiment(make_task, corpus, vocabularies, config)


if __name__ == "__main__":
    cli.run(Config, build, make_task, MODES)
