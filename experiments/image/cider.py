"""CIDEr-D: the similarity of captions, whose rare n-grams count most.

Source: Vedantam, Zitnick and Parikh, "CIDEr: consensus-based image description evaluation", 2015.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

ORDERS = range(1, 5)  # of n-grams
SIGMA = 6.0  # words, of the penalty of lengths

References = Sequence[Sequence[str]]  # of each image
Vector = dict[tuple[str, ...], float]


class Weighted(NamedTuple):
    """A caption: its length in words, and the weights of its n-grams and their norm by order."""

    length: int
    vectors: tuple[tuple[Vector, float], ...]


class Cider:
    """CIDEr-D with the document frequencies of the captions of N images.

        g_w = count_w (log N - log max(1, df_w)),   with df_w images of N whose captions have w
        d(c, r) = 10 mean_n exp(-(l - l_r)^2 / (2 SIGMA^2)) min(g, g_r) . g_r / (|g| |g_r|)

    n are the orders of the n-grams w, and l is the number of words. A single image has log N = 0
    and the similarity 0.
    """

    def __init__(self, references: References):
        self.scale = math.log(len(references))
        self.frequency = [
            Counter(
                w
                for of_one in references
                for w in set().union(*(ngrams(caption, order) for caption in of_one))
            )
            for order in ORDERS
        ]

    def weighted(self, caption: str) -> Weighted:
        """Return the caption with the weights of its n-grams."""
        vectors = []
        for order, frequency in zip(ORDERS, self.frequency, strict=True):
            vector = {
                w: count * (self.scale - math.log(max(1, frequency[w])))
                for w, count in ngrams(caption, order).items()
            }
            vectors.append((vector, math.sqrt(sum(g * g for g in vector.values()))))
        return Weighted(len(caption.split()), tuple(vectors))

    def similarities(self, captions: Sequence[str], references: Sequence[str]) -> np.ndarray:
        """Return d(c, r) of each caption and each reference, float64 [N, M], 0 to 10."""
        own, others = ([self.weighted(text) for text in texts] for texts in (captions, references))
        found = [[similarity(caption, reference) for reference in others] for caption in own]
        return np.array(found, float).reshape(len(captions), len(references))


def ngrams(caption: str, order: int) -> Counter:
    """Counts of the n-grams of a caption."""
    words = caption.split()
    return Counter(tuple(words[i : i + order]) for i in range(len(words) - order + 1))


def similarity(own: Weighted, reference: Weighted) -> float:
    """d(own, reference): see `Cider`; n-grams of an order that either lacks count 0."""
    total = 0.0
    for (g, norm), (g_r, norm_r) in zip(own.vectors, reference.vectors, strict=True):
        if norm and norm_r:
            product = sum(min(x, g_r.get(w, 0.0)) * g_r.get(w, 0.0) for w, x in g.items())
            total += product / (norm * norm_r)
    return 10 * length_penalty(own.length - reference.length) * total / len(ORDERS)


def length_penalty(difference: int) -> float:
    """Factor for lengths that differ by so many words."""
    return math.exp(-(difference**2) / (2 * SIGMA**2))


def cider_d(answers: Sequence[str], references: References) -> float:
    """CIDEr-D of captions, 0 to 10: the mean of `cider_d_each`."""
    return float(np.mean(cider_d_each(answers, references)))


def cider_d_each(answers: Sequence[str], references: References) -> list[float]:
    """CIDEr-D of the caption of each image: its mean similarity to the references of the image.

    The document frequencies are those of the references of all images.
    """
    cider = Cider(references)
    return [
        float(cider.similarities([answer], of_one).mean())
        for answer, of_one in zip(answers, references, strict=True)
    ]
