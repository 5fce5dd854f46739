"""Links lead somewhere, pictures have texts, and each page is in a table of contents."""

import re

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, SHOWN, exists, prose, text_of


@pytest.mark.parametrize("path", SHOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(path):
    for link in re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", prose(path)):
        if "://" not in link:
            target = f"{path.name}{link}" if link.startswith("#") else link
            assert exists(path.parent, target), link


@pytest.mark.parametrize("path", SHOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_picture_has_a_text_that_says_what_it_shows(path):
    for text, picture in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", prose(path)):
        assert (path.parent / picture).is_file(), picture
        assert len(text.split()) >= 4, (picture, text)


def test_each_page_is_in_one_table_of_contents():
    listed = []
    for path in PAGES:
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", text_of(path), re.S):
            names = [line for line in tree.splitlines() if line and not line.startswith(":")]
            for name in names:
                target = re.sub(r".*<(.*)>", r"\1", name).removesuffix(".md")
                listed += path.parent.glob(f"{target}.md")
    listed = [path.resolve() for path in listed]
    assert sorted(listed) == sorted({path.resolve() for path in SHOWN} - {DOCS / "index.md"})


def test_each_picture_has_a_command_that_draws_it():
    rows = re.findall(r"^\| `(\w+\.png)` \| (.*) \| (.*) \|$", text_of(DOCS / "pictures.md"), re.M)
    assert [name for name, _, _ in rows] == sorted(path.name for path in DOCS.glob("*.png"))
    for name, run, command in rows:
        assert command.startswith(("`python -m ", "none: ")), name
        for module in re.findall(r"python -m ([\w.]+)", run + command):
            assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module
        written = re.findall(r"docs/(\w+\.png)", command)
        assert written == [name] * len(written), name
