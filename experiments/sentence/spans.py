"""How well spans are found: exact matches, and overlaps as Irsoy and Cardie count them.

A span is what B-TYPE begins and I-TYPE goes on with. I-TYPE after O, or after another type, begins
a span as well, as in conlleval, the script of the CoNLL shared tasks.

    exact          a span is right when one with its type, first and last word is in the other set
    binary         a span is right when it has a word in common with one of its type
    proportional   a span is right by the share of its words in common with those of its type

Precision is the mean over the spans that were found, recall over those that there are, F1 their
harmonic mean. Source of the overlaps: Irsoy and Cardie, "Opinion mining with deep recurrent neural
networks", 2014, after Breck, Choi and Cardie 2007 and Johansson and Moschitti 2010.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """Words first to end - 1 of a sentence."""

    kind: str
    first: int
    end: int


def spans_of(tags: Sequence[str]) -> list[Span]:
    """Spans of the tags of a sentence: O, B-TYPE, I-TYPE, or B, I."""
    found: list[Span] = []
    before = "O"
    for place, tag in enumerate(tags):
        if tag[0] == "I" and before != "O" and tag[1:] == before[1:]:
            found[-1] = found[-1]._replace(end=place + 1)
        elif tag != "O":
            found.append(Span(tag[2:], place, place + 1))
        before = tag
    return found


def common(a: Span, b: Span) -> int:
    """Words that two spans of one type have in common; 0 for spans of different types."""
    return max(0, min(a.end, b.end) - max(a.first, b.first)) if a.kind == b.kind else 0


def exact(span: Span, others: Sequence[Span]) -> float:
    """1 when the span is among the others."""
    return float(span in others)


def binary(span: Span, others: Sequence[Span]) -> float:
    """1 when the span overlaps one of the others."""
    return float(any(common(span, other) for other in others))


def proportional(span: Span, others: Sequence[Span]) -> float:
    """Share of the words of a span that are in one of the others, none of which overlap."""
    return sum(common(span, other) for other in others) / (span.end - span.first)


MATCHES: dict[str, Callable[[Span, Sequence[Span]], float]] = {
    "span": exact,
    "binary": binary,
    "proportional": proportional,
}


def span_scores(pairs: Iterable[tuple[Sequence[str], Sequence[str]]]) -> dict[str, float]:
    """Precision, recall and F1 of every kind of match, over pairs (true tags, tags found).

    Each is 0 where it would be the mean of nothing.
    """
    spans = [(spans_of(true), spans_of(found)) for true, found in pairs]
    scores = {}
    for name, match in MATCHES.items():
        precision = _mean([match(span, true) for true, found in spans for span in found])
        recall = _mean([match(span, found) for true, found in spans for span in true])
        scores[f"{name}_precision"] = precision
        scores[f"{name}_recall"] = recall
        scores[f"{name}_f1"] = 2 * precision * recall / ((precision + recall) or 1.0)
    return scores


def _mean(values: Sequence[float]) -> float:
    return sum(values) / (len(values) or 1)
