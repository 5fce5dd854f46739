"""Held-out batches together with the examples that they were made from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from data.buckets import EvaluationBuckets
from data.epochs import Batch


@dataclass(frozen=True)
class HeldOut:
    """Batches of ids, and the original examples, which scores compare with the outputs.

    examples: in the order of the dataset, to which "index" of each batch refers.
    """

    batches: EvaluationBuckets
    examples: Sequence[Any]

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches in order."""
        return iter(self.batches)
