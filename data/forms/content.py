"""Contents of files, without blocking at a pipe or filling the memory."""

import gzip
import io
import os
import stat
import zipfile
import zlib
from pathlib import Path

from ..catalogue import DataError

GZIP_MAGIC = b"\x1f\x8b"  # no UTF-8 text begins with it
INFLATED = 200  # text and images are rarely compressed to less than a hundredth
SMALL = 2**26  # bytes that any file may inflate to


def check_no_pipe(path: Path) -> None:
    """Raise DataError if a path is a named pipe, which would block until someone writes to it.

    A pipe of the shell, as in <(zcat FILE), has no name and is allowed.
    """
    try:
        named_pipe = stat.S_ISFIFO(os.stat(path).st_mode) and os.path.exists(os.path.realpath(path))
    except (OSError, ValueError):  # opening the file says what is wrong
        return
    if named_pipe:
        raise DataError(f"{path} is a named pipe, not a file")


def read_content(path: Path | zipfile.Path) -> bytes:
    """Bytes of a file, decompressed if it is gzipped.

    Raises FileNotFoundError when it is missing, and DataError when it is unreadable, a named pipe,
    or compressed, by gzip or in a ZIP file, to less than 1 / INFLATED of its size: only files that
    are made to fill the memory are.
    """
    if isinstance(path, Path):
        check_no_pipe(path)
    elif path.is_file():
        member = path.root.getinfo(path.at)
        _check_inflated(path, member.compress_size, member.file_size)
    try:
        content = path.read_bytes()
        if not content.startswith(GZIP_MAGIC):
            return content
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            inflated = file.read(_most(len(content)) + 1)
    except FileNotFoundError:
        raise
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"cannot read {path}: {reason}") from None
    _check_inflated(path, len(content), len(inflated))
    return inflated


def _most(compressed: int) -> int:
    """Number of bytes to which a number of compressed bytes may inflate."""
    return max(SMALL, INFLATED * compressed)


def _check_inflated(path: Path | zipfile.Path, compressed: int, inflated: int) -> None:
    """Raise DataError when a file inflates to more than `_most` bytes."""
    if inflated > (most := _most(compressed)):
        raise DataError(f"cannot read {path}: {compressed} bytes inflate to more than {most}")
