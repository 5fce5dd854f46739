"""Sentences as ids and back: subwords by sentencepiece, plain words, or characters.

All three have the same first ids: 0 padding, 1 unknown, 2 begin and 3 end of a sentence. `encode`
adds neither of the last two; `decode` stops at the end and drops padding and begin.
"""

import difflib
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import sentencepiece

from ..catalogue import DataError

PADDING, UNKNOWN, BEGIN, END = 0, 1, 2, 3
FIRST = 4  # the id of the first symbol of a text

KINDS = ("bpe", "unigram", "words", "characters")
REPLACEMENT = "\ufffd"
SPACE_OF_PIECES = "\u2581"  # sentencepiece writes a space so
GLUE = "\uffed"  # no text in NFKC holds it: it would be U+25A0 there
TOKEN = re.compile(r"\w+|[^\w\s]")


class Vocabulary(Protocol):
    """What the three kinds have in common."""

    def __len__(self) -> int:
        """Ids in all, the four special ones counted."""

    def encode(self, sentences: Sequence[str]) -> list[list[int]]:
        """Ids of sentences."""

    def decode(self, ids: Iterable[int]) -> str:
        """Sentence of ids."""


def make_vocabulary(kind: str, texts: Iterable[str], size: int) -> Vocabulary:
    """Vocabulary of a kind ("bpe", "unigram", "words", "characters") for some sentences.

    Raises ValueError when there is no such kind, DataError when the text does not yield the size.
    """
    if kind in ("bpe", "unigram"):
        return Subwords.of(texts, size, kind)
    if kind == "words":
        return Words.of(texts, size)
    if kind == "characters":
        return Characters.of(texts, size)
    near = difflib.get_close_matches(kind, KINDS, n=1, cutoff=0)[0]
    raise ValueError(f"vocabulary {kind!r} is not one of {', '.join(KINDS)}; nearest: {near!r}")


def normal(text: str) -> str:
    """NFKC, single spaces between words and none around them; U+2581 becomes an underscore."""
    composed = unicodedata.normalize("NFKC", text).replace(SPACE_OF_PIECES, "_")
    return " ".join(composed.split())


def sentence_ids(ids: Iterable[int]) -> list[int]:
    """Ids before the first end of sentence, without padding and begin."""
    kept = []
    for i in map(int, ids):
        if i == END:
            break
        if i not in (PADDING, BEGIN):
            kept.append(i)
    return kept


@dataclass(frozen=True)
class Subwords:
    """Pieces of words by sentencepiece; `decode(encode([text])[0]) == normal(text)` for any text.

    What the training text lacks is spelt in its UTF-8 bytes, 256 of the ids, so nothing is unknown.
    """

    model: bytes

    @classmethod
    def of(cls, texts: Iterable[str], size: int, kind: str = "bpe") -> "Subwords":
        """Pieces of a text, `size` ids in all, by "bpe" or "unigram": a pure function.

        Sources: Sennrich et al. 2016 (byte pair encoding), Kudo 2018 (unigram). Raises DataError
        with the nearest size that is possible when the text has too few or too many symbols.
        """
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=filter(None, map(normal, texts)),
                model_writer=model,
                vocab_size=size,
                model_type=kind,
                pad_id=PADDING,
                unk_id=UNKNOWN,
                bos_id=BEGIN,
                eos_id=END,
                unk_surface=REPLACEMENT,
                byte_fallback=True,
                # `normal` did it; sentencepiece's own tables are of another Unicode version
                normalization_rule_name="identity",
                num_threads=1,  # the order of sums is the same everywhere
                minloglevel=2,
            )
        except RuntimeError as error:
            raise DataError(_why(str(error), size)) from None
        return cls(model.getvalue())

    @cached_property
    def _processor(self) -> sentencepiece.SentencePieceProcessor:
        return sentencepiece.SentencePieceProcessor(model_proto=self.model)

    def __len__(self) -> int:
        return self._processor.vocab_size()

    def encode(self, sentences: Sequence[str]) -> list[list[int]]:
        """Ids of sentences, brought to the normal form first."""
        return self._processor.encode([normal(sentence) for sentence in sentences])

    def decode(self, ids: Iterable[int]) -> str:
        """Sentence of ids."""
        return self._processor.decode(sentence_ids(ids))


def _why(message: str, size: int) -> str:
    """Sentencepiece's complaint about a size in the words of a user."""
    if largest := re.search(r"value <= (\d+)", message):
        return f"{size} subwords are more than the text has, {largest[1]} are possible"
    if smallest := re.search(r"required_chars\. \d+ vs (\d+)", message):
        return f"{size} subwords are too few for the text's symbols, {smallest[1]} are needed"
    if "sentences_.empty()" in message:
        return "there is no text to make subwords of"
    return f"no subwords of this text: {message}"


@dataclass(frozen=True)
class Listed:
    """The most frequent symbols of a text with the ids 4, 5, ..., the most frequent first."""

    symbols: tuple[str, ...]

    @classmethod
    def of(cls, texts: Iterable[str], size: int):
        """Vocabulary of a text, `size` ids in all at most; of two as frequent the smaller one.

        Raises ValueError when the size leaves no id for a symbol.
        """
        if size <= FIRST:
            raise ValueError(f"a vocabulary must have more than {FIRST} ids, got {size}")
        counts = Counter(symbol for text in texts for symbol in cls.split(text))
        ranked = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))
        return cls(tuple(ranked[: size - FIRST]))

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {symbol: i for i, symbol in enumerate(self.symbols, FIRST)}

    def __len__(self) -> int:
        return len(self.symbols) + FIRST

    def encode(self, sentences: Sequence[str]) -> list[list[int]]:
        """Ids of sentences."""
        ids = self._ids
        return [[ids.get(symbol, UNKNOWN) for symbol in self.split(text)] for text in sentences]

    def decode(self, ids: Iterable[int]) -> str:
        """Sentence of ids, U+FFFD for the unknown."""
        known = (
            REPLACEMENT if i == UNKNOWN else self.symbols[i - FIRST] for i in sentence_ids(ids)
        )
        return self.join(list(known))

    @staticmethod
    def split(text: str) -> list[str]:
        """Symbols of a text."""
        return list(text)

    @staticmethod
    def join(symbols: list[str]) -> str:
        """Text of symbols."""
        return "".join(symbols)


class Characters(Listed):
    """The most frequent characters of a text, as they are."""


class Words(Listed):
    """The most frequent words and punctuation marks of a text in its normal form.

    A mark or word that follows the one before it without a space is a symbol of its own, so that
    `decode(encode([text])[0]) == normal(text)` when all its words are known.
    """

    @staticmethod
    def split(text: str) -> list[str]:
        """Words and marks, those without a space before them marked."""
        text = normal(text)
        symbols = []
        for match in TOKEN.finditer(text):
            start = match.start()
            glued = start > 0 and not text[start - 1].isspace()
            symbols.append(GLUE * glued + match[0])
        return symbols

    @staticmethod
    def join(symbols: list[str]) -> str:
        """Words with spaces between them, but none before a marked one."""
        return " ".join(symbols).replace(f" {GLUE}", "").removeprefix(GLUE)
