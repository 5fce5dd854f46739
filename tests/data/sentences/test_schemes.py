"""Tagging schemes: which one some tags follow, and what it allows, by enumeration."""

from itertools import product

import pytest

from data.sentences.schemes import LETTERS, mark_spans, may_follow, scheme_of, violation


def encoded(scheme, spans, length):
    """Tags of disjoint spans (type, first, end), from the definition of each scheme."""
    tags = ["O"] * length
    begins = {first: kind for kind, first, _ in spans}
    ends = {end: kind for kind, _, end in spans}
    for kind, first, end in spans:
        words = ["I"] * (end - first)
        if scheme == "IOB2" or (scheme == "IOB1" and ends.get(first) == kind):
            words[0] = "B"
        if scheme == "IOE2" or (scheme == "IOE1" and begins.get(end) == kind):
            words[-1] = "E"
        if scheme in ("BIOES", "BILOU"):
            words = ["B", *words[2:], "E"] if len(words) > 1 else ["S"]
        if scheme == "BILOU":
            words = [{"E": "L", "S": "U"}.get(letter, letter) for letter in words]
        tags[first:end] = [f"{letter}-{kind}" for letter in words]
    return tags


def all_spans(length, first=0):
    """All sets of disjoint spans of two types in a sentence."""
    if first == length:
        yield []
        return
    yield from all_spans(length, first + 1)
    for end, kind in product(range(first + 1, length + 1), "XY"):
        for others in all_spans(length, end):
            yield [(kind, first, end), *others]


@pytest.mark.parametrize("scheme", LETTERS)
def test_a_scheme_allows_exactly_the_tags_of_spans(scheme):
    valid = {tuple(encoded(scheme, spans, 4)) for spans in all_spans(4)}
    names = ["O", *(f"{letter}-{kind}" for letter in LETTERS[scheme] for kind in "XY")]
    for tags in product(names, repeat=4):
        assert (violation(scheme, tags) is None) == (tags in valid)
    assert scheme_of([*valid]) == scheme


def test_letters_alone_other_tags_and_mixtures():
    assert scheme_of(["OBI", "BE", "S"]) == "BIOES"
    assert scheme_of([["O", "I-X"], ["B-X"]]) == "IOB2"  # violated like IOB1
    assert scheme_of([["I-X", "I-X"], ["I-X", "B-X"]], whole=False) == "IOB2"
    assert violation("IOB2", ["O", "I-X"], whole=False) == 1
    assert violation("BIOES", ["O", "B-X"]) == 1
    assert may_follow("IOB2", "B-X", "I-X")
    assert not may_follow("IOB2", "O", "I-X")
    assert not mark_spans(["INTJ", "O"])
    assert not mark_spans(["B-X", "E-X", "L-X"])
    assert scheme_of([["NOUN", "O"]]) == ""
    assert scheme_of([["O"]]) == "IOB2"
