"""Files of a run: links, a full disk, and what it becomes at the command line."""

import errno
import os
import resource

import pytest

from train import cli
from train.config import OptimizerConfig
from train.files import append_text, disk_problem, replace_file


def test_links_are_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    for name in ("flags.txt", "flags.txt.part", "log"):
        (tmp_path / name).symlink_to(victim)
    replace_file(tmp_path / "flags.txt", "new")
    assert not (tmp_path / "flags.txt").is_symlink()
    assert (tmp_path / "flags.txt").read_text() == "new"
    with pytest.raises(OSError, match="symbolic links"):
        append_text(tmp_path / "log", "more")
    assert victim.read_text() == "mine"


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_else(tmp_path):
    (tmp_path / "file").write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            replace_file(tmp_path / "file", "x" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert disk_problem(caught.value) == os.strerror(errno.EFBIG)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_a_full_disk_is_found_behind_the_errors_of_libraries():
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a/file")
    outer = RuntimeError("saving failed")
    outer.__context__ = full
    assert disk_problem(outer) == "No space left on device: a/file"
    text = "RESOURCE_EXHAUSTED: Error writing local file [OS error 28: No space left on device]"
    assert disk_problem(ValueError(text)) == "No space left on device"
    assert disk_problem(FileNotFoundError(errno.ENOENT, "no such file")) == ""
    outer.__context__ = None
    outer.__cause__ = outer
    assert disk_problem(outer) == ""


def test_a_full_disk_is_one_line(monkeypatch, tmp_path, capfd):
    def build(config):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    codes = []
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr("sys.argv", ["x", f"--workdir={tmp_path / 'run'}"])
    with pytest.raises(OSError, match="No space"):  # since the process has not ended
        cli.run(OptimizerConfig, build, None)
    assert codes == [74]
    error = "error: No space left on device; once this is fixed, the same command continues\n"
    assert capfd.readouterr().err == error
