"""Settings of the process: memory allocator, cache of compiled programs, standard streams."""

import ctypes
import functools
import glob
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax._src import compilation_cache  # the public module does not have the reader of an entry

from .files import disk_problem


def keep_freed_memory() -> None:
    """Keep freed memory in the process, where the C library is glibc.

    Otherwise the large buffers of a step are returned to the system, then mapped and cleared again
    in the next step, which takes a quarter of the training time of `nmt` on a CPU. Sizes are in
    bytes; the parameter numbers are those of malloc.h.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        trim_threshold, top_pad, mmap_max, arena_max = -1, -2, -4, -8
        mallopt(arena_max, 1)
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**28)


def cache_folder() -> Path | None:
    """Folder of caches by the XDG specification; None for a user without a home folder."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(given):
        return Path(given)
    try:
        return Path.home() / ".cache"
    except RuntimeError:  # no HOME, and no entry in the list of users
        return None


def keep_compiled_programs() -> None:
    """Let JAX cache compiled programs on disk, so that a resumed run starts in seconds.

    An entry that cannot be read, for example because a full disk truncated it, is deleted and made
    again.
    """
    folder = cache_folder()
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ and folder:
        jax.config.update("jax_compilation_cache_dir", str(folder / "unfold" / "jax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    read = getattr(compilation_cache, "get_executable_and_time", None)
    if read and not hasattr(read, "__wrapped__"):
        compilation_cache.get_executable_and_time = _healing(read)


def _healing(read: Callable[..., Any]) -> Callable[..., Any]:
    """Make a reader of the cache delete what it cannot read: JAX would warn at every start."""

    @functools.wraps(read)
    def read_or_delete(key: str, *arguments: Any) -> Any:
        try:
            return read(key, *arguments)
        except Exception:  # of the decompression or of XLA
            folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
            for path in Path(folder).glob(f"{glob.escape(key)}*") if folder else ():
                path.unlink(missing_ok=True)
            return None, None

    return read_or_delete


def open_standard_streams() -> None:
    """Open the standard streams that are closed, so that no other file takes their numbers.

    Characters that the encoding of a stream lacks are written as backslash escapes.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:
        pass
    os.close(number)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:  # it was closed when Python started
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
        elif mode == "w" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def silence_disk_errors() -> None:
    """Hide errors of a full disk in the threads of libraries: the main thread raises the error.

    Orbax then closes its event loop; the complaints of TensorStore's threads about it are hidden
    as well.
    """
    of_thread, unraisable = threading.excepthook, sys.unraisablehook

    def harmless(error: BaseException | None) -> bool:
        return error is not None and bool(disk_problem(error) or "loop is closed" in str(error))

    def in_thread(given: threading.ExceptHookArgs) -> None:
        if not harmless(given.exc_value):
            of_thread(given)

    def elsewhere(given: "sys.UnraisableHookArgs") -> None:
        if not harmless(given.exc_value):
            unraisable(given)

    threading.excepthook, sys.unraisablehook = in_thread, elsewhere
