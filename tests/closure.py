"""The files of this project that importing a module loads, and their number of lines.

    python tests/closure.py lenet5 char_lm

prints for each experiment the lines that importing it loads, except those of its own file. The
`__init__` of every parent package counts. Deferred imports do not: those inside a function, modes
loaded by name, and the lazy public names of a package in nets/.
"""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@cache
def path_of(module: str) -> Path | None:
    """File of a module of this project; None for any other module."""
    base = ROOT.joinpath(*module.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def module_of(path: Path) -> str:
    """Dotted name of a file."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes executed when a module is imported, without functions and TYPE_CHECKING blocks."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue
        yield node
        yield from at_import(node)


def imported(path: Path, deferred: bool = False) -> Iterator[str]:
    """Absolute names that a file imports: modules, and names that may be modules.

    deferred: include imports inside functions and TYPE_CHECKING blocks.
    """
    package = list(path.relative_to(ROOT).parent.parts)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if deferred else at_import(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


@cache
def neighbours(path: Path, deferred: bool = False) -> frozenset[Path]:
    """Files of this project that a file imports, including the `__init__` of parent packages."""
    paths = set()
    for name in imported(path, deferred):
        parts = name.split(".")
        paths |= {path_of(".".join(parts[:i])) for i in range(1, len(parts) + 1)}
    return frozenset(other for other in paths if other and other != path)


def closure(path: Path, deferred: bool = False) -> set[Path]:
    """Files that importing a file loads, including itself; deferred: as in `imported`."""
    loaded, pending = set(), [path]
    while pending:
        path = pending.pop()
        if path not in loaded:
            loaded.add(path)
            pending.extend(neighbours(path, deferred))
    return loaded


def lines_loaded(path: Path) -> int:
    """Lines of the files that importing a file loads, except its own."""
    files = closure(path) - {path}
    return sum(len(each.read_text(encoding="utf-8").splitlines()) for each in files)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name:<16} {lines_loaded(ROOT / 'experiments' / f'{name}.py'):,}")
