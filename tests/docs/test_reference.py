"""The reference: docstrings are plain text, and every room has a page."""

from types import SimpleNamespace

import jax.numpy as jnp

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
    def shown(signature):
        return reference.process_signature(None, "class", "x", None, None, signature, "X")[0]

    flax = ", parent: Module | Scope | None = <flax.Sentinel at 0x1>, name: str | None = None)"
    assert shown("(features: int" + flax) == "(features: int)"
    assert shown("(f: Any = <PjitFunction of <function tanh at 0x7f>>)") == "(f: Any = tanh)"
    assert shown("(f: Any = <function normal.<locals>.init at 0x7f>)") == "(f: Any = normal)"
    assert shown("(dtype: Any = <class 'jax.numpy.float32'>)") == "(dtype: Any = float32)"


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
