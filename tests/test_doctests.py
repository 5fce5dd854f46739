"""The examples in the docstrings of nets print what they say."""

import ast
import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "nets").rglob("*.py"))


def docstrings(path):
    """Name, line and text of each docstring of a file, those of Flax's wrapped methods included.

    doctest's own search skips a decorated function whose wrapper comes from another module.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "name", path.stem), node.body[0].lineno - 1, text


def examples(path):
    parser = doctest.DocTestParser()
    return [entry for entry in docstrings(path) if parser.get_examples(entry[2])]


WITH_EXAMPLES = [path for path in FILES if examples(path)]


def test_some_docstring_has_an_example():
    assert WITH_EXAMPLES


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda p: str(p.relative_to(ROOT)))
def test_examples_print_what_they_say(path):
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    module = importlib.import_module(name)
    for owner, line, text in examples(path):
        test = doctest.DocTestParser().get_doctest(
            text, dict(vars(module)), f"{name}.{owner}", str(path), line
        )
        report = []
        result = doctest.DocTestRunner(verbose=False).run(test, out=report.append)
        assert result.attempted
        assert not result.failed, "".join(report)
