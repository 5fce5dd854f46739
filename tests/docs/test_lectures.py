"""The map of the lectures: each heading has a target that exists, each system a heading."""

import re

from docs.extensions import measured
from tests.docs.pages import DOCS, exists, text_of

BEYOND = {"d2"}  # attention, which the lectures do not have


def test_each_heading_has_targets_that_exist():
    lectures = measured.read_lectures()
    assert len(lectures) == 4
    for lecture in lectures.values():
        assert lecture["title"]
        for heading, *targets in lecture["headings"]:
            assert heading == heading.strip() != ""
            assert targets, heading
            assert all(exists(DOCS, target) for target in targets), (heading, targets)
            assert len(set(targets)) == len(targets)


def test_the_map_has_a_section_for_each_lecture():
    text = text_of(DOCS / "lectures.md")
    sections = re.findall(r"^\(([\w-]+)\)=\n## .*\n\n```\{lecture\} ([\w-]+)\n```", text, re.M)
    assert sections == [(name, name) for name in measured.read_lectures()]


def test_some_heading_leads_to_each_system():
    rows = [row for lecture in measured.read_lectures().values() for row in lecture["headings"]]
    reached = {target for _, *targets in rows for target in targets}
    pages = {path.stem for path in (DOCS / "systems").glob("[a-d]*.md")}
    assert {stem for stem in pages if f"systems/{stem}.md" not in reached} == BEYOND


def test_a_page_quotes_the_headings_that_lead_to_it():
    lines = measured.headings_text("systems/c2.md")
    assert "“Gradient Clipping (Pascanu et al., 2013)”" in lines[-2]
    assert measured.headings_text("systems/d2.md") == ["The lectures do not have it."]
