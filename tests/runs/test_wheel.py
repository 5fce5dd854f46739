"""The wheel: one package, `unfold`, whose networks need jax, flax and numpy alone."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("nets", "train", "data")
CORE = {"jax", "flax", "numpy"}
PAGES = ("own_model", "recurrent", "decoding", "ctc")

# runs as a user would, whose own modules have the names of ours
SCRIPT = """
import contextlib, importlib.util, io, json, sys

sys.path[:0] = json.loads(sys.argv[1])
import data, nets, train
import unfold.nets, unfold.train, unfold.data

assert (data.OWNER, nets.OWNER, train.OWNER) == ("user",) * 3
for name in ("matplotlib", "sklearn", "tensorflow_datasets"):
    assert importlib.util.find_spec(name) is None, name
printed = []
for page in json.loads(sys.argv[2]):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(page, "page", "exec"), {"__name__": "page"})
    printed.append(out.getvalue())
ours = [name for name in sys.modules if name.split(".")[0] in ("nets", "train", "data")]
assert sorted(ours) == ["data", "nets", "train"], ours
print(json.dumps(printed))
"""


def sources(part):
    return sorted(p for p in (ROOT / part).rglob("*.py*") if p.suffix in {".py", ".pyi"})


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel from a copy of the sources, offline, and return its path."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "sources"
    for part in PARTS:
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    build = "import sys; from setuptools import build_meta as b; b.build_wheel(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", build, str(folder)],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Install the wheel into a folder of its own: a pure wheel is installed by unpacking it."""
    target = tmp_path_factory.mktemp("target")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


@pytest.fixture(scope="module")
def requirements(installed):
    """Names that the wheel requires: {extra, or "" for all: names}."""
    (distribution,) = metadata.distributions(path=[str(installed)])
    needs = [Requirement(line) for line in distribution.requires]
    return {
        extra: {
            canonicalize_name(need.name)
            for need in needs
            if need.marker is None or need.marker.evaluate({"extra": extra})
        }
        for extra in ("", "train", "data")
    }


def link_distributions(names, folder):
    """Link the files of distributions, and of all that they require, into a folder."""
    todo, done = [Requirement(name) for name in names], set()
    while todo:
        need = todo.pop()
        for extra in ("", *need.extras):
            if (need.name, extra) in done:
                continue
            done.add((need.name, extra))
            distribution = metadata.distribution(need.name)
            for top in {path.parts[0] for path in distribution.files} - {"..", "__pycache__"}:
                if not (folder / top).exists():
                    (folder / top).symlink_to(distribution.locate_file(top))
            for line in distribution.requires or ():
                more = Requirement(line)
                if more.marker is None or more.marker.evaluate({"extra": extra}):
                    todo.append(more)


def examples(page):
    """Code of a page and what it prints: each block of Python that a block of output follows."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    block = r"((?:(?!```).)*)```"
    pairs = re.findall(rf"```python\n{block}(?:(?!```).)*?\n```\n{block}", text, re.S)
    assert pairs, page
    code, printed = ("".join(parts) for parts in zip(*pairs, strict=True))
    return re.sub(r"^(from|import) nets\b", r"\1 unfold.nets", code, flags=re.M), printed


def test_the_wheel_installs_one_package(wheel, installed):
    info = "-".join(wheel.name.split("-")[:2]) + ".dist-info"
    assert {path.name for path in installed.iterdir()} == {"unfold", info}
    assert "Root-Is-Purelib: true" in (installed / info / "WHEEL").read_text()
    expected = {path.relative_to(ROOT) for part in PARTS for path in sources(part)}
    files = {p.relative_to(installed / "unfold") for p in (installed / "unfold").rglob("*.*")}
    assert files == expected | {Path("__init__.py"), Path("py.typed")}


def test_a_user_runs_the_examples_with_jax_and_flax_alone(installed, tmp_path):
    user, links = tmp_path / "user", tmp_path / "links"
    (user / "data").mkdir(parents=True)
    links.mkdir()
    for name in ("data/__init__.py", "train.py", "nets.py"):
        (user / name).write_text('OWNER = "user"\n')
    link_distributions(CORE, links)
    codes, printed = zip(*map(examples, PAGES), strict=True)
    path = [str(folder) for folder in (user, installed, links)]
    done = subprocess.run(  # -I and -S: neither this project nor its environment
        [sys.executable, "-I", "-S", "-c", SCRIPT, *map(json.dumps, (path, codes))],
        cwd=user,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == list(printed)


def third_party(part):
    """Distributions whose modules a part imports, anywhere in its files."""
    modules = set()
    for path in sources(part):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add(node.module)
    tops = {module.split(".")[0] for module in modules} - set(sys.stdlib_module_names)
    owners = metadata.packages_distributions()
    owners["google"] = ["protobuf"]  # the only one of several that is imported
    return {canonicalize_name(owners[top][0]) for top in tops}


def test_the_networks_require_jax_flax_and_numpy_alone(requirements):
    assert requirements[""] == CORE
    assert third_party("nets") <= CORE


@pytest.mark.parametrize("part", ["train", "data"])
def test_each_extra_brings_all_that_its_part_imports(part, requirements):
    assert third_party(part) <= requirements[part]
