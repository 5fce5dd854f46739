"""Scores of predicted spans: exact matches, and the overlaps of Irsoy and Cardie.

data/sentences/schemes.py describes the tags. If a scheme does not allow a tag, the spans are
those of conlleval, the script of the CoNLL shared tasks, and of seqeval: B and S begin a span, E
and S end one, and I and E begin one outside of a span and after another type. The match of a
predicted span with the true spans, and of a true span with the predicted ones, is

    exact          1 if one of them has the same type, first and last word, else 0
    binary         1 if it has a word in common with one of the same type, else 0
    proportional   the fraction of its words that are in spans of the same type

Precision is the mean over the predicted spans, recall the mean over the true spans, and F1 their
harmonic mean. Source of the overlaps: Irsoy and Cardie, "Opinion mining with deep recurrent neural
networks", 2014, after Breck, Choi and Cardie 2007 and Johansson and Moschitti 2010.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from data.sentences.schemes import split_tag


class Span(NamedTuple):
    """The words from first to end - 1 of a sentence."""

    kind: str
    first: int
    end: int


def spans_of(tags: Sequence[str]) -> list[Span]:
    """Spans of a sentence from its tags, in every scheme.

    Consecutive words with the same tag, if it marks no span, form a span with the tag as its type.
    """
    spans: list[Span] = []
    open_kind: str | None = None  # of the span that the next word may continue
    for index, (letter, kind) in enumerate(map(split_tag, tags)):
        if letter == "O":
            open_kind = None
            continue
        if letter in ("B", "S") or kind != open_kind:
            spans.append(Span(kind, index, index + 1))
        else:
            spans[-1] = spans[-1]._replace(end=index + 1)
        open_kind = None if letter in ("E", "S") else kind
    return spans


def common(a: Span, b: Span) -> int:
    """Number of common words of two spans; 0 for spans of different types."""
    return max(0, min(a.end, b.end) - max(a.first, b.first)) if a.kind == b.kind else 0


def exact(span: Span, others: Sequence[Span]) -> float:
    """1 if the span is one of the others, else 0."""
    return float(span in others)


def binary(span: Span, others: Sequence[Span]) -> float:
    """1 if the span overlaps one of the others, else 0."""
    return float(any(common(span, other) for other in others))


def proportional(span: Span, others: Sequence[Span]) -> float:
    """Fraction of the words of a span that are in one of the others, which are disjoint."""
    return sum(common(span, other) for other in others) / (span.end - span.first)


MATCHES: dict[str, Callable[[Span, Sequence[Span]], float]] = {
    "span": exact,
    "binary": binary,
    "proportional": proportional,
}


def span_scores(pairs: Iterable[tuple[Sequence[str], Sequence[str]]]) -> dict[str, float]:
    """Precision, recall and F1 for each of MATCHES, over pairs of (true tags, predicted tags).

    A mean over no spans is 0.
    """
    spans = [(spans_of(true), spans_of(predicted)) for true, predicted in pairs]
    scores = {}
    for name, match in MATCHES.items():
        precision = _mean([match(span, true) for true, predicted in spans for span in predicted])
        recall = _mean([match(span, predicted) for true, predicted in spans for span in true])
        scores[f"{name}_precision"] = precision
        scores[f"{name}_recall"] = recall
        scores[f"{name}_f1"] = 2 * precision * recall / ((precision + recall) or 1.0)
    return scores


def _mean(values: Sequence[float]) -> float:
    return sum(values) / (len(values) or 1)
