"""The pages of the documentation, as text: their headings, links, pictures and blocks."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
SHOWN = [*PAGES, *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]
SHOWN += [ROOT / "experiments" / "README.md", *sorted((ROOT / "bench").glob("*.md"))]


def text_of(path):
    return path.read_text(encoding="utf-8")


def prose(path):
    """Text of a page without its blocks of code and code in lines."""
    text = re.sub(r"^```.*?^```", "", text_of(path), flags=re.S | re.M)
    return re.sub(r"`[^`\n]+`", "", text)


def anchors(path):
    """Names of the places of a page: its headings, as MyST names them, and its targets."""
    text = re.sub(r"^```.*?^```", "", text_of(path), flags=re.S | re.M)
    headings = re.findall(r"^#{1,3} (.*)$", text, re.M)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r"^\(([\w-]+)\)=$", text, re.M))


def exists(base, target):
    """Return whether a target, a path from a folder with an anchor if need be, exists."""
    name, _, anchor = target.partition("#")
    path = (base / name).resolve()
    return path.exists() and (not anchor or anchor in anchors(path))


def blocks(path, language):
    """Texts of the blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text_of(path), re.S | re.M)


def commands(path):
    """Commands of a page, with continued lines joined."""
    lines = "".join(blocks(path, "sh")).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip()]
