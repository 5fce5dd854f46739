"""Benchmarks run by hand; here only that the names exist which they import from the project."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("bench", "data", "experiments", "jobs", "nets", "train")
FILES = sorted((ROOT / "bench").glob("*.py"))


def defined(module):
    """Names at the top of a module of the project, and the modules of a package."""
    path = ROOT.joinpath(*module.split("."))
    source = path.with_suffix(".py")
    names = {file.stem for file in path.glob("*.py")}
    if not source.is_file():
        source = path / "__init__.py"
    if source.with_suffix(".pyi").is_file():
        source = source.with_suffix(".pyi")
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Import() | ast.ImportFrom():
                names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
    return names


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_a_benchmark_imports_exists(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in PACKAGES:
            assert {alias.name for alias in node.names} <= defined(node.module), node.module
