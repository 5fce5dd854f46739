"""Nearest words and analogies, against loops over the vocabulary."""

import numpy as np
import pytest

from data.catalogue import DataError
from data.text.analogies import analogy, nearest_ids, normalized
from data.text.vectors import read_vectors
from tests.data.text.vectors import write_vectors

WORDS = ["king", "man", "woman", "queen", "boy", "girl", "apple"]


def cosine(x, y):
    return float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))


@pytest.mark.parametrize("name", ["own.txt", "own.bin"])
def test_analogies_of_a_file_are_those_of_a_loop(tmp_path, name):
    rng = np.random.default_rng(0)
    write_vectors(tmp_path / name, WORDS, rng.normal(size=(7, 4)) * rng.uniform(1, 9, (7, 1)))
    words, vectors = read_vectors(tmp_path / name)
    units = [vector / np.linalg.norm(vector) for vector in vectors]
    for a, b, c in (("man", "king", "woman"), ("boy", "girl", "boy"), ("apple", "man", "king")):
        query = units[words.index(b)] - units[words.index(a)] + units[words.index(c)]
        scores = [
            (cosine(query, unit), word)
            for word, unit in zip(words, units, strict=True)
            if word not in (a, b, c)
        ]
        expected = [word for _, word in sorted(scores, reverse=True)]
        found = analogy(vectors, words, a, b, c, k=20)
        assert [word for word, _ in found] == expected
        np.testing.assert_allclose(
            [value for _, value in found], sorted(value for value, _ in scores)[::-1], atol=1e-5
        )
        assert analogy(vectors, words, a, b, c) == found[:1]


def test_nearest_ids_exclude_and_keep_the_order_of_equals():
    units = normalized([[1, 0], [2, 0], [0, 3], [0, 0]])
    assert nearest_ids(units, units[0], 2) == [(0, 1.0), (1, 1.0)]
    assert [i for i, _ in nearest_ids(units, np.array([5.0, 0.0]), 9, [0, 0])] == [1, 2, 3]


def test_unknown_words_and_other_numbers_of_vectors_are_refused():
    with pytest.raises(DataError, match=r"no vector of 'kng' \(did you mean king\?\)"):
        analogy(np.eye(7), WORDS, "man", "kng", "woman")
    with pytest.raises(ValueError, match=r"7 words need as many vectors \[V, D\], got \(6, 7\)"):
        analogy(np.eye(7)[:6], WORDS, "man", "king", "woman")
