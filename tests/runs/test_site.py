"""The documentation site is built without a warning, a network or an installed inventory."""

import re

from tests.conftest import ROOT


def test_the_site_is_built_without_a_warning(command, tmp_path):
    recipe = re.search(r"^docs:.*\n\t(.*)$", (ROOT / "Makefile").read_text(), re.M)[1]
    program, *words = recipe.split()
    assert program == "$(BIN)/python"
    assert {"-W", "docs/_build"} <= set(words)
    built = tmp_path / "site"
    done = command(*[str(built) if word == "docs/_build" else word for word in words])
    assert done.returncode == 0, done.stderr
    for name in ("index.html", "search.html", "README.html", "docs/lectures.html"):
        assert (built / name).is_file()
    page = (built / "docs" / "systems" / "b2.html").read_text(encoding="utf-8")
    assert "60,850" in page
    assert "LeCun et al. 1998" in page  # a published value, beside ours
    page = (built / "docs" / "api" / "nets.recurrent.html").read_text(encoding="utf-8")
    assert 'id="nets.recurrent.LSTMCell"' in page
