"""Vocabularies of normalized text: subwords by sentencepiece, or words and punctuation marks."""

import difflib
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import regex  # its \w includes combining marks and joiners
import sentencepiece

from ..catalogue import DataError
from .vocabulary import (
    BEGIN,
    END,
    KINDS,
    PADDING,
    REPLACEMENT,
    UNKNOWN,
    Characters,
    SymbolVocabulary,
    Vocabulary,
    sentence_ids,
)

SENTENCEPIECE_SPACE = "\u2581"  # stands for a space in pieces
JOINER = "\uffed"  # occurs in no NFKC text, which has U+25A0 instead
TOKEN = regex.compile(r"\w+|[^\w\s]")


def make_vocabulary(kind: str, texts: Iterable[str], size: int) -> Vocabulary:
    """Vocabulary of a kind ("bpe", "unigram", "words", "characters") learned from sentences.

    Raises ValueError for another kind, DataError when the text does not allow `size` ids.
    """
    if kind in ("bpe", "unigram"):
        return Subwords.from_texts(texts, size, kind)
    if kind == "words":
        return Words.from_texts(texts, size)
    if kind == "characters":
        return Characters.from_texts(texts, size)
    near = difflib.get_close_matches(kind, KINDS, n=1, cutoff=0)[0]
    raise ValueError(f"vocabulary {kind!r} is not one of {', '.join(KINDS)} (did you mean {near}?)")


def read_vocabulary(kind: str, content: bytes) -> Vocabulary:
    """Vocabulary of a kind from the bytes of its `to_bytes`."""
    if kind in ("bpe", "unigram"):
        return Subwords(content)
    return (Words if kind == "words" else Characters).from_bytes(content)


def normalize(text: str) -> str:
    """Text in NFKC with single spaces between words and none at the ends; U+2581 becomes "_"."""
    composed = unicodedata.normalize("NFKC", text).replace(SENTENCEPIECE_SPACE, "_")
    return " ".join(composed.split())


@dataclass(frozen=True)
class Subwords:
    """Subword pieces by sentencepiece; `decode(encode([text])[0]) == normalize(text)` always holds.

    Characters outside the training text are spelled as UTF-8 bytes, which take 256 of the ids, so
    no text is unknown.
    """

    model: bytes

    @classmethod
    def from_texts(cls, texts: Iterable[str], size: int, kind: str = "bpe") -> "Subwords":
        """Pieces learned from texts, `size` ids in all, by "bpe" or "unigram"; deterministic.

        Sources: Sennrich et al. 2016 (byte pair encoding), Kudo 2018 (unigram). Raises DataError
        with the nearest possible size when the text has too few or too many symbols.
        """
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=filter(None, map(normalize, texts)),
                model_writer=model,
                vocab_size=size,
                model_type=kind,
                pad_id=PADDING,
                unk_id=UNKNOWN,
                bos_id=BEGIN,
                eos_id=END,
                unk_surface=REPLACEMENT,
                byte_fallback=True,
                # `normalize` has done it; sentencepiece's tables are of another Unicode version
                normalization_rule_name="identity",
                num_threads=1,  # sums are taken in the same order everywhere
                minloglevel=2,
            )
        except RuntimeError as error:
            raise DataError(_training_error(str(error), size)) from None
        return cls(model.getvalue())

    def to_bytes(self) -> bytes:
        """Return sentencepiece's model."""
        return self.model

    @cached_property
    def _processor(self) -> sentencepiece.SentencePieceProcessor:
        return sentencepiece.SentencePieceProcessor(model_proto=self.model)

    def __len__(self) -> int:
        return self._processor.vocab_size()

    def normal_form(self, text: str) -> str:
        """Text as `normalize` returns it."""
        return normalize(text)

    def encode(self, sentences: Sequence[str]) -> list[list[int]]:
        """Ids of each sentence, which is normalized first."""
        return self._processor.encode([normalize(sentence) for sentence in sentences])

    def decode(self, ids: Iterable[int]) -> str:
        """Sentence of ids."""
        return self._processor.decode(sentence_ids(ids))


def _training_error(message: str, size: int) -> str:
    """Error of sentencepiece about a size, in terms of the user's settings."""
    if largest := re.search(r"value <= (\d+)", message):
        return f"{size} subwords are more than the text yields; at most {largest[1]} are possible"
    if smallest := re.search(r"required_chars\. \d+ vs (\d+)", message):
        return f"{size} subwords are too few for this text; at least {smallest[1]} are needed"
    if "sentences_.empty()" in message:
        return "there is no text to learn subwords from"
    return f"cannot learn subwords from this text: {message}"


class Words(SymbolVocabulary):
    """The most frequent words and punctuation marks of a normalized text.

    A word or mark without a space before it is a separate symbol, which begins with a joiner. So
    `decode(encode([text])[0]) == normalize(text)` when all words of the text are known.
    """

    @staticmethod
    def split(text: str) -> list[str]:
        """Words and marks, with a joiner where no space precedes them."""
        text = normalize(text)
        symbols = []
        for match in TOKEN.finditer(text):
            start = match.start()
            joined = start > 0 and not text[start - 1].isspace()
            symbols.append(JOINER * joined + match[0])
        return symbols

    @staticmethod
    def join(symbols: list[str]) -> str:
        """Symbols separated by spaces, except before a joiner."""
        return " ".join(symbols).replace(f" {JOINER}", "").removeprefix(JOINER)
