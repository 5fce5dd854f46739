"""Settings of the process."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
from jax.experimental.compilation_cache import compilation_cache

from tests.train.conftest import batch_at
from train import rundir
from train.loop import fit
from train.process import cache_folder, keep_compiled_programs, open_standard_streams


def test_freed_memory_is_kept():
    code = """
import resource
from train.process import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        bytearray(2**26)[::4096] = b"x" * 2**14  # a byte in each of 16,384 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

returned = faults()
keep_freed_memory()
faults()
print(returned, faults())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    returned, kept = map(int, done.stdout.split())
    assert kept <= returned / 20


def test_the_cache_needs_no_home(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder() == Path("/home/me/.cache")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)  # KeyError: no such user
    assert cache_folder() is None
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    before = jax.config.jax_compilation_cache_dir
    keep_compiled_programs()
    assert jax.config.jax_compilation_cache_dir == before
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert cache_folder() == Path("/cache")


def test_a_damaged_entry_of_the_cache_is_made_again(tmp_path, recwarn):
    before = jax.config.jax_compilation_cache_dir
    keep_compiled_programs()

    def compiled():
        jax.clear_caches()
        return jax.jit(lambda x: jnp.sin(x) * 7)(1.0)

    try:
        jax.config.update("jax_compilation_cache_dir", str(tmp_path))
        compilation_cache.reset_cache()
        compiled()
        entries = [path for path in tmp_path.iterdir() if path.name.endswith("-cache")]
        sizes = {path: path.stat().st_size for path in entries}
        assert sizes
        for path, size in sizes.items():
            os.truncate(path, size // 2)
        compiled()
        assert {path: path.stat().st_size > size // 2 for path, size in sizes.items()} == (
            dict.fromkeys(entries, True)
        )
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
        compilation_cache.reset_cache()
    assert not [str(w.message) for w in recwarn if "compilation cache" in str(w.message)]


def test_standard_streams_write_any_text_and_may_be_closed(tmp_path, monkeypatch):
    with open(tmp_path / "out", "w", encoding="ascii") as out:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", None)
        open_standard_streams()
        print("é\udcff", file=sys.stdout)
        print("nowhere", file=sys.stderr, flush=True)
        sys.stderr.close()
    assert (tmp_path / "out").read_text() == "\\xe9\\udcff\n"


def test_a_file_system_without_locks_is_a_warning(
    tmp_path, monkeypatch, capsys, regression, small_config
):
    def no_lock(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(rundir.fcntl, "flock", no_lock)
    config = small_config(steps=1, figures_at=())
    fit(regression(config, train=batch_at), config, tmp_path)
    warning = f"warning: {tmp_path / '.lock'} cannot be locked (Function not implemented): do not"
    assert capsys.readouterr().err.startswith(warning)
