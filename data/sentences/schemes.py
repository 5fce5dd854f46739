"""Tagging schemes: how the tags of words mark spans.

A tag is O outside of spans; inside, a letter and the type of the span, as in B-LOC, or the letter
alone. Each scheme marks the same spans in another way:

    IOB2    B begins every span; its other words are I
    IOB1    the words of a span are I; B only begins a span right after another one of its type
    IOE2    E ends every span; its other words are I
    IOE1    the words of a span are I; E only ends a span right before another one of its type
    BIOES   B begins and E ends a span of several words, with I between them; S is a span of one
    BILOU   BIOES with the letters L for E and U for S

Sources: Ramshaw and Marcus 1995; Tjong Kim Sang and Veenstra 1999; Ratinov and Roth 2009.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

LETTERS = {"IOB1": "BI", "IOB2": "BI", "IOE1": "IE", "IOE2": "IE", "BIOES": "BIES", "BILOU": "BILU"}
OUTSIDE = "O"
SYNONYMS = {"L": "E", "U": "S"}


@lru_cache(maxsize=4096)
def split_tag(tag: str) -> tuple[str, str]:
    """Letter and type of a tag, L and U as E and S; ("", the tag) for one that marks no span.

    >>> split_tag("B-LOC"), split_tag("U"), split_tag("O"), split_tag("NOUN")
    (('B', 'LOC'), ('S', ''), ('O', ''), ('', 'NOUN'))
    """
    letter, dash, kind = tag[:1], tag[1:2], tag[2:]
    if tag == OUTSIDE:
        return OUTSIDE, ""
    if letter and letter in "BIESLU" and dash in ("", "-"):
        return SYNONYMS.get(letter, letter), kind
    return "", tag


def wrong_tags(tags: Iterable[str]) -> set[str]:
    """Tags that do not fit the others, if all of them are supposed to mark spans.

    >>> wrong_tags(["O", "B-X", "b-X"]), wrong_tags(["O", "S-X", "U-X"])
    ({'b-X'}, {'U-X'})
    """
    found = set(tags)
    wrong = {tag for tag in found if not split_tag(tag)[0]}
    if any(tag[0] in "ES" for tag in found - wrong):
        wrong |= {tag for tag in found - wrong if tag[0] in "LU"}
    return wrong


def mark_spans(tags: Iterable[str]) -> bool:
    """Whether all tags are those of one scheme."""
    return not wrong_tags(tags)


def scheme_of(sentences: Sequence[Sequence[str]], whole: bool = True) -> str:
    """Scheme of the tags of sentences, "" if they do not mark spans.

    If the letters fit two schemes, the result is the first that no sentence violates, or IOB2 or
    IOE2 if there is none. whole: whether no sentence begins or ends inside a span.
    """
    found = {tag for tags in sentences for tag in tags}
    if not mark_spans(found):
        return ""
    letters = {tag[0] for tag in found}
    if letters & {"L", "U"}:
        return "BILOU"
    if "S" in letters or {"B", "E"} <= letters:
        return "BIOES"
    candidates = ("IOE2", "IOE1") if "E" in letters else ("IOB2", "IOB1")
    for scheme in candidates:
        if all(violation(scheme, tags, whole) is None for tags in sentences):
            return scheme
    return candidates[0]


@lru_cache(maxsize=65536)
def may_follow(scheme: str, previous: str, tag: str) -> bool:
    """Whether a scheme allows a tag after another one; before and after a sentence, tags are O."""
    (before, old), (after, new) = split_tag(previous), split_tag(tag)
    same = OUTSIDE not in (before, after) and old == new
    if scheme.startswith("IO"):
        marked = {"IOB1": after != "B", "IOB2": after != "I"}
        marked |= {"IOE1": before != "E", "IOE2": before != "I"}
        return same or marked[scheme]
    is_open, goes_on = before in ("B", "I"), after in ("I", "E")
    return is_open == goes_on and (same or not is_open)


def violation(scheme: str, tags: Sequence[str], whole: bool = True) -> int | None:
    """Index of the first tag that a scheme does not allow at its place; None if there is none.

    A span that the sentence leaves open is reported at the last tag. whole: as for `scheme_of`.
    """
    previous = OUTSIDE if whole else None
    for index, tag in enumerate(tags):
        if previous is not None and not may_follow(scheme, previous, tag):
            return index
        previous = tag
    if whole and tags and not may_follow(scheme, tags[-1], OUTSIDE):
        return len(tags) - 1
    return None


def tag_set(scheme: str, tags: Iterable[str]) -> tuple[str, ...]:
    """O, then the tags of each type in `tags` with every letter of the scheme, types sorted.

    >>> tag_set("IOB2", ["B-X", "I-Y"])
    ('O', 'B-X', 'I-X', 'B-Y', 'I-Y')
    """
    types = sorted({tag[1:] for tag in tags if tag != OUTSIDE})
    return (OUTSIDE, *(letter + kind for kind in types for letter in LETTERS[scheme]))
