"""File locks, which the kernel releases when the process that holds them ends for any reason."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


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
    with open(path, "ab") as file:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
