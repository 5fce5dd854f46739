"""Pretrained word vectors as initial rows of an embedding table."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.catalogue import DataError
from train.config import option


def vectors() -> Any:
    """Declare the setting `vectors`."""
    return option(
        "",
        "file of pretrained word vectors, the initial embeddings",
        note="in the text or binary form of word2vec, or the text form of GloVe",
        group="data",
    )


def pretrained_rows(path: str, words: Sequence[str], size: int, first: int = 0) -> np.ndarray:
    """Rows float32 [first + V, size] of V words, NaN where the file has no vector; prints how many.

    A word that the file does not have is looked up in lower case. first: number of rows before
    those of the words. Raises DataError when the file cannot be read, when its vectors have another
    size, or when it has none of the words.
    """
    from data.text.vectors import read_vectors

    names, table = read_vectors(Path(os.path.expanduser(path)))
    if table.shape[1] != size:
        raise DataError(
            f"the vectors of {path} have {table.shape[1]} numbers, but config.embedding is {size}"
        )
    index = {name: i for i, name in enumerate(names)}
    rows = np.full((first + len(words), size), np.nan, np.float32)
    for number, word in enumerate(words, first):
        i = index.get(word, index.get(word.lower()))
        if i is not None:
            rows[number] = table[i]
    count = int((~np.isnan(rows[:, 0])).sum())
    if not count:
        raise DataError(f"{path} has a vector of none of the {len(words)} words")
    print(f"vectors: {count} of {len(words)} words are in {path}", flush=True)
    return rows


def pretrained_tables(
    config: Any, words: Sequence[str], *paths: str, first: int = 0
) -> dict[str, np.ndarray]:
    """Initial rows of the tables at `paths` by config.vectors; empty if that names no file.

    words, first: as in `pretrained_rows`.
    """
    if not config.vectors:
        return {}
    return dict.fromkeys(paths, pretrained_rows(config.vectors, words, config.embedding, first))
