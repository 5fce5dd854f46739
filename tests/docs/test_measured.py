"""Results on a page come from the files of results."""

import json
import re

import pytest

from bench import ratios
from experiments.report import systems
from tests.docs.pages import PAGES, ROOT, text_of

SYSTEMS = """
[[system]]
id = "A1"
name = "first"
published = "1 %"
results = ["one"]
show = ["test/loss"]
chosen = "By validation loss."

[[system]]
id = "A1"
name = "second"
published = ""
tests = ["tests/a.py"]

[[system]]
id = "B1"
name = "third"
published = ""
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "systems.toml").write_text(SYSTEMS)
    row = {"settings": {}, "seeds": [0], "metrics": {"test/loss": [0.5]}, "seconds": [30.0]}
    result = {"command": "python launch.py --x", "machine": "one core", "rows": [row]}
    (tmp_path / "results" / "one.json").write_text(json.dumps(result))
    return tmp_path


def test_results_of_a_system_are_a_table_and_a_command(folder):
    assert systems.results_text("A1", folder) == [
        "**first**; published: 1 %",
        "",
        "| ours, last step: mean, 95 % interval, n | time a run |",
        "| --- | --- |",
        "| test/loss 0.5000; n = 1 | 30 s |",
        "",
        "Measured on one core, with",
        "",
        "```sh",
        "python launch.py --x",
        "```",
        "",
        "Chosen: By validation loss.",
        "",
        "**second**",
        "",
        "Tests: `tests/a.py`.",
        "",
    ]
    assert systems.results_text("B1", folder)[2] == "Not measured."


def test_an_unknown_system_is_an_error(folder):
    with pytest.raises(ValueError, match="no system 'Z9'"):
        systems.results_text("Z9", folder)


def test_pages_show_the_ratios_of_benchmarks_that_have_files():
    shown = {
        name for page in PAGES for name in re.findall(r"^```\{ratios\} (.+)$", text_of(page), re.M)
    }
    assert "recurrent" in shown
    for name in shown:
        assert f"python -m bench.{name}" in ratios.body(ROOT / "bench" / f"{name}.md")
