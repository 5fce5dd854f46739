"""Questions about word vectors: nearest words, similarities and analogies."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..catalogue import DataError, nearest


def normalized(vectors: ArrayLike) -> np.ndarray:
    """Unit vectors float32 [..., D] of vectors [..., D]; zero vectors stay zero."""
    rows = np.asarray(vectors, np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-30)


def nearest_ids(
    units: np.ndarray, query: np.ndarray, count: int, excluded: Iterable[int] = ()
) -> list[tuple[int, float]]:
    """Ids and cosines of the `count` words nearest to a vector float [D], the nearest first.

    units: unit vectors float32 [V, D]. excluded: ids that are no answer.
    """
    cosines = units @ normalized(query)
    left_out = list(excluded)
    cosines[left_out] = -np.inf
    order = np.argsort(-cosines, kind="stable")[: min(count, len(units) - len(set(left_out)))]
    return [(int(i), float(cosines[i])) for i in order]


def analogy(  # noqa: PLR0917 (a question in the usual order of its words)
    vectors: ArrayLike, words: Sequence[str], a: str, b: str, c: str, k: int = 1
) -> list[tuple[str, float]]:
    """Answer "a is to b as c is to what?" by the k words nearest to b - a + c, with cosines.

    vectors: [V, D] of V words, such as those of `read_vectors`; each is scaled to length 1 first.
    a, b and c are no answers. Raises DataError for an unknown word, ValueError when the numbers of
    vectors and words differ. Source: Mikolov, Yih and Zweig, "Linguistic regularities in continuous
    space word representations", 2013.

    >>> vectors = [[1, 0, 0], [1, 0, 1], [0, 1, 0], [0, 1, 1], [1, 1, 0]]
    >>> words = ["man", "king", "woman", "queen", "child"]
    >>> analogy(vectors, words, "man", "king", "woman")[0][0]
    'queen'
    """
    units = normalized(vectors)
    if units.ndim != 2 or len(units) != len(words):
        raise ValueError(f"{len(words)} words need as many vectors [V, D], got {units.shape}")
    for word in (a, b, c):
        if word not in words:
            raise DataError(f"no vector of {word!r}{nearest(word, words)}")
    ids = [words.index(word) for word in (a, b, c)]
    query = units[ids[1]] - units[ids[0]] + units[ids[2]]
    return [(words[i], cosine) for i, cosine in nearest_ids(units, query, k, ids)]
