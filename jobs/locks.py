"""Files that several processes write: locks, which end with their process, and atomic writes."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


def no_link(path: str, flags: int) -> int:
    """Opener for `open` that refuses symbolic links, through which others could choose the file."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


def replace_file(path: Path, text: str) -> None:
    """Write atomically: a reader sees the old file or the new one, never an incomplete one."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)  # of a process that was killed
    with open(part, "x", encoding="utf-8", opener=no_link) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def is_locked(path: Path) -> bool:
    """True while a live process holds the lock of a file."""
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no such file, or a file system without locks
        return False
    return False


def try_lock(file: IO[Any]) -> bool:
    """Lock an open file until every copy of it is closed; False while another process holds it."""
    with contextlib.suppress(OSError):  # a file system without locks
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which is created if needed; wait while another process holds it."""
    with open(path, "ab", opener=no_link) as file:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
