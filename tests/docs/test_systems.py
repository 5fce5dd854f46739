"""The pages of the systems: one for each, with code that exists and runs."""

import ast
import contextlib
import functools
import importlib
import io
import re
import shlex
import tomllib

import pytest

from experiments import FOLDER_MODES
from tests.docs.pages import DOCS, PAGES, ROOT, blocks, commands, text_of
from train.cli import PLANNED_MODES, TRAINED_MODES, parse
from train.config import ConfigError

SYSTEMS = sorted((DOCS / "systems").glob("[a-d]*.md"))
OWN = sorted((DOCS / "own").glob("*.md"))
PYTHON = re.compile(r"```python\n(.*?)```(?:\n+```\n(.*?)```)?", re.S)
each_page = pytest.mark.parametrize("path", SYSTEMS, ids=lambda path: path.stem)


def test_each_system_has_a_page_and_the_pages_are_complete():
    listed = tomllib.loads(text_of(ROOT / "experiments" / "systems.toml"))["system"]
    identifiers = {system["id"] for system in listed} - {"E"}  # E: properties of all runs
    assert {path.stem.upper() for path in SYSTEMS} == identifiers
    for path in SYSTEMS:
        text, name = text_of(path), path.stem.upper()
        assert text.startswith(f"# {name}: ")
        assert f"```{{results}} {name}\n```" in text
        for part in ("```{literalinclude}", "## Next", "## In the lectures\n\n```{headings}"):
            assert part in text, (name, part)
        assert "```text" in text, f"{name} has no equation"


@functools.cache
def objects(path):
    """Names of the functions, classes and methods of a file."""
    names = set()
    for node in ast.parse(text_of(path)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            inner = (child for child in node.body if isinstance(child, ast.FunctionDef))
            names |= {f"{node.name}.{child.name}" for child in inner}
    return names


@each_page
def test_code_is_included_by_the_name_of_its_object(path):
    pattern = r"```\{literalinclude\} /(\S+)\n((?::.*\n)*)```"
    found = re.findall(pattern, text_of(path))
    assert len(found) == text_of(path).count("{literalinclude}")
    for name, options in found:
        assert (ROOT / name).is_file()
        if name.endswith(".py"):
            owner = re.fullmatch(r":pyobject: (\S+)\n(:dedent: 4\n)?", options)[1]
            assert owner in objects(ROOT / name), owner
        else:
            assert options == ":language: text\n"


@each_page
def test_python_prints_what_the_page_says(path):
    for code, printed in PYTHON.findall(text_of(path)):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, path.name, "exec"), {"__name__": "page"})
        assert printed
        assert out.getvalue() == printed


def test_only_tested_pages_have_python():
    # test_wheel.py, test_readme.py, test_use_a_run.py and test_own_work.py run them
    tested = {"own_model", "recurrent", "decoding", "ctc", "use_a_run", "new_experiment"}
    tested |= {
        "language_models",
        "convolution",
        "own_data",
        "word2vec",
        *(path.stem for path in OWN),
    }
    assert {path.stem for path in set(PAGES) - set(SYSTEMS) if blocks(path, "python")} <= tested


def first_values(words):
    """Settings of a run of a sweep, the first value of each axis."""
    for word in words:
        if swept := re.fullmatch(r"--(?:sweep|zip)=(\w+)=(.*)", word):
            yield f"--config.{swept[1]}={re.split(r',|[.][.]', swept[2])[0]}"
        elif word.startswith(("--config.", "--flagfile=")):
            yield word


@each_page
def test_settings_in_the_text_are_valid(path):
    names = set(re.findall(r"experiments\.(?!report)(\w+)|--experiment=(\w+)", text_of(path)))
    modules = [importlib.import_module(f"experiments.{a or b}") for a, b in names]
    for span in re.findall(r"`(--config\.[^`]*=[^`]*)`", text_of(path)):
        found = set()
        for module in modules:
            with contextlib.suppress(ConfigError):
                found.add(parse(module.Config, ("train",), ["x", "--workdir=x", *span.split()])[2])
        assert found, span


@each_page
def test_commands_are_valid(path):
    for line in commands(path):
        program, *words = shlex.split(line.rsplit("|")[-1].split("<")[0])
        assert program == "python"
        if words[:2] in (["-m", "experiments.report"], ["-m", "experiments.report.history"]):
            continue
        if words[0] == "launch.py":
            (name,) = (word[13:] for word in words if word.startswith("--experiment="))
        else:
            assert words[0] == "-m"
            name = words[1].removeprefix("experiments.")
        module = importlib.import_module(f"experiments.{name}")
        modes = {*getattr(module, "MODES", {}), *TRAINED_MODES, *PLANNED_MODES, *FOLDER_MODES}
        assert {word[7:] for word in words if word.startswith("--mode=")} <= modes, line
        config, *_ = parse(module.Config, ("train",), ["x", "--workdir=x", *first_values(words)])
        config.check()
