"""Cache of arrays that take long to make, such as decoded images and the ids of a long text.

Decoding the 70,000 PNGs of MNIST takes ten seconds at every start.
"""

import contextlib
import hashlib
import os
import zipfile
from collections.abc import Callable, Iterable
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
    from .folders import files_below

    states = [(path, path.stat()) for path in files_below(folder)]
    return "\n".join(f"{path} {state.st_size} {state.st_mtime_ns}" for path, state in states)


def cached(key: str, make: Callable[[], Arrays]) -> Arrays:
    """Cached arrays of a key; the first call makes them by `make()` and stores them.

    A damaged file is replaced; if the cache cannot be written, `make()` is called each time.
    """
    path = _path(key, ".npz")
    with contextlib.suppress(OSError, ValueError, EOFError, zipfile.BadZipFile):
        with open(path, "rb") as file, np.load(file) as loaded:
            return dict(loaded)
    arrays = make()

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as new:
            np.savez(new, allow_pickle=False, **arrays)

    store(path, write)
    return arrays


def mapped(
    key: str, length: int, dtype: np.dtype, make: Callable[[], Iterable[np.ndarray]]
) -> np.ndarray:
    """Array [N] of a key, read from its file by memory map, so that it needs no memory of its own.

    The first call writes the pieces that `make()` yields, of `length` numbers in all, one after the
    other. A damaged file is replaced; if the cache cannot be written, the array is in memory.
    """
    path = _path(key, ".npy")

    def write(temporary: Path) -> None:
        description = np.lib.format.dtype_to_descr(dtype)
        header = {"descr": description, "fortran_order": False, "shape": (length,)}
        with open(temporary, "wb") as new:
            np.lib.format.write_array_header_1_0(new, header)
            for piece in make():
                new.write(piece.astype(dtype).data)

    array = _opened(path, length, dtype)
    if array is None:
        store(path, write)
        array = _opened(path, length, dtype)
    if array is None:
        return np.concatenate([piece.astype(dtype) for piece in make()])
    return array


def _opened(path: Path, length: int, dtype: np.dtype) -> np.ndarray | None:
    with contextlib.suppress(OSError, ValueError, EOFError):
        array = np.load(path, mmap_mode="r")
        if array.shape == (length,) and array.dtype == dtype:
            return array.view(np.ndarray)
    return None


def _path(key: str, suffix: str) -> Path:
    return cache_folder() / f"{hashlib.sha256(key.encode()).hexdigest()}{suffix}"


def store(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file of the cache by `write(temporary path)`; nothing happens if this is impossible.

    No process reads a partial file.
    """
    temporary = path.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
