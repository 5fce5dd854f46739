"""Training, validation and test sets of data that come without some of them, by a hash.

A hash of an example itself, of its text or its file name, decides where it belongs, so examples
that are added later move no other one, and equal examples are in the same set.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from ..catalogue import DataError

T = TypeVar("T")

TENTHS = {0: "test", 1: "validation"}  # the others are for training


def set_of(key: str | bytes) -> str:
    """Set of an example by the SHA-256 of its key: a tenth each is "validation" and "test"."""
    content = key.encode() if isinstance(key, str) else key
    return TENTHS.get(int.from_bytes(hashlib.sha256(content).digest(), "big") % 10, "train")


def complete(
    splits: Mapping[str, Sequence[T]], key: Callable[[T], str | bytes], where: str
) -> dict[str, list[T]]:
    """Sets "train", "validation" and "test" of splits that may lack some of them.

    With "train" alone, validation and test are a tenth of it each, by `set_of`. With two, the other
    one is the test, and validation is a tenth of the training set, by the same hash. where: the
    data in messages. Raises DataError without "train", or when a set is empty.
    """
    if "train" not in splits:
        raise DataError(f"{where} has only {' and '.join(splits)}; needs train")
    sets = {split: list(examples) for split, examples in splits.items()}
    if "test" not in sets and "validation" in sets:
        sets["test"] = sets.pop("validation")
    if "validation" not in sets:
        found = [(example, set_of(key(example))) for example in sets["train"]]
        if "test" in sets:
            sets["train"] = [x for x, of in found if of != "validation"]
            sets["validation"] = [x for x, of in found if of == "validation"]
        else:
            sets = {s: [x for x, of in found if of == s] for s in ("train", "validation", "test")}
    for split, examples in sets.items():
        if not examples:
            count = sum(map(len, splits.values()))
            raise DataError(
                f"the {split} set of {where} is empty: it has {count} examples in all; put some "
                f"into a file or folder named {split}"
            )
    return {split: sets[split] for split in ("train", "validation", "test")}
