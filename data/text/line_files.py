"""Text files read line by line, plain or gzipped."""

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

from ..catalogue import DataError, nearest

GZIP_MAGIC = b"\x1f\x8b"  # no UTF-8 text begins with it


def nearest_file(path: Path) -> str:
    """Suffix " (did you mean X?)" with the file nearest to a missing one, or ""."""
    names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    return nearest(path.name, sorted(names))


def read_lines(path: Path, encodings: Sequence[str] = ("utf-8",)) -> list[str]:
    """Lines of a file, plain or gzipped, without their ends, in the first encoding that fits.

    Only a line feed ends a line, as in every tool that counts lines; a carriage return before it
    and a byte order mark are dropped. Raises DataError when the file is missing or unreadable.
    """
    try:
        content = path.read_bytes()
        if content.startswith(GZIP_MAGIC):
            content = gzip.decompress(content)
    except FileNotFoundError:
        raise DataError(f"there is no file {path}{nearest_file(path)}") from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"cannot read {path}: {reason}") from None
    for encoding in encodings:
        try:
            text = content.decode(encoding).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            number = content.count(b"\n", 0, error.start) + 1
            continue
        lines = text.split("\n")
        return [line.removesuffix("\r") for line in lines[: len(lines) - (lines[-1] == "")]]
    names = " or ".join(map(str.upper, encodings))
    raise DataError(f"{path} is not {names} text: line {number} cannot be decoded")
