"""Unsegmented sequences of frames with transcripts: there is no frame-level alignment.

Every batch has "x" float32 [B, T, D], zero after "lengths" int32 [B]; "labels" int32 [B, N], ids of
symbols from 1, 0 after "label_lengths" int32 [B]; "mask" float32 [B], 1 = the row counts. The id 0
is reserved for the blank of connectionist temporal classification.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..buckets import Shape, pad_rows
from ..catalogue import DataError
from ..epochs import Batch
from ..series.labelled import pad


@dataclass(frozen=True)
class Alphabet:
    """Symbols with ids 1, 2, ..., and the separator between them in a text."""

    symbols: tuple[str, ...]
    separator: str = ""

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> "Alphabet":
        """Alphabet of the characters of some texts, sorted."""
        return cls(tuple(sorted(set().union(*texts))))

    @classmethod
    def from_bytes(cls, content: bytes) -> "Alphabet":
        """Alphabet of `to_bytes`."""
        symbols, separator = json.loads(content)
        return cls(tuple(symbols), separator)

    def to_bytes(self) -> bytes:
        """Return symbols and separator in JSON."""
        return json.dumps([self.symbols, self.separator], ensure_ascii=False).encode()

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {symbol: number for number, symbol in enumerate(self.symbols, 1)}

    def encode(self, text: str) -> list[int]:
        """Ids of a text. Raises DataError at a symbol outside the alphabet."""
        symbols = text.split(self.separator) if self.separator else list(text)
        try:
            return [self._ids[symbol] for symbol in symbols if symbol]
        except KeyError as error:
            raise DataError(
                f"symbol {error.args[0]!r} of {text!r} is not in the alphabet"
            ) from None

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids, without blanks."""
        return self.separator.join(self.symbols[i - 1] for i in ids if i)


@dataclass(frozen=True)
class Transcripts:
    """Examples for `data.buckets`: frames float32 [T_i, D] and symbol ids of each sequence."""

    frames: Sequence[np.ndarray]
    labels: Sequence[Sequence[int]]

    @cached_property
    def widths(self) -> np.ndarray:
        """Numbers of frames and symbols of each example, int32 [N, 2]."""
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

    def subset(self, indices: Iterable[int]) -> "Transcripts":
        """Return the examples at `indices`."""
        chosen = list(indices)
        return Transcripts([self.frames[i] for i in chosen], [self.labels[i] for i in chosen])

    def batch(self, indices: np.ndarray, shape: Shape, batch_size: int) -> Batch:
        """Return the batch of the examples at `indices`, padded to (T, N)."""
        examples, fill = self.subset(indices), batch_size - len(indices)
        no_frames = np.zeros((0, self.frames[0].shape[1]), np.float32)
        x, lengths = pad([*examples.frames, *[no_frames] * fill], shape[0])
        no_labels: list[Sequence[int]] = [()] * fill
        labels = [*examples.labels, *no_labels]
        return {
            "x": x,
            "lengths": lengths,
            "labels": pad_rows(labels, shape[1]),
            "label_lengths": np.array([len(row) for row in labels], np.int32),
            "mask": (np.arange(batch_size) < len(indices)).astype(np.float32),
        }
