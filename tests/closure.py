"""The files that a module of this project loads, and how many lines they have.

    python tests/closure.py lenet5 char_lm

prints for each experiment the lines of the project that importing it loads, outside its own file.
The `__init__` of each package on the way counts. What is loaded later does not: an import inside a
function, a mode that is loaded by its name, a public name of a package in nets/.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def path_of(module: str) -> Path | None:
    """File of a module of this project; None of any other."""
    base = ROOT.joinpath(*module.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def module_of(path: Path) -> str:
    """Dotted name of a file."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes that run when a module is imported: none of a function, none for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue
        yield node
        yield from at_import(node)


def imported(path: Path, deferred: bool = False) -> Iterator[str]:
    """Absolute names that a file imports: modules, and names that may be modules.

    deferred: count imports inside functions and those for type checkers too.
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


def neighbours(path: Path, deferred: bool = False) -> set[Path]:
    """Files of this project that a file imports, packages on the way included."""
    found = set()
    for name in imported(path, deferred):
        parts = name.split(".")
        found |= {path_of(".".join(parts[:i])) for i in range(1, len(parts) + 1)}
    return {other for other in found if other and other != path}


def closure(path: Path, deferred: bool = False) -> set[Path]:
    """Files that importing a file loads, itself among them; deferred: also those loaded later."""
    loaded, left = set(), [path]
    while left:
        path = left.pop()
        if path not in loaded:
            loaded.add(path)
            left.extend(neighbours(path, deferred))
    return loaded


def lines_loaded(path: Path) -> int:
    """Lines of the files that importing a file loads, without its own."""
    files = closure(path) - {path}
    return sum(len(each.read_text(encoding="utf-8").splitlines()) for each in files)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name:<16} {lines_loaded(ROOT / 'experiments' / f'{name}.py'):,}")
