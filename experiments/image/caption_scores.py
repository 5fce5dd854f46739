"""Scores of captions: BLEU, CIDEr-D, and what a caption of a scene says; and baselines."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from data.builtin.captions import parse
from experiments.image.cider import ORDERS, References, cider_d


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
