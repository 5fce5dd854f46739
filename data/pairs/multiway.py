"""Alternating language pairs: a batch belongs to one pair, whose name prefixes all of its keys.

Since the batches of two pairs have different keys, each pair is compiled separately.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..catalogue import DataError
from ..epochs import ALL, Batch, Rows
from .dates import Dates, DateSymbols
from .parallel import Pair, Pairs

EXAMPLE = "en-fr+de-fr+en-de"


def language_pairs(text: str) -> dict[str, tuple[str, str]]:
    """Map the names of pairs such as "en-fr+de-fr" to (source, target), in their order.

    Raises DataError for a name that is not a pair, and for a repeated pair.
    """
    pairs: dict[str, tuple[str, str]] = {}
    for name in text.split("+"):
        languages = tuple(name.split("-"))
        if len(languages) != 2 or not all(languages):
            raise DataError(f"{name!r} is not a pair of languages, as in {EXAMPLE}")
        if name in pairs:
            raise DataError(f"{text} contains the pair {name!r} twice")
        pairs[name] = languages
    return pairs


def sides_by_language(
    pairs: Mapping[str, tuple[str, str]], texts: Mapping[str, Pairs]
) -> dict[str, list[str]]:
    """All training sentences of each language, from the texts of the pairs."""
    sides: dict[str, list[str]] = {}
    for pair, languages in pairs.items():
        for language, side in zip(languages, zip(*texts[pair].train, strict=True), strict=True):
            sides.setdefault(language, []).extend(side)
    return sides


def pair_seeds(seed: int, pairs: Iterable[str]) -> dict[str, int]:
    """Seed below 2**32 for the batches of each pair, independent of the other pairs."""
    sequences = {pair: np.random.SeedSequence((seed, zlib.crc32(pair.encode()))) for pair in pairs}
    return {pair: int(sequence.generate_state(1)[0]) for pair, sequence in sequences.items()}


def add_prefix(pair: str, batch: Batch) -> Batch:
    """Batch with the name of the pair and a slash before its keys."""
    return {f"{pair}/{key}": value for key, value in batch.items()}


def remove_prefix(batch: Batch) -> tuple[str, Batch]:
    """Pair of a batch, and the batch without the prefix of `add_prefix`."""
    pairs = {key.partition("/")[0] for key in batch}
    if len(pairs) != 1:
        raise ValueError(f"a batch must be of one pair, got keys of {sorted(pairs)}")
    return pairs.pop(), {key.partition("/")[2]: value for key, value in batch.items()}


@dataclass(frozen=True)
class Rotation:
    """step -> batch number step // P of pair number step % P, so that the P pairs take turns."""

    streams: Mapping[str, Callable[..., Batch]]

    def __call__(self, step: int, rows: Rows = ALL) -> Batch:
        """Return the rows of the batch of a step, with prefixed keys."""
        pair_step, index = divmod(step, len(self.streams))
        pair = list(self.streams)[index]
        return add_prefix(pair, self.streams[pair](pair_step, rows))


@dataclass(frozen=True)
class AllPairs:
    """Held-out batches of all pairs, one pair after the other, with prefixed keys."""

    sets: Mapping[str, Iterable[Batch]]

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches in order."""
        for pair, batches in self.sets.items():
            for batch in batches:
                yield add_prefix(pair, batch)


@dataclass(frozen=True)
class DatesByLanguage(Dates):
    """Dates of one direction, with a separate vocabulary for the language of each side."""

    @cached_property
    def vocabularies(self) -> tuple[DateSymbols, DateSymbols]:
        """Vocabularies of source and target, functions of their languages."""
        source, target = (Dates(((x, x),)).vocabulary for x in self.directions[0])
        return source, target

    def encode(self, pairs: Iterable[Pair]) -> list[tuple[list[int], list[int]]]:
        """Ids of pairs."""
        sides = zip(*pairs, strict=True)
        ids = (x.encode(side) for x, side in zip(self.vocabularies, sides, strict=True))
        return list(zip(*ids, strict=True))
