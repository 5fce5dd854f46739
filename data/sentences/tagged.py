"""Tagged sentences, with a tag for each word or each character, from the usual file formats.

`schemes` describes the tags that mark spans, and `tag_files` the formats.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import regex  # its \w includes combining marks and joiners

from ..catalogue import DataError, load_splits, unknown_dataset
from ..forms.files import split_files
from ..text.corpus import SPLITS
from ..text.words import find_split_file
from .python_tokens import pieces
from .schemes import scheme_of, tag_set, violation, wrong_tags
from .tag_files import READERS, Sentence

FORMS = ("python_tokens", "conll:FOLDER", "conllu:FOLDER", "spans:FOLDER")
WORD = regex.compile(
    r"""
    \w+?(?=n['’]t\b) | n['’]t\b | ['’](?:s|m|d|re|ve|ll)\b  # do n't, cat 's
    | \w+(?:[-.,:/@]\w+)* | \.\.+ | --+ | [^\w\s]
    """,
    regex.IGNORECASE | regex.VERBOSE,
)


Places = tuple[Path, Sequence[Sequence[int]]]  # a file, and the lines of the words of a sentence


@dataclass(frozen=True)
class TaggedCorpus:
    """Sentences of each split.

    by_character: words are characters, and a sentence may begin and end inside a span. notes: how
    splits were made. places: where the words of a split are, for messages.
    """

    train: Sequence[Sentence]
    validation: Sequence[Sentence]
    test: Sequence[Sentence]
    by_character: bool = False
    notes: dict[str, str] = field(default_factory=dict)
    places: Mapping[str, Places] = field(default_factory=dict)

    @cached_property
    def scheme(self) -> str:
        """Name of the tagging scheme of training and validation, "" if their tags mark no spans."""
        known = [tags for split in (self.train, self.validation) for _, tags in split]
        return scheme_of(known, not self.by_character)

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """Tags of training and validation: sorted, or those of the scheme for each type."""
        known = {
            tag for split in (self.train, self.validation) for _, tags in split for tag in tags
        }
        return tag_set(self.scheme, known) if self.scheme else tuple(sorted(known))

    @property
    def wrong_tag(self) -> str:
        """First tag of training and validation that fits no scheme, with its place; "" for none."""
        splits = {"train": self.train, "validation": self.validation}
        wrong = wrong_tags(tag for split in splits.values() for _, tags in split for tag in tags)
        for name, split in splits.items():
            for number, (_, tags) in enumerate(split):
                for index, tag in enumerate(tags):
                    if tag in wrong:
                        return f"the tag {tag} in {self.place(name, number, index)}"
        return ""

    @property
    def unseen(self) -> dict[str, tuple[int, str]]:
        """Tags of the test that are not in `tags`: number of words, and the place of the first."""
        known, found = set(self.tags), dict[str, tuple[int, str]]()
        for number, (_, tags) in enumerate(self.test):
            for index, tag in enumerate(tags):
                if tag not in known:
                    count, place = found.get(tag, (0, ""))
                    found[tag] = count + 1, place or self.place("test", number, index)
        return found

    def violations(self, split: str) -> list[str]:
        """The first tag of each sentence of a split that violates the scheme, with its place."""
        found = []
        for number, (_, tags) in enumerate(getattr(self, split)):
            index = violation(self.scheme, tags, not self.by_character)
            if index is not None:
                found.append(f"the tag {tags[index]} in {self.place(split, number, index)}")
        return found

    def place(self, split: str, sentence: int, word: int) -> str:
        """Line of a word and its file, or the number of its sentence if it is in no file."""
        if split in self.places:
            path, lines = self.places[split]
            return f"line {lines[sentence][word]} of {path}"
        return f"sentence {sentence + 1} of the {split} set"

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
    places: dict[str, Places] = {}
    if name == "python_tokens":
        sizes = dict(zip(SPLITS, (count, -(-count // 8), -(-count // 8)), strict=True))
        splits = [[Sentence(*piece) for piece in split] for split in pieces(sizes, length).values()]
    elif form in READERS and rest:
        splits = _read_folder(form, Path(os.path.expanduser(rest)), column, notes, places)
    elif not rest and form not in READERS:
        splits = _read_prepared(name, data_dir)
    else:
        raise unknown_dataset(name, FORMS)
    for split, sentences in zip(SPLITS, splits, strict=True):
        if not sentences:
            raise DataError(f"the {split} split of {name} has no sentences")
    train, validation, test = splits
    return TaggedCorpus(train, validation, test, name == "python_tokens", notes, places)


def _read_folder(
    form: str, folder: Path, column: int, notes: dict[str, str], places: dict[str, Places]
) -> list[list[Sentence]]:
    """Sentences of each split; fills notes and places."""
    has_validation = bool(split_files(folder, form)["validation"])
    splits: dict[str, list[Sentence]] = {}
    for split in SPLITS if has_validation else ("train", "test"):
        path = find_split_file(folder, form, split)
        pairs = list(READERS[form](path, column))
        splits[split] = [sentence for sentence, _ in pairs]
        places[split] = path, [lines for _, lines in pairs]
    if not has_validation:
        notes["validation"] = "the last tenth of train"
        train, (path, lines) = splits["train"], places["train"]
        count = len(train) - len(train) // 10
        splits["train"], splits["validation"] = train[:count], train[count:]
        places["validation"] = path, lines[count:]
    return [splits[split] for split in SPLITS]


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
