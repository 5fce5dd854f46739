"""Cache of decoded arrays: decoding the 70,000 PNGs of MNIST takes ten seconds at every start."""

import contextlib
import hashlib
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]


def cache_folder() -> Path:
    """Folder of the cache, below the user's cache folder.

    Without a home folder, it is a path that cannot exist, so nothing is cached.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    home = os.path.expanduser("~")
    if not os.path.isabs(given):
        given = f"{home}/.cache" if os.path.isabs(home) else os.devnull
    return Path(given) / "unfold" / "data"


def fingerprint(folder: Path) -> str:
    """Text that changes when a file below a folder changes."""
    from ..forms.folders import files_below

    states = [(path, path.stat()) for path in files_below(folder)]
    return "\n".join(f"{path} {state.st_size} {state.st_mtime_ns}" for path, state in states)


def cached(key: str, make: Callable[[], Arrays]) -> Arrays:
    """Cached arrays of a key; the first call makes them by `make()` and stores them.

    A damaged file is replaced; if the cache cannot be written, `make()` is called each time.
    """
    path = cache_folder() / f"{hashlib.sha256(key.encode()).hexdigest()}.npz"
    with contextlib.suppress(OSError, ValueError, EOFError, zipfile.BadZipFile):
        with open(path, "rb") as file, np.load(file) as loaded:
            return dict(loaded)
    arrays = make()

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as new:
            np.savez(new, allow_pickle=False, **arrays)

    store(path, write)
    return arrays


def store(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file of the cache by `write(temporary path)`; nothing happens if this is impossible.

    No process reads a partial file.
    """
    temporary = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
