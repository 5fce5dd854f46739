"""Labelled sentences: from files per class, tables, labelled trees, or Python's documentation.

A sentence is a list of words in lower case.
"""

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..catalogue import TABLES, DataError, is_table, load_splits, unknown_dataset
from ..forms.folders import files_in
from ..text.corpus import SPLITS
from ..text.line_files import read_lines
from ..text.words import find_split_file
from .tagged import split_words

FORMS = ("packages", "lines:FOLDER", "trees:FOLDER", *TABLES)
FOLDS = 10
SENTIMENTS = ("very negative", "negative", "neutral", "positive", "very positive")
ESCAPES = {"-lrb-": "(", "-rrb-": ")"}  # of the Penn Treebank, in lower case

# `packages`: least numbers of files and paragraphs of a class, and the words of a paragraph
FILES, PARAGRAPHS, WORDS = 10, 400, range(4, 101)


class LabelledSentence(NamedTuple):
    """A sentence and the index of its class."""

    words: list[str]
    label: int


@dataclass(frozen=True)
class SentimentCorpus:
    """Sentences of each split, and the names of the classes."""

    train: Sequence[LabelledSentence]
    validation: Sequence[LabelledSentence]
    test: Sequence[LabelledSentence]
    classes: tuple[str, ...]

    @cached_property
    def sha256(self) -> str:
        """Hex digest of all splits: a line per sentence and class, an empty line after a split."""
        digest = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            lines = (f"{self.classes[label]}\t{' '.join(words)}\n" for words, label in split)
            digest.update("".join(lines).encode() + b"\n")
        return digest.hexdigest()


def load_sentiment(
    name: str, data_dir: str = "", *, seed: int = 0, fold: int = 0, phrases: bool = False
) -> SentimentCorpus:
    """Corpus by name.

    `lines:FOLDER` has one file per class with a sentence per line, words between spaces, in UTF-8
    or Windows-1252: files of the same name with different endings (rt-polarity.neg,
    rt-polarity.pos), else its .txt files. Fold 0 to 9, a tenth of the sentences, is the test; a
    tenth of the others, chosen by `seed`, is validation. `trees:FOLDER` has train, dev and test
    files with a bracketed tree per line and labels 0 to 4 (the Stanford Sentiment Treebank);
    phrases: train on all subtrees instead of whole trees. `packages`: paragraphs of the
    documentation of Python's standard library, labelled by package; no file is in two splits. A
    table (`TABLES`) has the columns text and label; sets that are missing are made by a hash of the
    text, see `complete`. Raises DataError when there is no such corpus or a line is malformed.
    """
    form, _, rest = name.partition(":")
    folder = Path(os.path.expanduser(rest))
    if form == "lines" and rest:
        return _split_folds(*_read_classes(folder), seed, fold)
    if form == "trees" and rest:
        trees = [list(_read_trees(find_split_file(folder, form, split))) for split in SPLITS]
        for split, of_split in zip(SPLITS, trees, strict=True):
            if not of_split:
                raise DataError(f"the {split} split of {folder} has no trees")
        whole = [[tree[-1] for tree in of_split] for of_split in trees]
        train = [phrase for tree in trees[0] for phrase in tree] if phrases else whole[0]
        return SentimentCorpus(train, whole[1], whole[2], SENTIMENTS)
    if name == "packages":
        return _read_packages(data_dir)
    if is_table(name):
        return _read_table(form, rest)
    raise unknown_dataset(name, FORMS)


def _read_table(form: str, rest: str) -> SentimentCorpus:
    """Sentences of a table, in words and punctuation, and the classes of its column label."""
    from ..forms.labels import read_labels
    from ..forms.readers import load_tables
    from ..forms.splits import complete

    tables = load_tables(form, rest)
    for table in (table for of_split in tables.values() for table in of_split):
        table.require("text", "label")
    classes, labels = read_labels(tables, "label")
    examples: dict[str, list[LabelledSentence]] = {}
    for split, of_split in tables.items():
        texts = [(table, i, x) for table in of_split for i, x in enumerate(table.texts("text"))]
        examples[split] = []
        for (table, row, text), label in zip(texts, labels[split], strict=True):
            words = split_words(text.lower())
            if not words:
                raise DataError(f"{table.place(row)} has no words")
            examples[split].append(LabelledSentence(words, label))
    sets = complete(examples, lambda example: " ".join(example.words), rest)
    return SentimentCorpus(sets["train"], sets["validation"], sets["test"], classes)


def _split_folds(
    examples: list[LabelledSentence], classes: tuple[str, ...], seed: int, fold: int
) -> SentimentCorpus:
    """One fold as the test, the same for every seed; validation from the other folds."""
    folds = np.random.default_rng(0).permutation(len(examples)) % FOLDS
    rest = np.random.default_rng(seed).permutation(np.flatnonzero(folds != fold))
    count = len(rest) // FOLDS
    indices = (rest[count:], rest[:count], np.flatnonzero(folds == fold))
    if not all(map(len, indices)):
        raise DataError(f"{len(examples)} sentences are too few for {FOLDS} folds")
    train, validation, test = ([examples[i] for i in split] for split in indices)
    return SentimentCorpus(train, validation, test, classes)


def _read_classes(folder: Path) -> tuple[list[LabelledSentence], tuple[str, ...]]:
    """Examples and classes of a folder with one file per class."""
    if not folder.is_dir():
        raise DataError(f"lines: needs a folder, but {str(folder)!r} is not one")
    paths = [path for path in files_in(folder) if path.suffix]
    stems = defaultdict(list)
    for path in paths:
        stems[path.stem].append(path)
    repeated = [of_stem for of_stem in stems.values() if len(of_stem) > 1]
    if len(repeated) == 1:
        files = {path.suffix[1:]: path for path in repeated[0]}
    else:
        files = {path.stem: path for path in paths if path.suffix == ".txt"}
    if len(files) < 2:
        listed = ", ".join(path.name for path in paths) or "nothing"
        raise DataError(f"{folder} needs two or more files NAME.CLASS or CLASS.txt, found {listed}")
    examples = []
    for label, path in enumerate(files.values()):
        for number, line in enumerate(read_lines(path, ("utf-8", "windows-1252")), 1):
            if not line.strip():
                raise DataError(f"line {number} of {path} has no words")
            examples.append(LabelledSentence(line.lower().split(), label))
    return examples, tuple(files)


def _read_trees(path: Path) -> Iterator[list[LabelledSentence]]:
    """Yield the subtrees of each tree of a file, the whole tree last."""
    for number, line in enumerate(read_lines(path), 1):
        try:
            yield parse_tree(line)
        except ValueError as error:
            raise DataError(f"line {number} of {path}: {error}") from None


def parse_tree(line: str) -> list[LabelledSentence]:
    """All subtrees of a tree such as (3 (2 a) (4 good)), in postorder, the whole tree last.

    Raises ValueError for unbalanced brackets, an unknown label, or a node without words.
    """
    subtrees: list[LabelledSentence] = []
    open_nodes: list[LabelledSentence] = []
    tokens = re.findall(r"[()]|[^()\s]+", line)
    for index, token in enumerate(tokens):
        if not open_nodes and (subtrees or token != "("):
            raise ValueError(f"{token!r} is outside the brackets of the tree")
        if token == "(":
            label = tokens[index + 1] if index + 1 < len(tokens) else ""
            if label not in tuple("01234"):
                raise ValueError(f"the label {label!r} is not one of 0 to 4")
            open_nodes.append(LabelledSentence([], int(label)))
        elif token == ")":
            node = open_nodes.pop()
            if not node.words:
                raise ValueError("a node has no words")
            subtrees.append(node)
            if open_nodes:
                open_nodes[-1].words.extend(node.words)
        elif tokens[index - 1] != "(":
            word = token.lower().replace("\\/", "/")
            open_nodes[-1].words.append(ESCAPES.get(word, word))
    if open_nodes or not subtrees:
        raise ValueError("a bracket is not closed" if open_nodes else "there is no tree")
    return subtrees


@lru_cache(maxsize=1)
def _read_packages(data_dir: str) -> SentimentCorpus:
    """Paragraphs labelled by their package.

    The smallest files of a package, about a fifth of its paragraphs, are held out, alternately for
    validation and test.
    """
    texts = defaultdict(list)
    for source in load_splits("python_docs", data_dir).values():
        for element in source.__getitems__(list(range(len(source)))):
            path, text = element["path"].decode(), element["text"].decode()
            paragraphs = [split_words(paragraph) for paragraph in text.lower().split("\n\n")]
            paragraphs = [words for words in paragraphs if len(words) in WORDS]
            if "/" in path and paragraphs:
                texts[path.split("/")[0]].append((len(paragraphs), path, paragraphs))
    sizes = {package: sum(size for size, *_ in files) for package, files in texts.items()}
    classes = [p for p in sorted(texts) if len(texts[p]) >= FILES and sizes[p] >= PARAGRAPHS]
    splits: tuple[list[LabelledSentence], ...] = ([], [], [])
    for label, package in enumerate(classes):
        before = 0
        for number, (size, _, paragraphs) in enumerate(sorted(texts[package])):
            split = 1 + number % 2 if before < sizes[package] / 5 else 0
            splits[split].extend(LabelledSentence(words, label) for words in paragraphs)
            before += size
    train, validation, test = splits
    return SentimentCorpus(train, validation, test, tuple(classes))
