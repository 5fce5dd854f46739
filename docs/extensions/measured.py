"""Directives that fill pages from files of the repository, so that no figure is typed by hand.

```{results} B10```     results of a system, from experiments/systems.toml and its results
```{ratios} ctc```      ratios of a benchmark, from its file in bench/
```{lecture} chai```    headings of a lecture with links to their pages, from docs/lectures.toml
```{headings}```        headings of the lectures that lead to this page
"""

import os
import tomllib
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from bench import ratios
from experiments.report import systems

ROOT = Path(__file__).resolve().parents[2]
LECTURES = ROOT / "docs" / "lectures.toml"


def read_lectures() -> dict[str, dict[str, Any]]:
    """The lectures by name: title, and rows of a heading and its targets below docs/."""
    return tomllib.loads(LECTURES.read_text(encoding="utf-8"))


def lecture_text(name: str) -> list[str]:
    """Lines of Markdown: each heading of a lecture with links to its targets."""
    rows = read_lectures()[name]["headings"]
    links = [", ".join(f"[](/docs/{target})" for target in targets) for _, *targets in rows]
    pairs = [(heading, link) for (heading, *_), link in zip(rows, links, strict=True)]
    return systems.markdown(("heading", "here"), pairs)


def headings_text(page: str) -> list[str]:
    """Lines of Markdown: for each lecture, its headings that have a page below docs/ as target."""
    lines = []
    for name, lecture in read_lectures().items():
        found = {h: None for h, *targets in lecture["headings"] if page in targets}
        if found:
            quoted = "; ".join(h if h.startswith("(") else f"“{h}”" for h in found)
            lines.append(f"- [{lecture['title']}](/docs/lectures.md#{name}): {quoted}")
    return lines or ["The lectures do not have it."]


class Filled(SphinxDirective):
    """A directive whose content is Markdown made from files."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the nodes of the text."""
        argument = self.arguments[0] if self.arguments else ""
        if self.name == "results":
            lines = systems.results_text(argument, ROOT / "experiments")
            for path in (ROOT / "experiments").glob("results/*.json"):
                self.env.note_dependency(os.fspath(path))
            self.env.note_dependency(os.fspath(ROOT / "experiments" / "systems.toml"))
        elif self.name == "ratios":
            path = ROOT / "bench" / f"{argument}.md"
            lines = ratios.body(path).split("\n")
            self.env.note_dependency(os.fspath(path))
        else:
            page = f"{self.env.docname.removeprefix('docs/')}.md"
            lines = lecture_text(argument) if self.name == "lecture" else headings_text(page)
            self.env.note_dependency(os.fspath(LECTURES))
        node = nodes.container()
        self.state.nested_parse(StringList(lines, self.get_location()), 0, node)
        return node.children


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directives."""
    for name in ("results", "ratios", "lecture", "headings"):
        app.add_directive(name, Filled)
    return {"parallel_read_safe": True}
