"""Corpora of translation: dates and parallel text as training and held-out batches."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from data.buckets import EvaluationBuckets, TrainingBuckets
from data.pairs.batches import IdPairs
from data.pairs.dates import Dates, DateSymbols, TrainingDates
from data.pairs.parallel import Pair, Pairs
from data.text.vocabulary import Vocabulary
from experiments.common.held_out import HeldOut
from experiments.translation.task import Config
from train.task import Source


class Corpus(NamedTuple):
    """Training and held-out batches, the vocabularies of both sides, and the provenance."""

    train: Source
    evals: Mapping[str, HeldOut]
    source: Vocabulary
    target: Vocabulary
    provenance: Mapping[str, Any]


def vocabulary_of(config: Config, content: bytes) -> Vocabulary:
    """Vocabulary from an asset of a run."""
    if config.dataset.startswith("dates"):
        return DateSymbols.from_bytes(content)
    from data.text.subwords import read_vocabulary

    return read_vocabulary(config.tokenizer, content)


def dates_corpus(
    dates: Dates, source: Vocabulary, target: Vocabulary, seed: int, config: Config
) -> Corpus:
    """Corpus of dates; the vocabularies are those that `dates.encode` uses."""
    evals = {}
    for split in ("validation", "test"):
        pairs = dates.held_out(split, config.heldout_examples)
        batches = EvaluationBuckets(IdPairs(dates.encode(pairs)), config.batch_size, (dates.shape,))
        evals[split] = HeldOut(batches, pairs)
    return Corpus(TrainingDates(dates, config.batch_size, seed), evals, source, target, {})


def text_corpus(
    text: Pairs, source: Vocabulary, target: Vocabulary, seed: int, config: Config
) -> Corpus:
    """Corpus of parallel text, in batches of sentences of similar lengths."""

    def encode(pairs: list[Pair]) -> IdPairs:
        sources, targets = zip(*pairs, strict=True)
        ids = zip(source.encode(sources), target.encode(targets), strict=True)
        return IdPairs(list(ids))

    train = TrainingBuckets(
        encode(text.train), config.batch_size, seed, config.max_length, config.buckets
    )
    evals = {}
    for name, pairs in (("validation", text.validation), ("test", text.test)):
        batches = EvaluationBuckets(encode(pairs), config.batch_size, train.shapes)
        evals[name] = HeldOut(batches, pairs)
    provenance = {
        "sha256": text.sha256,
        "pairs": len(text.train),
        "too long": train.too_long,
        "with an empty side": text.left_out,
    }
    return Corpus(train, evals, source, target, provenance)
