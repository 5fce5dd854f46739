"""Locks of files: the kernel frees one when the process that holds it ends, however it ends."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import IO


def is_locked(path: Path) -> bool:
    """True while a live process holds the lock of a file."""
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no such file, or no locks in this file system
        return False
    return False


def try_lock(file: IO) -> bool:
    """Lock an open file until every copy of it is closed; False while another process holds it."""
    with contextlib.suppress(OSError):  # no locks in this file system
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which is made when it is not there; waits while another does."""
    with open(path, "ab") as file:
        with contextlib.suppress(OSError):  # no locks in this file system
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
