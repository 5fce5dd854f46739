"""What translators learn from: dates, and parallel text, with the sentences that are held out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from data.buckets import EvaluationBuckets, TrainingBuckets
from data.pairs.batches import IdPairs
from data.pairs.dates import Dates, TrainingDates
from data.pairs.parallel import Pair, Pairs
from data.text.subwords import KINDS, Vocabulary
from experiments.translation.task import Config as TranslationConfig
from experiments.translation.task import HeldOut
from train.config import option
from train.task import Batch


@dataclass(slots=True, kw_only=True)
class Config(TranslationConfig):
    """Settings of the data of a translator."""

    test: str = option("", "test set of pairs:FOLDER, where there are several")
    vocabulary: str = option("bpe", "of parallel text; dates have characters", choices=KINDS)
    symbols: int = option(6000, "ids of a vocabulary of parallel text", minimum=8)
    buckets: int = option(5, "shapes of batches at most", minimum=1)
    noise: float = option(0.1, "share of dates in capitals, ...", minimum=0, maximum=1)
    held_out: int = option(1000, "dates of each held-out set", minimum=1)


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
        pairs = dates.held_out(split, config.held_out)
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
        encode(text.train), config.batch_size, seed, config.longest, config.buckets
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
