"""Captions of scenes of two coloured digits: a grammar, and which of its sentences are true."""

import re
from itertools import permutations

import numpy as np

COLOURS = {
    "red": (0.9, 0.1, 0.1),
    "green": (0.1, 0.75, 0.15),
    "blue": (0.15, 0.25, 0.95),
    "yellow": (0.95, 0.9, 0.1),
    "purple": (0.6, 0.1, 0.75),
    "orange": (1.0, 0.55, 0.05),
    "white": (1.0, 1.0, 1.0),
    "black": (0.0, 0.0, 0.0),
}
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
RELATIONS = ("above", "below", "left of", "right of")
TEMPLATES = (
    "{} {} {}",
    "{} is {} {}",
    "there is {} {} {}",
    "the picture shows {} {} {}",
)
APART = 12  # pixels between centres from which a relation holds
NOUN = f"(an? (?:{'|'.join(COLOURS)}) (?:{'|'.join(NUMBERS)}))"
SENTENCES = [
    re.compile(template.format(NOUN, f"({'|'.join(RELATIONS)})", NOUN)) for template in TEMPLATES
]


def noun(label: int, colour: int) -> str:
    """Return a digit in words, such as "a red three" or "an orange one"."""
    name = list(COLOURS)[colour]
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name} {NUMBERS[label]}"


def facts_of(
    boxes: np.ndarray, labels: np.ndarray, colours: np.ndarray
) -> list[tuple[str, str, str]]:
    """True statements (noun, relation, noun) about each ordered pair of digits.

    A relation holds when the centres are at least APART pixels from one another in its direction.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    nouns = [noun(label, colour) for label, colour in zip(labels, colours, strict=True)]
    facts = []
    for i, j in permutations(range(len(boxes)), 2):
        right, down = centres[j] - centres[i]
        holds = (down >= APART, -down >= APART, right >= APART, -right >= APART)
        facts += [
            (nouns[i], relation, nouns[j])
            for relation, true in zip(RELATIONS, holds, strict=True)
            if true
        ]
    return facts


def captions_of(boxes: np.ndarray, labels: np.ndarray, colours: np.ndarray) -> tuple[str, ...]:
    """Eight true captions of two digits, which are apart in at least one direction."""
    facts = facts_of(boxes, labels, colours)  # two, or four when apart in both directions
    templates = TEMPLATES if len(facts) == 2 else TEMPLATES[:2]
    return tuple(template.format(*fact) for template in templates for fact in facts)


def parse(caption: str) -> tuple[str, str, str] | None:
    """Statement (noun, relation, noun) of a caption; None when it is not grammatical.

    >>> parse("there is a red three above a blue seven")
    ('a red three', 'above', 'a blue seven')
    >>> parse("a red above a blue seven")
    """
    for sentence in SENTENCES:
        if found := sentence.fullmatch(caption):
            first, relation, second = found.groups()
            return first, relation, second
    return None
