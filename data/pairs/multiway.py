"""Several language pairs in turn: a batch is of one pair, whose name begins every key of it.

So the batches of two pairs have different keys: what is compiled for a batch is compiled for its
pair.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..catalogue import DataError
from ..epochs import Batch
from .dates import Dates, DateSymbols
from .parallel import Pair, Pairs

EXAMPLE = "en-fr+de-fr+en-de"


def language_pairs(text: str) -> dict[str, tuple[str, str]]:
    """Name -> (source language, target language) of pairs such as "en-fr+de-fr", in their order.

    Raises DataError when a part is no pair, or there twice.
    """
    found: dict[str, tuple[str, str]] = {}
    for name in text.split("+"):
        languages = tuple(name.split("-"))
        if len(languages) != 2 or not all(languages):
            raise DataError(f"{name!r} is no pair of languages; pairs are given as in {EXAMPLE}")
        if name in found:
            raise DataError(f"the pair {name!r} is there twice in {text}")
        found[name] = languages
    return found


def sides_by_language(
    pairs: Mapping[str, tuple[str, str]], texts: Mapping[str, Pairs]
) -> dict[str, list[str]]:
    """All training sentences in each language, of the texts by pair."""
    found: dict[str, list[str]] = {}
    for pair, languages in pairs.items():
        for language, side in zip(languages, zip(*texts[pair].train, strict=True), strict=True):
            found.setdefault(language, []).extend(side)
    return found


def pair_seeds(seed: int, pairs: Iterable[str]) -> dict[str, int]:
    """Seed below 2**32 of the batches of each pair, whatever other pairs there are."""
    words = {pair: np.random.SeedSequence((seed, zlib.crc32(pair.encode()))) for pair in pairs}
    return {pair: int(word.generate_state(1)[0]) for pair, word in words.items()}


def named(pair: str, batch: Batch) -> Batch:
    """Batch with the pair's name, and a slash, before its keys."""
    return {f"{pair}/{key}": value for key, value in batch.items()}


def unnamed(batch: Batch) -> tuple[str, Batch]:
    """Pair of a batch, and the batch as it was before `named`."""
    pairs = {key.partition("/")[0] for key in batch}
    if len(pairs) != 1:
        raise ValueError(f"a batch must be of one pair, got keys of {sorted(pairs)}")
    return pairs.pop(), {key.partition("/")[2]: value for key, value in batch.items()}


@dataclass(frozen=True)
class Rotation:
    """step -> batch of pair step mod P, of P streams by pair: the one of its step // P."""

    streams: Mapping[str, Callable[[int], Batch]]

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step, its keys named."""
        turn, place = divmod(step, len(self.streams))
        pair = list(self.streams)[place]
        return named(pair, self.streams[pair](turn))


@dataclass(frozen=True)
class AllPairs:
    """Held-out batches of every pair, one pair after the other, their keys named."""

    sets: Mapping[str, Iterable[Batch]]

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches in order."""
        for pair, batches in self.sets.items():
            for batch in batches:
                yield named(pair, batch)


@dataclass(frozen=True)
class DatesByLanguage(Dates):
    """Dates of one direction, each side in the characters of its own language alone."""

    @cached_property
    def vocabularies(self) -> tuple[DateSymbols, DateSymbols]:
        """Vocabularies of source and target: functions of the languages."""
        source, target = (Dates(((x, x),)).vocabulary for x in self.directions[0])
        return source, target

    def encode(self, pairs: Iterable[Pair]) -> list[tuple[list[int], list[int]]]:
        """Ids of pairs."""
        sides = zip(*pairs, strict=True)
        ids = (x.encode(side) for x, side in zip(self.vocabularies, sides, strict=True))
        return list(zip(*ids, strict=True))
