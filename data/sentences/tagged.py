"""Tagged sentences, with a tag for each word or each character, from the usual file formats.

Span tags are B-TYPE for the first word of a span, I-TYPE for its other words and O outside spans;
without types they are B, I, O.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import regex  # its \w includes combining marks and joiners

from ..catalogue import DataError, load_splits, nearest, unknown_dataset
from ..forms.files import split_files
from ..text.corpus import SPLITS
from ..text.line_files import read_lines
from ..text.words import find_split_file
from .python_tokens import pieces

FORMS = ("python_tokens", "conll:FOLDER", "conllu:FOLDER", "spans:FOLDER")
WORD = regex.compile(
    r"""
    \w+?(?=n['’]t\b) | n['’]t\b | ['’](?:s|m|d|re|ve|ll)\b  # do n't, cat 's
    | \w+(?:[-.,:/@]\w+)* | \.\.+ | --+ | [^\w\s]
    """,
    regex.IGNORECASE | regex.VERBOSE,
)


class Sentence(NamedTuple):
    """Words and their tags; in a text tagged by characters each character is a word."""

    words: Sequence[str]
    tags: Sequence[str]


@dataclass(frozen=True)
class TaggedCorpus:
    """Sentences of each split. by_character: words are characters. notes: how splits were made."""

    train: Sequence[Sentence]
    validation: Sequence[Sentence]
    test: Sequence[Sentence]
    by_character: bool = False
    notes: dict[str, str] = field(default_factory=dict)

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """Sorted tags of training and validation; for spans O, then B and I of each type.

        Raises DataError when the test has another tag.
        """
        known = {
            tag for split in (self.train, self.validation) for _, tags in split for tag in tags
        }
        if is_bio(known):
            types = sorted({tag[1:] for tag in known if tag != "O"})
            ordered = ("O", *(f"{prefix}{kind}" for kind in types for prefix in "BI"))
        else:
            ordered = tuple(sorted(known))
        for number, (_, tags) in enumerate(self.test, 1):
            for tag in set(tags) - set(ordered):
                raise DataError(
                    f"sentence {number} of the test has the unknown tag {tag!r}"
                    f"{nearest(tag, ordered)}; tags of the training data: {', '.join(ordered)}"
                )
        return ordered

    @cached_property
    def sha256(self) -> str:
        """Hex digest of all splits: a line per word and tag, an empty line after each sentence."""
        digest = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            for sentence in split:
                lines = (f"{word}\t{tag}\n" for word, tag in zip(*sentence, strict=True))
                digest.update("".join(lines).encode() + b"\n")
            digest.update(b"\n")
        return digest.hexdigest()


def split_words(line: str) -> list[str]:
    """Words and punctuation of a line, as in treebanks: "don't" is do n't, "cat's" is cat 's."""
    return WORD.findall(line)


def is_bio(tags: Iterable[str]) -> bool:
    """Whether all tags are O, B or I, or begin with B- or I-."""
    return all(tag in ("O", "B", "I") or tag[:2] in ("B-", "I-") for tag in tags)


def load_tagged(
    name: str, data_dir: str = "", column: int = 0, count: int = 8000, length: int = 128
) -> TaggedCorpus:
    """Corpus by name.

    `conll:FOLDER`, `conllu:FOLDER` and `spans:FOLDER` have one file each with train, valid (or dev)
    and test in its name; without a validation file, validation is the last tenth of train. column:
    column of the tag in `conll:`, from 1; 0: the last. A dataset of the catalogue must have tokens
    and upos. `python_tokens`: `count` training pieces of `length` characters, and an eighth as many
    in each of the other splits. Raises DataError when there is no such corpus, when a line has no
    tag, or when a split has no sentences.
    """
    form, _, rest = name.partition(":")
    notes: dict[str, str] = {}
    if name == "python_tokens":
        sizes = dict(zip(SPLITS, (count, -(-count // 8), -(-count // 8)), strict=True))
        splits = [[Sentence(*piece) for piece in split] for split in pieces(sizes, length).values()]
    elif form in READERS and rest:
        splits = _read_folder(form, Path(rest).expanduser(), column, notes)
    elif not rest and form not in READERS:
        splits = _read_prepared(name, data_dir)
    else:
        raise unknown_dataset(name, FORMS)
    for split, sentences in zip(SPLITS, splits, strict=True):
        if not sentences:
            raise DataError(f"the {split} split of {name} has no sentences")
    train, validation, test = splits
    return TaggedCorpus(train, validation, test, name == "python_tokens", notes)


def _read_folder(
    form: str, folder: Path, column: int, notes: dict[str, str]
) -> list[list[Sentence]]:
    def read(split: str) -> list[Sentence]:
        return list(READERS[form](find_split_file(folder, form, split), column))

    train, test = read("train"), read("test")
    if split_files(folder, form)["validation"]:
        return [train, read("validation"), test]
    notes["validation"] = "the last tenth of train"
    count = len(train) - len(train) // 10
    return [train[:count], train[count:], test]


def _read_prepared(name: str, data_dir: str) -> list[list[Sentence]]:
    sources = load_splits(name, data_dir, FORMS)
    splits = []
    for names in (["train"], ["validation", "dev"], ["test"]):
        source = next((sources[split] for split in names if split in sources), None)
        if source is None:
            raise DataError(
                f"dataset {name} has splits {sorted(sources)}; a tagged text needs {names[-1]}"
            )
        features = source.dataset_info.features
        if not {"tokens", "upos", "head"} <= set(features):
            raise DataError(f"dataset {name} is not a treebank with tokens, upos and head")
        tags = features["upos"].feature.names
        elements = source.__getitems__(list(range(len(source))))
        splits.append([_tree_words(element, tags) for element in elements])
    return splits


def _tree_words(element: dict, tags: Sequence[str]) -> Sentence:
    """Words of a sentence of Universal Dependencies that belong to its tree.

    Multiword tokens, which precede their words, and omitted words have no head.
    """
    columns = zip(element["tokens"], element["upos"], element["head"], strict=True)
    pairs = [(token.decode(), tags[tag]) for token, tag, head in columns if head.isdigit()]
    return Sentence([word for word, _ in pairs], [tag for _, tag in pairs])


Line = tuple[int, str]  # number from 1, and text


def _sentence_lines(path: Path, comment: str) -> Iterator[list[Line]]:
    """Lines of each sentence of a file, without comments; empty lines separate sentences."""
    lines = [pair for pair in enumerate(read_lines(path), 1) if not pair[1].startswith(comment)]
    for has_text, block in groupby(lines, key=lambda pair: bool(pair[1].strip())):
        if has_text:
            yield list(block)


def read_columns(path: Path, column: int) -> Iterator[Sentence]:
    """Sentences of a CoNLL file: one word per line, in its first column.

    column: column of the tag, from 1; 0: the last. All lines must have as many columns as the first
    one; lines that begin with -DOCSTART- are skipped.
    """
    count = 0
    for block in _sentence_lines(path, "-DOCSTART-"):
        rows = [(number, line.split()) for number, line in block]
        count = count or max(2, column, len(rows[0][1]))
        for number, row in rows:
            if len(row) != count:
                raise DataError(f"line {number} of {path} has {len(row)} columns, not {count}")
        yield Sentence([row[0] for _, row in rows], [row[column - 1] for _, row in rows])


def read_conllu(path: Path, _column: int) -> Iterator[Sentence]:
    """Sentences of a CoNLL-U file with their UPOS tags.

    Multiword tokens (1-2) are skipped because their words have separate lines, and empty nodes
    (1.1) because they are not in the text.
    """
    for block in _sentence_lines(path, "#"):
        pairs = []
        for number, line in block:
            row = line.split("\t")
            if len(row) != 10:
                raise DataError(f"line {number} of {path} has {len(row)} columns, not 10")
            if row[0].isdigit():
                pairs.append((row[1], row[3]))
        if not pairs:
            raise DataError(f"the sentence at line {block[0][0]} of {path} has no words")
        yield Sentence([word for word, _ in pairs], [tag for _, tag in pairs])


def read_spans(path: Path, _column: int) -> Iterator[Sentence]:
    """Sentences of lines "text####word=TAG word=TAG ..." with TAG O or T-POLARITY, as B, I, O.

    Consecutive words with the same polarity form a span.
    """
    for number, line in enumerate(read_lines(path), 1):
        pairs = [item.rpartition("=") for item in line.rpartition("####")[2].split()]
        if not pairs:
            raise DataError(f"line {number} of {path} has no words")
        for _, equals, tag in pairs:
            if not equals or not (tag == "O" or tag.startswith("T-")):
                raise DataError(f"line {number} of {path} has the tag {tag!r}, not O or T-POLARITY")
        runs = groupby(tag for _, _, tag in pairs)
        tags: list[str] = []
        for tag, run in runs:
            length = len(list(run))
            tags += ["O"] * length if tag == "O" else ["B", *["I"] * (length - 1)]
        yield Sentence([word for word, _, _ in pairs], tags)


READERS = {"conll": read_columns, "conllu": read_conllu, "spans": read_spans}
