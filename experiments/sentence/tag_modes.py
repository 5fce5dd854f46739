"""--mode=tag: tag a text, and print it in colour or in columns."""

import sys
from collections.abc import Sequence

from data.sentences.schemes import mark_spans, split_tag
from experiments.common.stdin import texts_of_input
from experiments.sentence.spans import spans_of
from experiments.sentence.tagging import Tag
from train.trained import TrainedRun

COLOURS = (34, 31, 32, 35, 36, 33, 94, 91, 92, 95, 96, 93)  # foreground codes of ECMA-48
UNDERLINED, FAINT = 4, 2


def tag(run: TrainedRun) -> None:
    """Tag the text of standard input.

    Tags are printed in colour on a terminal, otherwise in columns.
    """
    task: Tag = run.task
    vocabularies, in_colour = task.vocabularies, sys.stdout.isatty()
    for lines in texts_of_input():
        for words, tags in task.tag_text(run.predict, "\n".join(lines)):
            if in_colour:
                by_character = vocabularies.by_character
                print(coloured(words, tags, vocabularies.tags, by_character), flush=True)
            elif vocabularies.by_character:
                print("".join(span_lines(words, tags)), end="", flush=True)
            else:
                rows = (f"{word}\t{name}\n" for word, name in zip(words, tags, strict=True))
                print("".join(rows), flush=True)


def coloured(
    words: Sequence[str], tags: Sequence[str], names: Sequence[str], by_character: bool
) -> str:
    """Text in the colours of its tags: each word or underlined span is followed by its tag."""
    spans = mark_spans(names)
    inside = [name for name in names if name != "O"]
    kinds = list(dict.fromkeys(split_tag(name)[1] if spans else name for name in inside))
    if not spans:
        tagged = zip(words, tags, strict=True)
        return " ".join(
            _code(word, _colour(kinds, name)) + _code(f"/{name}", FAINT) for word, name in tagged
        )
    separator, end = "" if by_character else " ", 0
    pieces: list[str] = []
    for span in spans_of(tags):
        pieces += words[end : span.first]
        text = separator.join(words[span.first : span.end])
        colour = _colour(kinds, span.kind)
        lines = [_code(line, UNDERLINED, colour) if line else "" for line in text.split("\n")]
        pieces.append("\n".join(lines) + _label(span.kind))
        end = span.end
    return separator.join([*pieces, *words[end:]])


def span_lines(words: Sequence[str], tags: Sequence[str]) -> list[str]:
    """One line per span of characters: line:column from 1, the type, and the text in quotes."""
    text = "".join(words)
    rows = []
    for span in spans_of(tags):
        line = text.count("\n", 0, span.first) + 1
        column = span.first - (text.rfind("\n", 0, span.first) + 1) + 1
        rows.append(f"{line}:{column}\t{span.kind}\t{text[span.first : span.end]!r}\n")
    return rows


def _label(kind: str) -> str:
    """Suffix with the type of a span, since not everybody can tell the colours apart."""
    return _code(f"/{kind}", FAINT) if kind else ""


def _colour(kinds: Sequence[str], kind: str) -> int:
    return COLOURS[kinds.index(kind) % len(COLOURS)]


def _code(text: str, *codes: int) -> str:
    return f"\033[{';'.join(map(str, codes))}m{text}\033[0m"
