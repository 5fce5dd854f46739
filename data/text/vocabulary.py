"""Vocabularies of sentences: their special ids, their interface, and symbols by frequency.

All share their first ids: 0 padding, 1 unknown, 2 begin and 3 end of a sentence. `encode` adds
neither begin nor end; `decode` stops at the end and drops padding and begin. `subwords` has the
vocabularies of normalized text.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, Self

PADDING, UNKNOWN, BEGIN, END = 0, 1, 2, 3
FIRST = 4  # id of the first symbol of the text

KINDS = ("bpe", "unigram", "words", "characters")
REPLACEMENT = "\ufffd"


class Vocabulary(Protocol):
    """Common interface of the three kinds of vocabulary."""

    def __len__(self) -> int:
        """Number of ids, including the four special ones."""

    def to_bytes(self) -> bytes:
        """Return the vocabulary as an asset of a run."""

    def normal_form(self, text: str) -> str:
        """Text that is decoded from the ids of a text of known symbols."""

    def encode(self, sentences: Sequence[str]) -> list[list[int]]:
        """Ids of each sentence."""

    def decode(self, ids: Iterable[int]) -> str:
        """Sentence of ids."""


def sentence_ids(ids: Iterable[int]) -> list[int]:
    """Ids before the first end of sentence, without padding and begin."""
    sentence = []
    for i in map(int, ids):
        if i == END:
            break
        if i not in (PADDING, BEGIN):
            sentence.append(i)
    return sentence


@dataclass(frozen=True)
class SymbolVocabulary:
    """The most frequent symbols of a text, with the ids 4, 5, ... by decreasing frequency."""

    symbols: tuple[str, ...]

    @classmethod
    def from_texts(cls, texts: Iterable[str], size: int) -> Self:
        """Vocabulary of texts, at most `size` ids in all; symbols of equal frequency are sorted.

        Raises ValueError when the size leaves no id for a symbol.
        """
        if size <= FIRST:
            raise ValueError(f"a vocabulary must have more than {FIRST} ids, got {size}")
        counts = Counter(symbol for text in texts for symbol in cls.split(text))
        ranked = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))
        return cls(tuple(ranked[: size - FIRST]))

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Vocabulary of `to_bytes`."""
        return cls(tuple(json.loads(content)))

    def to_bytes(self) -> bytes:
        """Return the symbols in JSON."""
        return json.dumps(self.symbols, ensure_ascii=False).encode()

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {symbol: i for i, symbol in enumerate(self.symbols, FIRST)}

    def __len__(self) -> int:
        return len(self.symbols) + FIRST

    def normal_form(self, text: str) -> str:
        """Text with its symbols joined again."""
        return self.join(self.split(text))

    def encode(self, sentences: Sequence[str]) -> list[list[int]]:
        """Ids of each sentence."""
        ids = self._ids
        return [[ids.get(symbol, UNKNOWN) for symbol in self.split(text)] for text in sentences]

    def decode(self, ids: Iterable[int]) -> str:
        """Sentence of ids, with U+FFFD for unknown symbols."""
        symbols = (
            REPLACEMENT if i == UNKNOWN else self.symbols[i - FIRST] for i in sentence_ids(ids)
        )
        return self.join(list(symbols))

    @staticmethod
    def split(text: str) -> list[str]:
        """Symbols of a text."""
        return list(text)

    @staticmethod
    def join(symbols: list[str]) -> str:
        """Text of symbols."""
        return "".join(symbols)


class Characters(SymbolVocabulary):
    """The most frequent characters of a text, which is not normalized."""
