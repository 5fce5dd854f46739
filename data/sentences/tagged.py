"""Tagged sentences: a tag for each word, or for each character, from files in their usual forms.

Tags of spans are B-TYPE at the first word of a span, I-TYPE at its others, O outside; without types
B, I, O.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from ..catalogue import DataError, load_splits, nearest
from ..text.corpus import SPLITS, read_lines
from ..text.words import split_files, the_file
from .python_tokens import pieces

FORMS = "python_tokens, conll:FOLDER, conllu:FOLDER, spans:FOLDER or a prepared dataset with upos"
WORD = re.compile(
    r"""
    \w+?(?=n['’]t\b) | n['’]t\b | ['’](?:s|m|d|re|ve|ll)\b  # do n't, cat 's
    | \w+(?:[-.,:/@]\w+)* | \.\.+ | --+ | [^\w\s]
    """,
    re.IGNORECASE | re.VERBOSE,
)


class Sentence(NamedTuple):
    """Words and the tag of each; a text that is tagged by characters is its own words."""

    words: Sequence[str]
    tags: Sequence[str]


@dataclass(frozen=True)
class TaggedCorpus:
    """Sentences of each split. by_character: a word is a character; notes: how it was made."""

    train: Sequence[Sentence]
    validation: Sequence[Sentence]
    test: Sequence[Sentence]
    by_character: bool = False
    notes: dict[str, str] = field(default_factory=dict)

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """Tags of training and validation, sorted; of spans, O and then B and I of each type.

        Raises DataError when the test has another one.
        """
        known = {tag for part in (self.train, self.validation) for _, tags in part for tag in tags}
        if is_bio(known):
            types = sorted({tag[1:] for tag in known if tag != "O"})
            ordered = ("O", *(f"{mark}{kind}" for kind in types for mark in "BI"))
        else:
            ordered = tuple(sorted(known))
        for number, (_, tags) in enumerate(self.test, 1):
            for tag in set(tags) - set(ordered):
                raise DataError(
                    f"sentence {number} of the test has tag {tag!r}{nearest(tag, ordered)}, "
                    f"which training has not; it has {', '.join(ordered)}"
                )
        return ordered

    @cached_property
    def sha256(self) -> str:
        """Hex digest of all splits, a line a word with its tag, an empty line after sentences."""
        digest = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            for sentence in split:
                lines = (f"{word}\t{tag}\n" for word, tag in zip(*sentence, strict=True))
                digest.update("".join(lines).encode() + b"\n")
            digest.update(b"\n")
        return digest.hexdigest()


def split_words(line: str) -> list[str]:
    """Words and marks of a line, the way of treebanks: "don't" is do n't, "cat's" is cat 's."""
    return WORD.findall(line)


def is_bio(tags: Iterable[str]) -> bool:
    """True when all tags are O, B, I or begin with B- or I-."""
    return all(tag in ("O", "B", "I") or tag[:2] in ("B-", "I-") for tag in tags)


def load_tagged(
    name: str, data_dir: str = "", column: int = 0, count: int = 8000, length: int = 128
) -> TaggedCorpus:
    """Corpus of a name.

    `conll:FOLDER`, `conllu:FOLDER` and `spans:FOLDER` hold one file each with train, valid (or
    dev) and test in its name; without a file for it, validation is the last tenth of train.
    column: that of the tag in `conll:`, from 1; 0: the last. A dataset of the catalogue must have
    tokens and upos. `python_tokens`: `count` pieces of `length` characters to train on, an eighth
    as many in each other split. Raises DataError when there is no such corpus, when a line has no
    tag, or when a split has no sentence.
    """
    form, _, rest = name.partition(":")
    notes: dict[str, str] = {}
    if name == "python_tokens":
        sizes = dict(zip(SPLITS, (count, -(-count // 8), -(-count // 8)), strict=True))
        parts = [[Sentence(*piece) for piece in part] for part in pieces(sizes, length).values()]
    elif form in READERS and rest:
        parts = _folder(form, Path(rest).expanduser(), column, notes)
    elif not rest and form not in READERS:
        parts = _prepared(name, data_dir)
    else:
        hint = "" if form in READERS else nearest(form, READERS)
        raise DataError(f"there is no tagged text {name!r}{hint}; give {FORMS}")
    for split, part in zip(SPLITS, parts, strict=True):
        if not part:
            raise DataError(f"the {split} split of {name} has no sentence")
    train, validation, test = parts
    return TaggedCorpus(train, validation, test, name == "python_tokens", notes)


def _folder(form: str, folder: Path, column: int, notes: dict[str, str]) -> list[list[Sentence]]:
    def read(split: str) -> list[Sentence]:
        return list(READERS[form](the_file(folder, form, split), column))

    train, test = read("train"), read("test")
    if split_files(folder, form)["validation"]:
        return [train, read("validation"), test]
    notes["validation"] = "the last tenth of train"
    bound = len(train) - len(train) // 10
    return [train[:bound], train[bound:], test]


def _prepared(name: str, data_dir: str) -> list[list[Sentence]]:
    splits = load_splits(name, data_dir)
    found = []
    for names in (["train"], ["validation", "dev"], ["test"]):
        source = next((splits[split] for split in names if split in splits), None)
        if source is None:
            raise DataError(f"dataset {name} has splits {sorted(splits)}, tags need {names[-1]}")
        features = source.dataset_info.features
        if not {"tokens", "upos", "head"} <= set(features):
            raise DataError(f"dataset {name} has no tokens, upos and head to tag words with")
        tags = features["upos"].feature.names
        elements = source.__getitems__(list(range(len(source))))
        found.append([_words_of(element, tags) for element in elements])
    return found


def _words_of(element: dict, tags: Sequence[str]) -> Sentence:
    """Words of a sentence of Universal Dependencies: what stands in its tree.

    Multiword tokens, whose words follow them, and words that were left out have no head.
    """
    columns = zip(element["tokens"], element["upos"], element["head"], strict=True)
    pairs = [(token.decode(), tags[tag]) for token, tag, head in columns if head.isdigit()]
    return Sentence([word for word, _ in pairs], [tag for _, tag in pairs])


Line = tuple[int, str]  # its number from 1, and its text


def _blocks(path: Path, comment: str) -> Iterator[list[Line]]:
    """Lines of each sentence of a file with empty lines between them, comments left out."""
    lines = [pair for pair in enumerate(read_lines(path), 1) if not pair[1].startswith(comment)]
    for full, block in groupby(lines, key=lambda pair: bool(pair[1].strip())):
        if full:
            yield list(block)


def read_columns(path: Path, column: int) -> Iterator[Sentence]:
    """Sentences of a CoNLL file: a word a line, then its columns; the tag's from 1, 0: the last.

    Every line has as many columns as the first one. Lines that begin with -DOCSTART- are left out.
    """
    count = 0
    for block in _blocks(path, "-DOCSTART-"):
        rows = [(number, line.split()) for number, line in block]
        count = count or max(2, column, len(rows[0][1]))
        for number, row in rows:
            if len(row) != count:
                raise DataError(f"line {number} of {path} has {len(row)} columns, not {count}")
        yield Sentence([row[0] for _, row in rows], [row[column - 1] for _, row in rows])


def read_conllu(path: Path, _column: int) -> Iterator[Sentence]:
    """Sentences of a CoNLL-U file with their UPOS tags.

    Multiword tokens (1-2) and empty nodes (1.1) are left out: their words have lines of their own,
    or none in the text.
    """
    for block in _blocks(path, "#"):
        pairs = []
        for number, line in block:
            row = line.split("\t")
            if len(row) != 10:
                raise DataError(f"line {number} of {path} has {len(row)} columns, 10 are needed")
            if row[0].isdigit():
                pairs.append((row[1], row[3]))
        if not pairs:
            raise DataError(f"the sentence at line {block[0][0]} of {path} has no word")
        yield Sentence([word for word, _ in pairs], [tag for _, tag in pairs])


def read_spans(path: Path, _column: int) -> Iterator[Sentence]:
    """Sentences of lines "text####word=TAG word=TAG ...", TAG O or T-POLARITY, as B, I, O.

    A run of words with the same polarity is a span.
    """
    for number, line in enumerate(read_lines(path), 1):
        pairs = [item.rpartition("=") for item in line.rpartition("####")[2].split()]
        if not pairs:
            raise DataError(f"line {number} of {path} has no word")
        for _, equals, tag in pairs:
            if not equals or not (tag == "O" or tag.startswith("T-")):
                raise DataError(f"line {number} of {path} has a word with tag {tag!r}, not O or T-")
        runs = groupby(tag for _, _, tag in pairs)
        marks: list[str] = []
        for tag, run in runs:
            length = len(list(run))
            marks += ["O"] * length if tag == "O" else ["B", *["I"] * (length - 1)]
        yield Sentence([word for word, _, _ in pairs], marks)


READERS = {"conll": read_columns, "conllu": read_conllu, "spans": read_spans}
