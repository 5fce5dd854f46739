"""Parallel text: sentences and their translations, from two files, a folder or a table."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..catalogue import TABLES, DataError, is_table, nearest, unknown_dataset
from ..forms.files import nearest_file
from ..forms.folders import files_in
from ..text.line_files import read_lines

Pair = tuple[str, str]

VALIDATION_NAMES = ("val", "valid", "validation", "dev")
FORMS = ("dates", "pairs:FOLDER", "files:SOURCE,TARGET", *TABLES)
COLUMNS = ("source", "target")


@dataclass(frozen=True)
class Pairs:
    """(source, target) pairs of each split; `left_out` counts training pairs with an empty side.

    Held-out pairs with an empty side remain, so that each line of a test file is a pair.
    """

    train: list[Pair]
    validation: list[Pair]
    test: list[Pair]
    left_out: int

    @cached_property
    def sha256(self) -> str:
        """Hex digest of all pairs, one per line, with an empty line after each split."""
        digest = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            digest.update("".join(f"{x}\t{y}\n" for x, y in split).encode() + b"\n")
        return digest.hexdigest()


def load_pairs(name: str, source: str = "", target: str = "", test: str = "") -> Pairs:
    """Parallel text by name, from plain or gzipped files in UTF-8 with one sentence per line.

    `pairs:FOLDER` has files train.LANGUAGE, val.LANGUAGE and test*.LANGUAGE (with or without .gz);
    those of the languages `source` and `target` are read, and `test` selects one of several test
    sets. A table (`TABLES`) has columns named by the two languages, or source and target; a file
    in `tsv:FILE` without such a header has two fields per line, source and target. What has no
    splits is split 90/5/5 by a hash of the source sentence, so no source sentence is in two splits.
    Raises DataError when a file is missing, is not UTF-8, or has a line without a counterpart.
    """
    form, _, rest = name.partition(":")
    if form == "pairs" and rest:
        train, validation, test_pairs = _read_folder(
            Path(os.path.expanduser(rest)), source, target, test
        )
    elif form == "files" and rest:
        train, validation, test_pairs = divide(read_two(*_two_paths(rest)))
    elif form == "tsv" and rest and not _has_header(rest, source, target):
        train, validation, test_pairs = divide(read_table(Path(os.path.expanduser(rest))))
    elif is_table(name):
        train, validation, test_pairs = _read_columns(form, rest, source, target)
    else:
        raise unknown_dataset(name, FORMS)
    complete = [(x, y) for x, y in train if x and y]
    if not complete:
        raise DataError(f"there are no complete training pairs in {rest}")
    if not (validation and test_pairs):
        empty = "test" if validation else "validation"
        raise DataError(f"there are no {empty} pairs in {rest}")
    return Pairs(complete, validation, test_pairs, len(train) - len(complete))


def _two_paths(rest: str) -> tuple[Path, Path]:
    """The two paths of `files:`, separated by a comma; a path may contain others."""
    parts = rest.split(",")
    halves = [(",".join(parts[:i]), ",".join(parts[i:])) for i in range(1, len(parts))]
    paths = [
        (Path(os.path.expanduser(a)), Path(os.path.expanduser(b))) for a, b in halves if a and b
    ]
    if len(paths) > 1:
        there = [pair for pair in paths if all(path.is_file() for path in pair)]
        if len(there) != 1:
            raise DataError(
                f"files: needs two paths separated by a comma, but {rest!r} has {len(parts) - 1} "
                f"commas and {len(there)} ways to be two files; rename them, or use pairs:FOLDER"
            )
        paths = there
    if not paths:
        raise DataError(f"files: needs two paths separated by a comma, got {rest!r}")
    return paths[0]


def _has_header(rest: str, source: str, target: str) -> bool:
    """Whether a TSV file begins with the names of the columns, or there is a folder of tables."""
    path = Path(os.path.expanduser(rest))
    first = path.is_file() and read_lines(path)[:1]
    header = first[0].split("\t") if first else []
    return path.is_dir() or any({a, b} <= set(header) for a, b in ((source, target), COLUMNS))


def _read_columns(form: str, rest: str, source: str, target: str) -> Sequence[list[Pair]]:
    """Training, validation and test pairs of two columns of a table."""
    from ..forms.readers import load_tables
    from ..forms.splits import complete

    splits: dict[str, list[Pair]] = {}
    for split, tables in load_tables(form, rest).items():
        splits[split] = []
        for table in tables:
            named = (source, target) if {source, target} <= set(table.names) else COLUMNS
            if not set(named) <= set(table.names):
                raise DataError(
                    f"the columns of {table.path} are {', '.join(table.names)}; needs {source} "
                    f"and {target} (config.source and config.target), or source and target"
                )
            sides = ((text.strip() for text in table.texts(name)) for name in named)
            splits[split] += zip(*sides, strict=True)
    if list(splits) == ["train"]:
        return divide(splits["train"])
    return list(complete(splits, lambda pair: pair[0], rest).values())


def read_two(source: Path, target: Path) -> list[Pair]:
    """Pairs of the lines of two files, stripped of white space."""
    lines = read_lines(source), read_lines(target)
    counts = [len(side) for side in lines]
    if counts[0] != counts[1]:
        longer = (source, target)[counts[1] > counts[0]]
        raise DataError(
            f"{source} has {counts[0]} lines and {target} has {counts[1]}: "
            f"{longer.name} has no counterpart from line {min(counts) + 1} on"
        )
    return [(x.strip(), y.strip()) for x, y in zip(*lines, strict=True)]


def read_table(path: Path) -> list[Pair]:
    """Pairs of a file with two fields per line, separated by a tab."""
    pairs = []
    for number, line in enumerate(read_lines(path), 1):
        fields = line.split("\t")
        if len(fields) != 2:
            raise DataError(
                f"line {number} of {path} has {len(fields) - 1} tabs, "
                "not one between source and target"
            )
        pairs.append((fields[0].strip(), fields[1].strip()))
    return pairs


def divide(pairs: list[Pair]) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """Split 90/5/5 by source sentence: all pairs with the same source go to the same split.

    The split depends on a hash of the sentence, not on its position. Raises DataError when there
    are fewer than three source sentences.
    """
    sources = sorted({x for x, _ in pairs}, key=lambda x: hashlib.sha256(x.encode()).digest())
    if len(sources) < 3:
        raise DataError(f"{len(sources)} source sentences cannot be divided into three splits")
    share = -(-len(sources) // 20)
    held_out = dict.fromkeys(sources[:share], 2) | dict.fromkeys(sources[share : 2 * share], 1)
    splits: tuple[list[Pair], list[Pair], list[Pair]] = ([], [], [])
    for x, y in pairs:
        splits[held_out.get(x, 0)].append((x, y))
    return splits


def _read_folder(folder: Path, source: str, target: str, test: str) -> list[list[Pair]]:
    """Training, validation and test pairs of two languages in a folder."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}{nearest_file(folder)}")
    files: dict[str, dict[str, Path]] = {}  # by split and language
    for path in files_in(folder):
        stem, _, language = path.name.removesuffix(".gz").rpartition(".")
        files.setdefault(stem, {}).setdefault(language, path)
    if "train" not in files:
        raise DataError(f"{folder} has no file train.LANGUAGE{nearest('train', files)}")
    for option, language in (("source", source), ("target", target)):
        if language not in files["train"]:
            languages = sorted(files["train"])
            raise DataError(
                f"{folder} has no {option} language {language!r}{nearest(language, languages)}; "
                f"available: {', '.join(languages)}"
            )
    validation = next((name for name in VALIDATION_NAMES if name in files), "val")
    names = ("train", validation, _test_name(folder, files, test))
    return [
        read_two(*(files.get(name, {}).get(x, folder / f"{name}.{x}") for x in (source, target)))
        for name in names
    ]


def _test_name(folder: Path, files: Iterable[str], chosen: str) -> str:
    """Name of the test set: the chosen one, or the only one."""
    names = sorted(name for name in files if name.startswith("test"))
    if chosen and chosen not in names:
        raise DataError(
            f"{folder} has no test set {chosen!r}{nearest(chosen, names)}; "
            f"available: {', '.join(names)}"
        )
    if not chosen and len(names) > 1:
        raise DataError(f"{folder} has several test sets, choose one: {', '.join(names)}")
    return chosen or "".join(names) or "test"
