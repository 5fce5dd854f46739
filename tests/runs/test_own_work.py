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
COMMANDS = {"convolution": "lenet5 --workdir=runs/lenet5\n", "own_data": "own/", "word2vec": "runs/words"}
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
SMALL = {"image_size": 32, "heldout_characters": 200, "sample_length": 20, "dictionary": 50}
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
    values = {**SMALL, **RunConfig.TINY, **config.TINY}
    if "--config.dataset=" in line:
        values["dataset"] = ""
    values["dataset"] = values.get("dataset", "").format(data=text_file.parent)
    return [f"--config.{key}={value}" for key, value in values.items() if key in fields and value]


@pytest.fixture
def here(monkeypatch):
    """Run a command in this process; return what it prints."""

    def here(line):
        *before, line = line.split(" | ")
        given = b"parser\n"  # to a mode that asks
        if before:
            given = subprocess.run(" | ".join(before), shell=True, capture_output=True).stdout
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        _, _, name, *flags = words = shlex.split(line)
        assert words[0].endswith("python")
        assert words[1] == "-m"
        monkeypatch.setattr(sys, "argv", [name, *flags])
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            if name == "experiments":
                experiments_main.main(sys.argv)
            else:
                module = importlib.import_module(name)
                module.cli.run(module.Config, module.build, module.make_task, module.MODES)
        return out.getvalue()

    return here


@pytest.fixture
def apart(one_device):
    """Run a command line in a shell; return what it prints."""

    def apart(line, given=None):
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            line,
            shell=True,
            input=given,
            env={**one_device, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (line, done.stdout + done.stderr)
        return done.stdout

    return apart


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_the_page_runs(page, here, apart, tmp_path, text_file, monkeypatch, request):
    text = text_of(page)
    for many, few in FEWER.items():
        text = text.replace(many, few)
    blocks = BLOCK.findall(text)
    adds = any(name for name, *_ in blocks)
    bring = shutil.copytree if adds else os.symlink
    for name in CODE:
        bring(ROOT / name, tmp_path / name)
    (tmp_path / "docs").symlink_to(DOCS)
    (tmp_path / "launch.py").symlink_to(ROOT / "launch.py")
    monkeypatch.chdir(tmp_path)
    if "VOCdevkit" in text:
        Path("VOCdevkit").mkdir()
        request.getfixturevalue("voc").rename("VOCdevkit/VOC2012")
    names, printed, shown = {"__name__": "page"}, "", ""
    for name, kind, block in blocks:
        if name:
            Path(name).write_text(block, encoding="utf-8")
        elif kind == "diff":
            apart("git apply -", block)
        elif kind == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(block, page.name, "exec"), names)
            printed += out.getvalue()
            if page.parent == DOCS:  # elsewhere it depends on a training
                shown = out.getvalue()
        elif kind == "sh":
            for line in block.replace("\\\n", "").splitlines(keepends=True):
                if COMMANDS.get(page.stem, "") not in line:
                    continue
                line = line.strip()
                elsewhere = adds or "launch.py" in line or " -m " not in line
                line += " ".join(["", *map(shlex.quote, tiny_flags(line, text_file))])
                printed += (apart if elsewhere else here)(line)
        elif shown:
            assert block == shown
            shown = ""
        else:
            for metric in re.findall(r"\b[a-z_]+/[a-z_]+\b", block):
                assert metric in printed, metric
    assert printed
