"""The reference, from docstrings, which are plain text.

    .. reference:: nets.recurrent     the exports of a room of nets, or the modules of another room

Docstrings are not written in a markup language, so none of their characters may act as one: a
paragraph becomes text with `names` as code, an indented block or a table keeps its lines, an
example is code, and a list stays a list.
"""

import ast
import importlib
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
from docutils import nodes
from docutils.statemachine import StringList
from jax.typing import ArrayLike
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import stringify_annotation

ROOT = Path(__file__).resolve().parents[2]
FIELDS_OF_FLAX = re.compile(r", parent: .*?(?=, name:), name: str \| None = None")
TYPES = {  # as Sphinx writes them, in the order of replacement: their public names
    stringify_annotation(ArrayLike, mode="smart"): "jax.typing.ArrayLike",
    stringify_annotation(jax.Array, mode="smart"): "jax.Array",
}
FUNCTION = re.compile(r"<(?:\w+ of <)?function ([\w.]+?)(?:\.<locals>[\w.<>]*)?(?: at \w+)?>+")


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Kind (text, list, example or literal) and text of each block, the indentation removed."""
    literal: list[str] = []
    for block in re.split(r"\n\s*\n", text):
        if block.startswith(" ") and not block.lstrip().startswith(">>>"):
            literal.append(block)
            continue
        if literal:
            yield "literal", textwrap.dedent("\n\n".join(literal))
            literal = []
        plain = textwrap.dedent(block).strip("\n")
        if plain.startswith(">>>"):
            yield "example", plain
        elif re.match(r"=+( +=+)+$", plain.split("\n")[0]):
            yield "literal", plain
        elif plain.startswith("- "):
            yield "list", plain
        elif plain:
            yield "text", plain
    if literal:
        yield "literal", textwrap.dedent("\n\n".join(literal))


def inline(text: str) -> str:
    """Escape a paragraph, except that `x` becomes code."""
    parts = re.split(r"`([^`]+)`", " ".join(text.split()))
    escaped = [re.sub(r"([\\*|_`])", r"\\\1", part) for part in parts[::2]]
    code = [rf"\ ``{part.strip()}``\ " for part in parts[1::2]]
    joined = "".join(a + b for a, b in zip(escaped, [*code, ""], strict=True))
    return joined.removeprefix("\\ ").removesuffix("\\ ")


def restructured(text: str) -> list[str]:
    """Lines of reStructuredText for a docstring without its common indentation."""
    lines: list[str] = []
    for kind, block in blocks(text):
        if kind == "text":
            lines += [inline(block), ""]
        elif kind == "list":
            lines += [f"- {inline(item)}" for item in re.split(r"^- ", block, flags=re.M)[1:]]
            lines.append("")
        else:
            language = "pycon" if kind == "example" else "text"
            indented = textwrap.indent(block, "   ").split("\n")
            lines += [f".. code-block:: {language}", "", *indented, ""]
    return lines


def process_docstring(  # noqa: PLR0917, as Sphinx calls it by position
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Replace the lines of a docstring; a table of functions by name has only its names."""
    if what == "data":
        names = ", ".join(f"``{key}``" for key in obj) if isinstance(obj, dict) else ""
        lines[:] = [f"A table with the names {names}."] if names else []
        return
    lines[:] = restructured("\n".join(lines))


def readable(signature: str) -> str:
    """Return a signature with the public names of types, and of functions instead of addresses.

    The two fields that Flax adds to each module are left out.
    """
    for annotation, name in TYPES.items():
        signature = signature.replace(annotation, f"~{name}")
    signature = FUNCTION.sub(r"\1", FIELDS_OF_FLAX.sub("", signature))
    return re.sub(r"<class '(?:[\w.]+\.)?(\w+)'>", r"\1", signature)


def process_signature(  # noqa: PLR0917, as Sphinx calls it by position
    app: Sphinx,
    what: str,
    name: str,
    obj: Any,
    options: Any,
    signature: str | None,
    result: str | None,
) -> tuple[str | None, str | None]:
    """Make the signature and the type of the result readable."""
    return signature and readable(signature), result and readable(result)


def skip_member(  # noqa: PLR0917, as Sphinx calls it by position
    app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool:
    """Skip fields that hold a function or class, and what Flax or a named tuple generates."""
    generated = (getattr(obj, "__doc__", None) or "").startswith("Alias for field number")
    held = what == "class" and getattr(obj, "__name__", name) != name
    return skip or generated or held or name == "setup"


def exported(room: Path) -> list[str]:
    """Names that the stub of a room exports, in its order."""
    stub = ast.parse((room / "__init__.pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return [alias.name for node in imports for alias in node.names]


def description(package: str) -> list[str]:
    """Lines of reStructuredText that describe a package of nets, train or data."""
    room = ROOT / package.replace(".", "/")
    lines = [f".. automodule:: {package}", "   :no-index:", ""]
    if (room / "__init__.pyi").is_file():
        module = importlib.import_module(package)
        for name in exported(room):
            value = getattr(module, name)
            kind = "class" if isinstance(value, type) else "function" if callable(value) else "data"
            lines.append(f".. auto{kind}:: {package}.{name}")
            options = {
                "class": [":members:", ":special-members: __call__", ":member-order: bysource"],
                "data": [":no-value:"],
            }
            lines += [f"   {option}" for option in options.get(kind, [])] + [""]
        return lines
    for path in sorted(room.glob("[!_]*.py")):
        name = f"{package}.{path.stem}"
        lines += [f".. rubric:: {name}", "", f".. automodule:: {name}"]
        lines += ["   :members:", "   :special-members: __call__", "   :member-order: bysource", ""]
    return lines


class Reference(SphinxDirective):
    """The description of a package."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the nodes of the description."""
        package = self.arguments[0]
        for path in (ROOT / package.replace(".", "/")).glob("*.py*"):
            self.env.note_dependency(str(path))
        node = nodes.container()
        self.state.nested_parse(StringList(description(package), self.get_location()), 0, node)
        return node.children


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive and the hooks of autodoc."""
    app.add_directive("reference", Reference)
    app.connect("autodoc-process-docstring", process_docstring)
    app.connect("autodoc-process-signature", process_signature)
    app.connect("autodoc-skip-member", skip_member)
    return {"parallel_read_safe": True}
