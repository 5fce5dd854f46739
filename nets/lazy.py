"""Packages that import a public name when it is first asked for, as SPEC 1 of Scientific Python.

Ours, because lazy_loader would be a fourth dependency of `nets`.
"""

import ast
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any


def exports(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package whose stub says what it exports.

    package, file: its `__name__` and `__file__`. Beside it lies `__init__.pyi`, which imports every
    public name from the module that defines it. So a reader, an editor and a type checker see the
    names in one place, and importing one of them loads no other module of the room.
    """
    stub = ast.parse(Path(file).with_suffix(".pyi").read_text(encoding="utf-8"))
    modules = {
        alias.name: node.module
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f".{modules[name]}", package), name)

    return get, lambda: sorted(modules)
