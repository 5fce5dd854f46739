"""The pages of docs/own run, with few steps and small networks; so does the Python of other pages.

A page is run in a folder of its own, from top to bottom. Its Python writes the data that its
commands read. A page that adds files to the project is run in a copy of it.
"""

import contextlib
import dataclasses
import importlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import __main__ as experiments_main
from tests.docs.pages import DOCS, text_of
from train.config import RunConfig

ROOT = DOCS.parent
PAGES = sorted(path for path in (DOCS / "own").glob("*.md") if "```sh" in text_of(path))
# other pages: the commands whose data the project has
COMMANDS = {
    "convolution": "lenet5 --workdir=runs/lenet5\n",
    "own_data": "own/",
    "word2vec": "runs/words",
}
PAGES += [DOCS / f"{name}.md" for name in COMMANDS]
BLOCK = re.compile(r"(?:^`([\w/]+\.py)`:\n\n)?^```([^`\n]*)\n(.*?)^```", re.M | re.S)
FEWER = {  # of the examples that a page writes, of the runs of a sweep, of the steps of a trace
    "range(300)": "range(40)",
    "range(2000)": "range(400)",
    "range(1, 4000)": "range(1, 300)",
    "enumerate(zip(images, labels))": "enumerate(zip(images[:200], labels))",
    "seed=0..2": "seed=0",
    "profile=100..110": "profile=1..2",
}
SMALL = {"image_size": 32, "max_length": 40}  # instead of TINY: large enough for own data
CODE = ("nets", "train", "data", "experiments", "jobs")


def tiny_flags(line, text_file):
    """Flags of a run of two steps, for a command that trains; none for another one."""
    name = re.search(r"(?:-m experiments\.|--experiment=)(\w+)", line)
    if not name or name[1] == "report" or "--mode=" in line:
        return []
    try:
        config = importlib.import_module(f"experiments.{name[1]}").Config
    except ModuleNotFoundError:  # an experiment of the page
        config = RunConfig
    fields = {field.name for field in dataclasses.fields(config)}
    values = {**RunConfig.TINY, **config.TINY, **SMALL}
    if "--config.dataset=" in line:
        values["dataset"] = ""
    values["dataset"] = values.get("dataset", "").format(data=text_file.parent)
    return [f"--config.{key}={value}" for key, value in values.items() if key in fields and value]


def in_shell(line, environment):
    """Run a command line in a shell; return what it prints."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        line,
        shell=True,
        env={**environment, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (line, done.stdout + done.stderr)
    return done.stdout


def printed_by(function, *arguments):
    """Return what a call prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        function(*arguments)
    return out.getvalue()


@pytest.fixture
def run(monkeypatch, one_device, text_file):
    """Run a command of a page, in a shell or in this process; return what it prints."""

    def run(line, shell):
        line += " ".join(["", *map(shlex.quote, tiny_flags(line, text_file))])
        if shell or "launch.py" in line or " -m " not in line:
            return in_shell(line, one_device)
        before, _, line = line.rpartition(" | ")
        given = in_shell(before, one_device) if before else "parser\n"  # to a mode that asks
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
        program, option, name, *flags = shlex.split(line)
        assert (program.rpartition("/")[2], option) == ("python", "-m")
        monkeypatch.setattr(sys, "argv", [name, *flags])
        if name == "experiments":
            return printed_by(experiments_main.main, sys.argv)
        module = importlib.import_module(name)
        return printed_by(
            module.cli.run, module.Config, module.build, module.make_task, module.MODES
        )

    return run


def commands_of(block, page):
    """Commands of a block whose data exist, with continued lines joined."""
    lines = block.replace("\\\n", "").splitlines(keepends=True)
    return [line.strip() for line in lines if COMMANDS.get(page, "") in line]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_the_page_runs(page, run, voc, tmp_path, monkeypatch):
    text = text_of(page)
    for many, few in FEWER.items():
        text = text.replace(many, few)
    blocks = BLOCK.findall(text)
    adds = any(name for name, *_ in blocks)
    for name in CODE:
        (shutil.copytree if adds else os.symlink)(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "launch.py", tmp_path)
    (tmp_path / "docs").symlink_to(DOCS)
    (tmp_path / "VOCdevkit").mkdir()
    voc.rename(tmp_path / "VOCdevkit" / "VOC2012")
    monkeypatch.chdir(tmp_path)
    names, printed, results = {"__name__": "page"}, "", []
    for name, kind, block in blocks:
        if name:
            Path(name).write_text(block, encoding="utf-8")
        elif kind == "diff":
            subprocess.run(["git", "apply", "-"], input=block, text=True, check=True)
        elif kind == "python":
            results.append(printed_by(exec, compile(block, page.name, "exec"), names))
        elif kind == "sh":
            printed += "".join(run(line, adds) for line in commands_of(block, page.stem))
    assert printed
    shown = [block for _, kind, block in blocks if not kind]
    if page.parent == DOCS:  # in docs/own they depend on a training
        assert {text for text in results if text} <= set(shown)
    else:
        metrics = re.findall(r"\b(?:train|validation|test)/\w+", "".join(shown))
        assert [name for name in metrics if name not in printed] == []
