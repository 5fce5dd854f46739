"""The reference: docstrings are plain text, and every room has a page."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
from sphinx.util.typing import stringify_annotation

from docs.extensions import reference
from nets.recurrent import LSTMCell
from tests.docs.pages import DOCS, ROOT, text_of

DOCSTRING = """One *sentence* of `code` and a_b, |c| and h_{t-1}.

    h = f(x)    kept

      as it is

- an item that
  goes on
- `another`

======  ====
layer   size
======  ====

>>> 1 + 1
2
"""


def test_only_blocks_and_names_in_backquotes_are_marked_up():
    assert reference.restructured(DOCSTRING) == [
        r"One \*sentence\* of \ ``code``\  and a\_b, \|c\| and h\_{t-1}.",
        "",
        ".. code-block:: text",
        "",
        "   h = f(x)    kept",
        "",
        "     as it is",
        "",
        "- an item that goes on",
        "- ``another``",
        "",
        ".. code-block:: text",
        "",
        "   ======  ====",
        "   layer   size",
        "   ======  ====",
        "",
        ".. code-block:: pycon",
        "",
        "   >>> 1 + 1",
        "   2",
        "",
    ]


def test_a_signature_has_neither_fields_of_flax_nor_addresses():
    flax = ", parent: Module | Scope | None = <flax.Sentinel at 0x1>, name: str | None = None)"
    assert reference.readable("(features: int" + flax) == "(features: int)"
    for function in (
        "<PjitFunction of <function tanh at 0x7f>>",
        "<function tanh.<locals>.f at 0x7>",
    ):
        assert reference.readable(f"(f: Any = {function})") == "(f: Any = tanh)"
    assert (
        reference.readable("(dtype: Any = <class 'jax.numpy.float32'>)") == "(dtype: Any = float32)"
    )


def test_types_have_their_public_names():
    def annotated(annotation):
        return reference.readable(stringify_annotation(annotation, mode="smart"))

    assert annotated(jax.Array) == "~jax.Array"
    assert annotated(jax.typing.ArrayLike | None) == "~jax.typing.ArrayLike | None"


def test_fields_that_hold_functions_are_no_members():
    def skipped(owner, name):
        return reference.skip_member(None, "class", name, getattr(owner, name), False, None)

    assert skipped(SimpleNamespace(activation=jnp.tanh), "activation")
    assert not skipped(LSTMCell, "step")
    assert not skipped(LSTMCell, "gates")


def test_each_room_has_a_page_in_the_index():
    rooms = {
        path.parent for path in (*ROOT.glob("nets/*/__init__.py"), *ROOT.glob("data/*/__init__.py"))
    }
    names = {".".join(room.relative_to(ROOT).parts) for room in rooms} | {"data", "train"}
    assert {path.stem for path in (DOCS / "api").glob("*.md")} == names | {"index"}
    for name in names:
        assert f".. reference:: {name}\n" in text_of(DOCS / "api" / f"{name}.md")


def test_a_room_of_nets_is_described_by_its_exports():
    lines = reference.description("nets.recurrent")
    for line in ("class:: nets.recurrent.LSTMCell", "data:: nets.recurrent.CELLS"):
        assert f".. auto{line}" in lines
    assert ".. autofunction:: nets.recurrent.from_torch" in lines
