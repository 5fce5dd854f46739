"""Sequences of frames with the symbols that they spell, unsegmented: nobody says which frame is of
which symbol.

Every batch has "x" float32 [B, T, D], zero after "lengths" int32 [B]; "labels" int32 [B, N], ids of
symbols from 1, 0 after "label_lengths" int32 [B]; "mask" float32 [B], 1 = a row that counts. The id
0 is kept for the blank of connectionist temporal classification.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..buckets import Shape, padded
from ..catalogue import DataError
from ..epochs import Batch
from ..series.labelled import pad


@dataclass(frozen=True)
class Alphabet:
    """Symbols, the first with the id 1, and what stands between two of them in a text."""

    symbols: tuple[str, ...]
    separator: str = ""

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Alphabet":
        """Alphabet of the characters of some texts, sorted."""
        return cls(tuple(sorted(set().union(*texts))))

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {symbol: number for number, symbol in enumerate(self.symbols, 1)}

    def encode(self, text: str) -> list[int]:
        """Ids of a text. Raises DataError at a symbol that there is not."""
        parts = text.split(self.separator) if self.separator else list(text)
        try:
            return [self._ids[part] for part in parts if part]
        except KeyError as error:
            raise DataError(f"there is no symbol {error.args[0]!r} for {text!r}") from None

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids; a blank is nothing."""
        return self.separator.join(self.symbols[i - 1] for i in ids if i)


@dataclass(frozen=True)
class Transcripts:
    """Sequences as examples of `data.buckets`: frames float32 [T_i, D] each, and ids of symbols.

    widths [N, 2]: frames, and symbols.
    """

    frames: Sequence[np.ndarray]
    labels: Sequence[Sequence[int]]

    @cached_property
    def widths(self) -> np.ndarray:
        """Frames and symbols of each example."""
        pairs = zip(self.frames, self.labels, strict=True)
        return np.array([(len(x), len(y)) for x, y in pairs], np.int32).reshape(-1, 2)

    @property
    def sha256(self) -> str:
        """Hex digest of frames and labels."""
        digest = hashlib.sha256(self.widths.tobytes())
        for frames, labels in zip(self.frames, self.labels, strict=True):
            digest.update(np.ascontiguousarray(frames).data)
            digest.update(np.array(labels, np.int32).data)
        return digest.hexdigest()

    def part(self, places: Iterable[int]) -> "Transcripts":
        """Return the examples at some places."""
        chosen = list(places)
        return Transcripts([self.frames[i] for i in chosen], [self.labels[i] for i in chosen])

    def batch(self, places: np.ndarray, shape: Shape, batch_size: int) -> Batch:
        """Return the batch of the examples at some places, padded to (T, N)."""
        part, fill = self.part(places), batch_size - len(places)
        nothing = np.zeros((0, self.frames[0].shape[1]), np.float32)
        x, lengths = pad([*part.frames, *[nothing] * fill], shape[0])
        empty: list[Sequence[int]] = [()] * fill
        labels = [*part.labels, *empty]
        return {
            "x": x,
            "lengths": lengths,
            "labels": padded(labels, shape[1]),
            "label_lengths": np.array([len(row) for row in labels], np.int32),
            "mask": (np.arange(batch_size) < len(places)).astype(np.float32),
        }
