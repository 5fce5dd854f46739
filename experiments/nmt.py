"""Translation: a recurrent network reads a sentence, another one writes it in a second language.

Reproduces: sequence to sequence learning (Sutskever, Vinyals and Le 2014; Cho et al. 2014) with
attention (Bahdanau, Cho and Bengio 2015; Luong, Pham and Manning 2015), and beam search.

    python -m experiments.nmt --workdir=runs/dates
    python -m experiments.nmt --workdir=runs/en_de --config.dataset=pairs:FOLDER \\
        --config.source=en --config.target=de --flagfile=experiments/nmt_multi30k.flags
    echo '<de>3. März 2005' | python -m experiments.nmt --workdir=runs/dates --mode=translate
    python -m experiments.nmt --workdir=runs/en_de --mode=states < phrases.txt

Data: dates, in the words of twelve languages to ISO 8601 (the default), or dates:de+fr-en for other
languages; or parallel text: pairs:FOLDER with train.LANGUAGE, val.LANGUAGE and test*.LANGUAGE,
files:SOURCE,TARGET, or tsv:FILE, each plain or gzipped. "validation" is translated during training,
"test" at the end. Measured: the rows of D1 to D3 and D5 in experiments/README.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from data.buckets import EvaluationBuckets, TrainingBuckets
from data.dates import Dates, TrainingDates
from data.pairs import load_pairs
from data.subwords import KINDS, Vocabulary, make_vocabulary
from experiments._modes import states, translate
from experiments._translation import Config as TranslationConfig
from experiments._translation import HeldOut, Translate, make_network, signatures
from train import cli
from train.config import ConfigError, option
from train.optimizer import make_optimizer
from train.task import Batch, Experiment


@dataclass(slots=True, kw_only=True)
class Config(TranslationConfig):
    """Settings of a network for one direction."""

    dataset: str = option("dates", "dates, pairs:FOLDER, files:SOURCE,TARGET or tsv:FILE")
    source: str = option("en", "language of pairs:FOLDER that is read")
    target: str = option("de", "language of pairs:FOLDER that is written")
    test: str = option("", "test set of pairs:FOLDER, where there are several")
    vocabulary: str = option("bpe", "of parallel text; dates have characters", choices=KINDS)
    symbols: int = option(6000, "ids of the vocabulary, for both languages", minimum=8)
    buckets: int = option(5, "shapes of batches at most", minimum=1)
    noise: float = option(0.1, "share of dates in capitals, ...", minimum=0, maximum=1)
    held_out: int = option(1000, "dates of each held-out set", minimum=1)

    steps: int = option(1500, "optimizer steps in the whole run", minimum=1, below=2**31)
    batch_size: int = option(64, "pairs in a step", minimum=1)
    learning_rate: float = option(3e-3, "its highest value", above=0)
    clip_norm: float = option(1.0, "highest global norm of the gradient; 0: no clipping", minimum=0)
    warmup_steps: int = option(100, "steps of linear growth of the learning rate", minimum=0)
    schedule: str = option("cosine", "after warm-up", choices=("constant", "cosine", "step"))
    decay_factor: float = option(0.01, "last rate over the first", minimum=0, maximum=1)


class Corpus(NamedTuple):
    """What is learnt from and translated, with the symbols of both sides."""

    train: Callable[[int], Batch]
    evals: Mapping[str, HeldOut]
    source: Vocabulary
    target: Vocabulary
    provenance: Mapping[str, Any]


def read_dates(config: Config) -> Corpus:
    """Dates of the languages in config.dataset."""
    dates = Dates.of(config.dataset, config.noise)
    evals = {}
    for split in ("validation", "test"):
        pairs = dates.held_out(split, config.held_out)
        batches = EvaluationBuckets(dates.encode(pairs), config.batch_size, (dates.shape,))
        evals[split] = HeldOut(batches, *zip(*pairs, strict=True))
    train = TrainingDates(dates, config.batch_size, config.seed)
    found = {"dataset": config.dataset, "symbols": len(dates.vocabulary)}
    return Corpus(train, evals, dates.vocabulary, dates.vocabulary, found)


def read_text(config: Config) -> Corpus:
    """Parallel text, with one vocabulary for both languages."""
    text = load_pairs(config.dataset, config.source, config.target, config.test)
    sides = [side for pair in text.train for side in pair]
    vocabulary = make_vocabulary(config.vocabulary, sides, config.symbols)

    def encode(pairs):
        return list(
            zip(*(vocabulary.encode(side) for side in zip(*pairs, strict=True)), strict=True)
        )

    train = TrainingBuckets(
        encode(text.train), config.batch_size, config.seed, config.longest, config.buckets
    )
    evals = {
        name: HeldOut(
            EvaluationBuckets(encode(pairs), config.batch_size, train.shapes),
            *zip(*pairs, strict=True),
        )
        for name, pairs in (("validation", text.validation), ("test", text.test))
    }
    found = {
        "dataset": config.dataset.split(":")[0],
        "sha256": text.sha256,
        "languages": f"{config.source}-{config.target}",
        "pairs": len(text.train),
        "too long": train.too_long,
        "with an empty side": text.left_out,
        **signatures(),
    }
    return Corpus(train, evals, vocabulary, vocabulary, found)


def build(config: Config) -> Experiment:
    """Read the pairs; make the network, the batches and the task."""
    if config.n_best > config.beam_size:
        raise ConfigError(f"config.n_best must be at most beam_size, {config.beam_size}")
    read = read_dates if config.dataset.startswith("dates") else read_text
    train, evals, source, target, found = read(config)
    network = make_network(config, len(source), len(target))
    task = Translate(network, source, target, config)
    return Experiment(task, make_optimizer(config), train, evals, found)


if __name__ == "__main__":
    cli.run(Config, build, {"translate": translate, "states": states})
