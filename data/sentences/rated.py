"""Sentences with a class each: from a file a class, from trees with labels, or from Python's docs.

A sentence is a list of words in lower case.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..catalogue import DataError, load_splits
from ..text.corpus import SPLITS, read_lines
from ..text.words import the_file
from .tagged import split_words

FORMS = "packages, lines:FOLDER or trees:FOLDER"
FOLDS = 10
RATINGS = ("very negative", "negative", "neutral", "positive", "very positive")
ESCAPES = {"-lrb-": "(", "-rrb-": ")"}  # of the Penn Treebank, in lower case

# least of a package that is a class of `packages`; words of a paragraph
FILES, PARAGRAPHS, WORDS = 10, 400, range(4, 101)


class Rated(NamedTuple):
    """A sentence and the number of its class."""

    words: list[str]
    label: int


@dataclass(frozen=True)
class RatedCorpus:
    """Sentences of each split, and the names of the classes."""

    train: Sequence[Rated]
    validation: Sequence[Rated]
    test: Sequence[Rated]
    classes: tuple[str, ...]

    @cached_property
    def sha256(self) -> str:
        """Hex digest of all splits, a line a sentence with its class, an empty line after each."""
        digest = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            lines = (f"{self.classes[label]}\t{' '.join(words)}\n" for words, label in split)
            digest.update("".join(lines).encode() + b"\n")
        return digest.hexdigest()


def load_rated(
    name: str, data_dir: str = "", *, seed: int = 0, fold: int = 0, phrases: bool = False
) -> RatedCorpus:
    """Corpus of a name.

    `lines:FOLDER` holds a file a class, a sentence a line, words between spaces, in UTF-8 or
    Windows-1252: files of one name with several endings (rt-polarity.neg, rt-polarity.pos), else
    its .txt files. A tenth of the sentences, the fold 0 to 9, is the test, a tenth of the rest by
    `seed` validation. `trees:FOLDER` holds train, dev and test, a bracketed tree a line with labels
    0 to 4 (the Stanford Sentiment Treebank); phrases: to train on every subtree, not on the whole
    alone. `packages`: paragraphs of the docs of Python's own library, by package; no file is in two
    splits.
    Raises DataError when there is no such corpus, or where a line is not of its form.
    """
    form, _, rest = name.partition(":")
    folder = Path(rest).expanduser()
    if form == "lines" and rest:
        return _divided(*_lines(folder), seed, fold)
    if form == "trees" and rest:
        parts = [list(_trees(the_file(folder, form, split))) for split in SPLITS]
        for split, part in zip(SPLITS, parts, strict=True):
            if not part:
                raise DataError(f"the {split} split of {folder} has no tree")
        whole = [[tree[-1] for tree in part] for part in parts]
        every = [phrase for tree in parts[0] for phrase in tree] if phrases else whole[0]
        return RatedCorpus(every, whole[1], whole[2], RATINGS)
    if name == "packages":
        return _packages(data_dir)
    raise DataError(f"there are no rated sentences {name!r}; give {FORMS}")


def _divided(examples: list[Rated], classes: tuple[str, ...], seed: int, fold: int) -> RatedCorpus:
    """One fold for the test, the same for every seed; validation from the rest."""
    folds = np.random.default_rng(0).permutation(len(examples)) % FOLDS
    rest = np.random.default_rng(seed).permutation(np.flatnonzero(folds != fold))
    count = len(rest) // FOLDS
    places = (rest[count:], rest[:count], np.flatnonzero(folds == fold))
    if not all(map(len, places)):
        raise DataError(f"{len(examples)} sentences are too few for {FOLDS} folds")
    train, validation, test = ([examples[i] for i in part] for part in places)
    return RatedCorpus(train, validation, test, classes)


def _lines(folder: Path) -> tuple[list[Rated], tuple[str, ...]]:
    """Examples and classes of a folder with a file a class."""
    if not folder.is_dir():
        raise DataError(f"lines: needs a folder after it, {str(folder)!r} is none")
    there = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix)
    stems = defaultdict(list)
    for path in there:
        stems[path.stem].append(path)
    several = [paths for paths in stems.values() if len(paths) > 1]
    if len(several) == 1:
        files = {path.suffix[1:]: path for path in several[0]}
    else:
        files = {path.stem: path for path in there if path.suffix == ".txt"}
    if len(files) < 2:
        listed = ", ".join(path.name for path in there) or "nothing"
        raise DataError(
            f"{folder} needs a file a class, NAME.CLASS or CLASS.txt, two or more; found {listed}"
        )
    examples = []
    for label, path in enumerate(files.values()):
        for number, line in enumerate(read_lines(path, ("utf-8", "windows-1252")), 1):
            if not line.strip():
                raise DataError(f"line {number} of {path} has no words")
            examples.append(Rated(line.lower().split(), label))
    return examples, tuple(files)


def _trees(path: Path) -> Iterator[list[Rated]]:
    """Yield the subtrees of each tree of a file, the whole last."""
    for number, line in enumerate(read_lines(path), 1):
        try:
            yield parse_tree(line)
        except ValueError as error:
            raise DataError(f"line {number} of {path}: {error}") from None


def parse_tree(line: str) -> list[Rated]:
    """Every subtree of a tree such as (3 (2 a) (4 good)), each after its parts, the whole last.

    Raises ValueError where it is not one: brackets that do not fit, an unknown label, no word.
    """
    found: list[Rated] = []
    open_nodes: list[Rated] = []
    tokens = re.findall(r"[()]|[^()\s]+", line)
    for place, token in enumerate(tokens):
        if not open_nodes and (found or token != "("):
            raise ValueError(f"the tree has {token!r} outside of its brackets")
        if token == "(":
            label = tokens[place + 1] if place + 1 < len(tokens) else ""
            if label not in tuple("01234"):
                raise ValueError(f"the label {label!r} is not one of 0 to 4")
            open_nodes.append(Rated([], int(label)))
        elif token == ")":
            done = open_nodes.pop()
            if not done.words:
                raise ValueError("a node has no words")
            found.append(done)
            if open_nodes:
                open_nodes[-1].words.extend(done.words)
        elif tokens[place - 1] != "(":
            word = token.lower().replace("\\/", "/")
            open_nodes[-1].words.append(ESCAPES.get(word, word))
    if open_nodes or not found:
        raise ValueError("the tree does not close" if found else "there is no tree")
    return found


@lru_cache(maxsize=1)
def _packages(data_dir: str) -> RatedCorpus:
    """Paragraphs by the package they come from.

    The smallest files of a package, a fifth of its paragraphs, are held out: every second one for
    the test.
    """
    texts = defaultdict(list)
    for source in load_splits("python_docs", data_dir).values():
        for element in source.__getitems__(list(range(len(source)))):
            path, text = element["path"].decode(), element["text"].decode()
            paragraphs = [split_words(paragraph) for paragraph in text.lower().split("\n\n")]
            kept = [words for words in paragraphs if len(words) in WORDS]
            if "/" in path and kept:
                texts[path.split("/")[0]].append((len(kept), path, kept))
    sizes = {package: sum(size for size, *_ in files) for package, files in texts.items()}
    classes = [p for p in sorted(texts) if len(texts[p]) >= FILES and sizes[p] >= PARAGRAPHS]
    parts: tuple[list[Rated], list[Rated], list[Rated]] = ([], [], [])
    for label, package in enumerate(classes):
        before = 0
        for number, (size, _, paragraphs) in enumerate(sorted(texts[package])):
            split = 1 + number % 2 if before < sizes[package] / 5 else 0
            parts[split].extend(Rated(words, label) for words in paragraphs)
            before += size
    return RatedCorpus(*parts, tuple(classes))
