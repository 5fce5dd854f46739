"""N-gram models in ARPA files, the text format of KenLM, SRILM and others.

    \\data\\
    ngram 1=3

    \\1-grams:
    -0.5<tab>word<tab>-0.3
    ...
    \\end\\

A line has log10 of a probability, the words, separated by spaces, and log10 of the backoff weight
of the words as a context; a missing weight is 0. `nets.language.backoff` describes the model.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..catalogue import DataError
from .line_files import fields_of, read_lines

BEGIN, END = "<s>", "</s>"
NEVER = -99.0  # log10 of the probability of BEGIN, which is only a context
LOG10 = float(np.log(10))

# of the k-grams of an order: words int [G, k]; log p and log b, float64 [G], in nats
Level = tuple[np.ndarray, np.ndarray, np.ndarray]
Row = tuple[list[str], float, float]  # words, log10 p, log10 b


class Arpa(NamedTuple):
    """A model: its words, its n-grams by order from 1 up, and the id of END, None without it.

    One id stands for both <s>, as the first word of an n-gram, and </s>, as the last one.
    """

    words: tuple[str, ...]
    levels: list[Level]
    end: int | None


def write_arpa(
    path: Path, words: Sequence[str], levels: Sequence[Level], end: int | None = None
) -> None:
    """Write the n-grams of `levels`, whose ids index `words`.

    end: id of the end of a sentence, written as </s> at the end of an n-gram and as <s> before
    other words; None: there is none. Raises DataError when a word is not one field of a line, or
    the file cannot be written.
    """
    reserved = set() if end is None else {BEGIN, END}
    for i, word in enumerate(words):
        if i != end and (word in reserved or not re.fullmatch(r"[^ \t\r\n]+", word)):
            raise DataError(f"the word {word!r} cannot be written into an ARPA file")
    names = [END if i == end else word for i, word in enumerate(words)]
    lines = ["\\data\\"]
    sizes = [len(grams) for grams, _, _ in levels]
    sizes[0] += end is not None
    lines += [f"ngram {k}={size}" for k, size in enumerate(sizes, 1)]
    for k, (grams, log_probs, backoffs) in enumerate(levels, 1):
        lines += ["", f"\\{k}-grams:"]
        values = zip(grams.tolist(), log_probs / LOG10, backoffs / LOG10, strict=True)
        for ids, p, b in values:
            weight = f"\t{b:.8g}" if b else ""
            if ids == [end]:
                lines += [f"{NEVER:g}\t{BEGIN}{weight}", f"{p:.8g}\t{END}"]
            else:
                before = [BEGIN if i == end else names[i] for i in ids[:-1]]
                lines.append(f"{p:.8g}\t{' '.join([*before, names[ids[-1]]])}{weight}")
    try:
        path.write_text("\n".join([*lines, "", "\\end\\", ""]), encoding="utf-8", newline="\n")
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from None


def read_arpa(path: Path) -> Arpa:
    """Read an ARPA file, plain or gzipped; the ids of words follow their order in the file.

    Raises DataError when the file cannot be read or is malformed.
    """
    sections = _sections(path)
    unigrams = [words[0] for words, _, _ in sections[0]]
    both = {BEGIN, END} <= set(unigrams)
    names = [word for word in unigrams if not (both and word == BEGIN)]
    index = {word: i for i, word in enumerate(names)}
    if len(index) < len(names):
        raise DataError(f"{path} has a word twice")
    if both:
        index[BEGIN] = index[END]
        _merge(sections[0])
    levels = []
    for section in sections:
        for words, _, _ in section:
            if outside := [word for word in words if word not in index]:
                raise DataError(f"{path} has the word {outside[0]!r} only in {' '.join(words)!r}")
            if both and (BEGIN in words[1:] or END in words[:-1]):
                raise DataError(f"{' '.join(words)!r} in {path} is in no sentence")
        rows = [[index[word] for word in words] for words, _, _ in section]
        p, b = (np.array([row[i] for row in section], float) * LOG10 for i in (1, 2))
        levels.append((np.array(rows, np.int64), p, b))
    return Arpa(tuple(names), levels, index[END] if both else None)


def _sections(path: Path) -> list[list[Row]]:
    """The n-grams of each order of a file; DataError when it is malformed."""
    sizes: list[int] = []
    sections: list[list[Row]] = []
    found = ""
    for number, line in enumerate(read_lines(path), 1):
        if header := re.fullmatch(r"\s*ngram\s+(\d+)\s*=\s*(\d+)\s*", line):
            sizes.append(int(header[2]))
        elif line.startswith("\\"):
            found = line.strip()
            if found == "\\end\\":
                break
            sections += [[]] if found != "\\data\\" else []
            if found not in ("\\data\\", f"\\{len(sections)}-grams:"):
                raise DataError(f"line {number} of {path} is {found}, not the next order")
        elif line.strip() and sections:
            try:
                sections[-1].append(_parse(line, len(sections)))
            except ValueError:
                raise DataError(
                    f"line {number} of {path} is not log10 p, {len(sections)} words and a weight: "
                    f"{line[:60]!r}"
                ) from None
    counts = [*map(len, sections)]
    if found != "\\end\\" or counts != sizes or not all(sizes) or not sizes:
        raise DataError(
            f"{path} is not a complete ARPA file: it announces {sizes} n-grams by order "
            f"and has {counts}"
        )
    return sections


def _parse(line: str, order: int) -> Row:
    """Words, log10 p and log10 b of a line; ValueError when it has another form."""
    cells = line.rstrip(" \t").split("\t")
    if len(cells) == 1:
        fields = fields_of(line)
        cells = [fields[0], " ".join(fields[1 : order + 1]), *fields[order + 1 :]]
    words = fields_of(cells[1]) if len(cells) in (2, 3) else []
    if len(words) != order:
        raise ValueError
    return words, float(cells[0]), float(cells[2]) if len(cells) == 3 else 0.0


def _merge(unigrams: list[Row]) -> None:
    """Make one entry of <s>, which has the weight, and </s>, which has the probability."""
    begin = next(row for row in unigrams if row[0] == [BEGIN])
    unigrams.remove(begin)
    place = next(i for i, row in enumerate(unigrams) if row[0] == [END])
    unigrams[place] = unigrams[place][0], unigrams[place][1], begin[2]
