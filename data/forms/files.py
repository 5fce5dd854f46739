"""Text files, plain or gzipped, and the splits in the names of files."""

import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..catalogue import DataError, nearest
from .folders import files_in, is_left_behind

SPLIT_NAMES = {
    "train": {"train"},
    "validation": {"valid", "validation", "val", "dev"},
    "test": {"test"},
}


def nearest_file(path: Path | zipfile.Path) -> str:
    """Suffix " (did you mean X?)" with the file nearest to a missing one, or ""."""
    folder = path.parent
    if not (isinstance(folder, Path) and folder.is_dir()):
        return ""
    names = (p.name for p in folder.iterdir() if not is_left_behind(p.name))
    return nearest(path.name, sorted(names))


def listed(names: Iterable[str], most: int = 8) -> str:
    """Names separated by commas, at most `most` of them, or "nothing"."""
    ordered = list(names)
    shown = [*ordered[:most], *(["..."] if len(ordered) > most else [])]
    return ", ".join(shown) or "nothing"


def as_folder(path: Path) -> Path | zipfile.Path:
    """Return a folder as it is, and a ZIP file as one; DataError when the file is damaged."""
    try:
        return zipfile.Path(path) if path.is_file() else path
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"cannot read {path}: {error}") from None


def read_bytes(path: Path | zipfile.Path) -> bytes:
    """Bytes of a file, see `read_content`; DataError when it is missing or unreadable."""
    from .content import read_content

    try:
        return read_content(path)
    except FileNotFoundError:
        raise DataError(f"there is no file {path}{nearest_file(path)}") from None


def read_text(path: Path | zipfile.Path, encodings: Sequence[str] = ("utf-8",)) -> str:
    """Text of a file, plain or gzipped, in the first encoding that fits, without byte order mark.

    Line ends are not changed. Raises DataError when the file is missing or unreadable.
    """
    content = read_bytes(path)
    for encoding in encodings:
        try:
            return content.decode(encoding).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            number = content.count(b"\n", 0, error.start) + 1
    names = " or ".join(map(str.upper, encodings))
    raise DataError(f"{path} is not {names} text: line {number} cannot be decoded")


def join_texts(texts: Iterable[str], end: str = "\n") -> str:
    """Texts one after the other, with `end` between two of them unless the first ends with it.

    >>> join_texts(["one\\n", "two", "", "three"])
    'one\\ntwo\\nthree'
    """
    return "".join(join_pieces(([text] for text in texts), end))


def join_pieces(texts: Iterable[Iterable[str]], end: str = "\n") -> Iterator[str]:
    """Yield the pieces of each text, with `end` between two texts as `join_texts` puts it."""
    before = end
    for pieces in texts:
        last = ""  # the last characters of this text so far
        for piece in filter(None, pieces):
            if not last and not before.endswith(end):
                yield end
            yield piece
            last = (last + piece[-len(end) :])[-len(end) :]
        before = last or before


def split_files(folder: Path, form: str) -> dict[str, list[Path]]:
    """Files of a folder by the split in their names; DataError when there is no such folder."""
    if not folder.is_dir():
        raise DataError(f"{form}: needs a folder, but {str(folder)!r} is not one")
    return by_split(files_in(folder))


def by_split(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Sorted paths by the split in their names, such as train-00000.parquet or wiki.valid.txt."""
    parts = {path: set(re.split(r"[^a-z]", path.name.lower())) for path in sorted(paths)}
    return {
        split: [path for path, words in parts.items() if names & words]
        for split, names in SPLIT_NAMES.items()
    }
