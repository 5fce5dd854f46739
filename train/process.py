"""Settings of the process: the memory allocator and the cache of compiled programs."""

import ctypes
import os
from pathlib import Path

import jax


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


def keep_compiled_programs() -> None:
    """Let JAX cache compiled programs on disk, so that a resumed run starts in seconds."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "unfold" / "jax"
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
