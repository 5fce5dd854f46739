"""Files of a run: replaced as a whole, never written through a link; errors of a full disk."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

# a full disk, a quota, a limit on the size of files, a damaged or read-only disk
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
DISK_EXIT_CODE = 74  # EX_IOERR of sysexits.h


def no_link(path: str, flags: int) -> int:
    """Opener for `open` that refuses symbolic links, through which others could choose the file."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


def replace_file(path: Path, content: bytes | str) -> None:
    """Write atomically: a reader sees the old file or the new one, never an incomplete one.

    The content is on disk when this returns.
    """
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)  # of a process that was killed
    try:
        with open(part, "xb", opener=no_link) as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def append_text(path: Path, text: str) -> None:
    """Append to a file; the text is on disk when this returns."""
    with open(path, "a", encoding="utf-8", opener=no_link) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def disk_problem(error: BaseException) -> str:
    """Return what is wrong with the disk if this caused an error, else "".

    Libraries report such problems by many types of errors; they have only the text of the operating
    system in common.
    """
    for each in _causes(error):
        if isinstance(each, OSError) and each.errno in DISK_ERRORS:
            return f"{each.strerror}: {each.filename}" if each.filename else str(each.strerror)
        for number in DISK_ERRORS:
            if os.strerror(number) in str(each):
                return os.strerror(number)
    return ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that led to it, the latest first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
