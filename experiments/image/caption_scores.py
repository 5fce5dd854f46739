"""Scores of captions: BLEU, CIDEr-D, and what a caption of a scene says."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from data.builtin.captions import parse

ORDERS = range(1, 5)  # of n-grams
SIGMA = 6.0  # words, of the penalty of lengths in CIDEr-D

References = Sequence[Sequence[str]]  # of each image
Vector = dict[tuple[str, ...], float]


def bleu_scores(answers: Sequence[str], references: References) -> dict[str, float]:
    """BLEU-1 to BLEU-4 of a corpus, 0 to 1, without smoothing.

    Captions are words separated by spaces. Each image may have its own number of references; the
    closest length counts. Source: Papineni et al., "BLEU", 2002.
    """
    from sacrebleu.metrics import BLEU

    most = max(map(len, references))
    streams: Any = [[r[i] if i < len(r) else None for r in references] for i in range(most)]
    scores = {}
    for order in ORDERS:
        metric = BLEU(tokenize="none", max_ngram_order=order, smooth_method="none", force=True)
        scores[f"bleu{order}"] = metric.corpus_score(list(answers), streams).score / 100
    return scores


def ngrams(caption: str, order: int) -> Counter:
    """Counts of the n-grams of a caption."""
    words = caption.split()
    return Counter(tuple(words[i : i + order]) for i in range(len(words) - order + 1))


def cider_d(answers: Sequence[str], references: References) -> float:
    """CIDEr-D of captions, 0 to 10: the mean of `cider_d_each`."""
    return float(np.mean(cider_d_each(answers, references)))


def cider_d_each(answers: Sequence[str], references: References) -> list[float]:
    """CIDEr-D of the caption of each image.

        g_w = count_w (log N - log max(1, df_w)),   with df_w images of N whose references have w
        CIDEr-D = 10 mean_n mean_r exp(-(l - l_r)^2 / (2 SIGMA^2)) min(g, g_r) . g_r / (|g| |g_r|)

    l is the number of words. A single image has log N = 0 and the score 0.
    Source: Vedantam, Zitnick and Parikh, "CIDEr", 2015.
    """
    total = np.zeros(len(answers))
    lengths = [len(answer.split()) for answer in answers]
    for order in ORDERS:
        counted = [[ngrams(reference, order) for reference in of_one] for of_one in references]
        frequency = Counter(w for of_one in counted for w in set().union(*of_one))

        def vector(counts: Counter, frequency: Counter = frequency) -> Vector:
            scale = math.log(len(answers))
            return {w: n * (scale - math.log(max(1, frequency[w]))) for w, n in counts.items()}

        for i, answer in enumerate(answers):
            own = vector(ngrams(answer, order))
            similar = [
                clipped_cosine(own, vector(counts))
                * length_penalty(lengths[i] - len(reference.split()))
                for reference, counts in zip(references[i], counted[i], strict=True)
            ]
            total[i] += 10 * np.mean(similar) / len(ORDERS)
    return total.tolist()


def clipped_cosine(own: Vector, reference: Vector) -> float:
    """min(own, reference) . reference over both norms; 0 where a norm is 0."""
    norms = [math.sqrt(sum(g * g for g in vector.values())) for vector in (own, reference)]
    product = sum(min(g, reference.get(w, 0.0)) * reference.get(w, 0.0) for w, g in own.items())
    return product / (norms[0] * norms[1]) if all(norms) else 0.0


def length_penalty(difference: int) -> float:
    """Factor for lengths that differ by so many words."""
    return math.exp(-(difference**2) / (2 * SIGMA**2))


def statement_shares(
    answers: Sequence[str], facts: Sequence[Sequence[tuple[str, str, str]]]
) -> dict[str, float]:
    """Share of captions that are sentences of the grammar of scenes, and share that are true."""
    parsed = [parse(answer) for answer in answers]
    true = [found in known for found, known in zip(parsed, facts, strict=True)]
    return {
        "grammatical": float(np.mean([found is not None for found in parsed])),
        "true": float(np.mean(true)),
    }


def caption_scores(
    answers: Sequence[str],
    references: References,
    facts: Sequence[Sequence[tuple[str, str, str]]] = (),
) -> dict[str, float]:
    """All scores of captions; those of statements only with the facts of scenes."""
    scores = bleu_scores(answers, references) | {"cider_d": cider_d(answers, references)}
    return scores | (statement_shares(answers, facts) if facts else {})


def constant_caption(known: References) -> str:
    """The caption of training images whose words are used for most of them, on average."""
    words = [set(" ".join(captions).split()) for captions in known]
    used = Counter(word for of_one in words for word in of_one)

    def common(caption: str) -> float:
        return sum(used[word] for word in caption.split()) / max(1, len(caption.split()))

    return max((caption for captions in known for caption in captions), key=common)


def baselines(
    references: References, nearest: Sequence[str], known: References
) -> dict[str, Sequence[str]]:
    """Captions that no network wrote: what BLEU hides.

    constant: one caption for all images. neighbour: that of the nearest training image, given in
    `nearest`. other: a true caption of another image, the next one. known: those of training.
    """
    return {
        "constant": [constant_caption(known)] * len(references),
        "neighbour": nearest,
        "other": [references[(i + 1) % len(references)][0] for i in range(len(references))],
    }
