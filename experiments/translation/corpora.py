"""What translators learn from: dates, and parallel text, with the sentences that are held out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from data.buckets import EvaluationBuckets, TrainingBuckets
from data.pairs.batches import IdPairs
from data.pairs.dates import Dates, TrainingDates
from data.pairs.parallel import Pair, Pairs
from data.text.vocabulary import KINDS, Vocabulary
from experiments.translation.task import Config as TranslationConfig
from experiments.translation.task import HeldOut
from train.config import option
from train.task import Batch


@dataclass(slots=True, kw_only=True)
class Config(TranslationConfig):
    """Settings of the data of a translator."""

    TINY: ClassVar = {
        "heldout_examples": 10,
        "max_length": 8,
        "buckets": 1,
        "hidden": 8,
        "embedding": 8,
        "beam_size": 2,
    }

    test_set: str = option(
        "", "name of the test set", note="pairs:FOLDER with several", group="data"
    )
    tokenizer: str = option(
        "bpe", "tokenizer of parallel text", note="dates: characters", group="data", choices=KINDS
    )
    vocab_size: int = option(
        6000, "maximum vocabulary size", note="parallel text only", group="data", minimum=8
    )
    buckets: int = option(5, "maximum number of batch shapes", group="data", minimum=1)
    format_noise: float = option(
        0.1,
        "fraction of dates with altered case or spacing",
        note="dataset=dates",
        group="data",
        minimum=0,
        maximum=1,
    )
    heldout_examples: int = option(
        1000, "examples of each held-out set", note="dataset=dates", group="data", minimum=1
    )


class Corpus(NamedTuple):
    """What is learnt from and translated, with the symbols of both sides."""

    train: Callable[[int], Batch]
    evals: Mapping[str, HeldOut]
    source: Vocabulary
    target: Vocabulary
    provenance: Mapping[str, Any]


def of_dates(
    dates: Dates, source: Vocabulary, target: Vocabulary, seed: int, config: Config
) -> Corpus:
    """Corpus of dates, whose `encode` writes them in these vocabularies."""
    evals = {}
    for split in ("validation", "test"):
        pairs = dates.held_out(split, config.heldout_examples)
        batches = EvaluationBuckets(IdPairs(dates.encode(pairs)), config.batch_size, (dates.shape,))
        evals[split] = HeldOut(batches, *zip(*pairs, strict=True))
    return Corpus(TrainingDates(dates, config.batch_size, seed), evals, source, target, {})


def of_text(
    text: Pairs, source: Vocabulary, target: Vocabulary, seed: int, config: Config
) -> Corpus:
    """Corpus of parallel text; batches of sentences of like lengths."""

    def encode(pairs: list[Pair]) -> IdPairs:
        sides = zip(*pairs, strict=True)
        ids = (words.encode(side) for words, side in zip((source, target), sides, strict=True))
        return IdPairs(list(zip(*ids, strict=True)))

    train = TrainingBuckets(
        encode(text.train), config.batch_size, seed, config.max_length, config.buckets
    )
    evals = {
        name: HeldOut(
            EvaluationBuckets(encode(pairs), config.batch_size, train.shapes),
            *zip(*pairs, strict=True),
        )
        for name, pairs in (("validation", text.validation), ("test", text.test))
    }
    found = {
        "sha256": text.sha256,
        "pairs": len(text.train),
        "too long": train.too_long,
        "with an empty side": text.left_out,
    }
    return Corpus(train, evals, source, target, found)
