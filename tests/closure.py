"""The files that a module of this project loads, and how many lines they have.

    python tests/closure.py lenet5 char_lm

prints for each experiment the lines of the project that importing it loads, outside its own file.
Every import statement of a file counts, also one inside a function, and so does the `__init__` of
each package on the way; a module that is loaded by name, such as a mode, is not counted.
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


def imported(path: Path) -> Iterator[str]:
    """Names that a file imports anywhere in it, absolute: modules, and what may be modules."""
    package = list(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def neighbours(path: Path) -> set[Path]:
    """Files of this project that a file imports, packages on the way included."""
    found = set()
    for name in imported(path):
        parts = name.split(".")
        found |= {path_of(".".join(parts[:i])) for i in range(1, len(parts) + 1)}
    return {other for other in found if other and other != path}


def closure(path: Path) -> set[Path]:
    """Files that importing a file loads, itself among them."""
    seen, left = set(), [path]
    while left:
        path = left.pop()
        if path not in seen:
            seen.add(path)
            left.extend(neighbours(path))
    return seen


def lines_loaded(path: Path) -> int:
    """Lines of the files that importing a file loads, without its own."""
    files = closure(path) - {path}
    return sum(len(each.read_text(encoding="utf-8").splitlines()) for each in files)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name:<16} {lines_loaded(ROOT / 'experiments' / f'{name}.py'):,}")
