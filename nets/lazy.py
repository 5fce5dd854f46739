"""Lazy exports: a package imports a public name on first access, as in Scientific Python's SPEC 1.

Implemented here because lazy_loader would be a fourth dependency of `nets`.
"""

import ast
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any


def exports(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package that lists its exports in a stub.

    package, file: `__name__` and `__file__` of the package. The stub `__init__.pyi` next to `file`
    imports every public name from the module that defines it. Readers, editors and type checkers
    thus see all names in one file, and importing a name loads only the modules that it needs.
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
