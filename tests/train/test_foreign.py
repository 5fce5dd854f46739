"""A folder with files that belong to no run is refused, but never that of a killed run."""

import contextlib
import os

import pytest

from train.config import ConfigError
from train.foreign import check_folder
from train.loop import fit
from train.recorder import Run
from train.start import opened


@pytest.fixture
def at_each_write(monkeypatch):
    """Call a function before and after everything that changes files or folders."""

    def watch(look):
        for name in ("open", "replace", "rename", "unlink", "mkdir", "rmdir"):
            monkeypatch.setattr(os, name, watched(getattr(os, name), look))

    return watch


def watched(function, look):
    """Return a function that also calls `look` before and after it."""

    def changed(*args, **options):
        look()
        result = function(*args, **options)
        look()
        return result

    return changed


@pytest.mark.parametrize("refused", [False, True])
def test_a_run_killed_at_any_moment_of_its_start_is_not_refused(
    tmp_path, regression, small_config, at_each_write, refused
):
    workdir, seen = tmp_path / "run", set()
    config = small_config()

    def look():
        check_folder(workdir)
        seen.add(frozenset(path.name for path in workdir.glob("*")))

    run = Run(regression(config), config, workdir)
    at_each_write(look)
    with contextlib.suppress(ConfigError), opened([run]):
        if refused:  # then everything is removed again
            raise ConfigError("too late")
    assert len(seen) > 12
    assert workdir.exists() != refused


def test_a_folder_with_other_files_is_refused_and_stays_as_it_is(
    tmp_path, regression, small_config
):
    config = small_config(steps=1, figures_at=())
    for name in ("a.md", "b.md", "c.md", "d.md"):
        (tmp_path / name).write_text("mine")
    message = r"is not empty and contains no run, but a\.md, b\.md, c\.md, \.\.\.: give another"
    with pytest.raises(ConfigError, match=message):
        fit(regression(config), config, tmp_path)
    assert {path.read_text() for path in tmp_path.iterdir()} == {"mine"}


def test_logs_beside_a_run_are_no_other_files(tmp_path, regression, small_config):
    config = small_config(steps=1, figures_at=())
    for name in ("nohup.out", "slurm-7.out", "job.err", "run.log", "log.txt", ".gitkeep"):
        (tmp_path / name).write_text("")
    assert fit(regression(config), config, tmp_path)["step"] == 1
    (tmp_path / "notes.md").write_text("")  # beside a run, anything
    check_folder(tmp_path)
