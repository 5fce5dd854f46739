"""Files of benchmarks: they can be read again, and bench/README.md is made from them."""

from pathlib import Path

import pytest

from bench import growth, ratios
from bench.growth_rows import ROWS
from bench.tables import Page, read_page, setup

BENCH = Path(growth.__file__).parent
FILES = sorted(path for path in BENCH.glob("*.md") if path.name != "README.md")
LINE = {"what grows": "status", "size": "100", "seconds": "0.5", "MB": "40", "rounds": "3"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_of_a_benchmark_is_read_as_it_was_written(path):
    page = read_page(path)
    assert page.text() == path.read_text(encoding="utf-8")
    assert f"python -m bench.{path.stem}" in page.command


def test_another_file_is_not_one_of_a_benchmark(tmp_path):
    (tmp_path / "a.md").write_text("# Title\n\n`command`\n\nmachine\n\nThe end.\n")
    with pytest.raises(ValueError, match=r"a\.md is not a title, a command, a machine and tables"):
        read_page(tmp_path / "a.md")


def test_the_page_of_ratios_is_what_make_results_makes():
    assert (BENCH / "README.md").read_text(encoding="utf-8") == ratios.make_page(BENCH)


def write(folder, name, doc, *tables):
    (folder / f"{name}.py").write_text(f'"""{doc}\n\nMore.\n"""\n')
    page = Page(f"Title of {name}", f"python -m bench.{name}", "two cores", list(tables))
    (folder / f"{name}.md").write_text(page.text())


def test_a_section_has_the_ratios_with_their_command_and_machine(tmp_path):
    lines = [
        {"net": "ours", "ms a step": "10.7", "time / ours": "1.00", "MB": "7"},
        {"net": "other", "ms a step": "20.4", "time / ours": "1.93 (1.80 to 2.01)", "MB": "9"},
        {"net": "third", "ms a step": "30.0", "time / ours": "", "MB": "9"},
    ]
    write(tmp_path, "steps", "Our steps and others.", lines, [{"size": "1", "seconds": "0.1"}])
    (tmp_path / "README.md").write_text("older")
    page = ratios.make_page(tmp_path)
    assert page.startswith("# Ratios of all benchmarks\n")
    assert page.split("\n## ")[1].splitlines() == [
        "Title of steps",
        "",
        "Our steps and others.",
        "",
        "| net   | time / ours         |",
        "| ----- | ------------------- |",
        "| ours  | 1.00                |",
        "| other | 1.93 (1.80 to 2.01) |",
        "",
        "two cores: `python -m bench.steps`",
        "",
        "[All figures](steps.md)",
    ]


def test_geometric_means_stand_for_all_shapes(tmp_path):
    shapes = [{"shape": "2, 3", "ours ms": "1.0", "Flax / ours": "1.10"}]
    write(tmp_path, "a", "Means.", shapes, [{"geometric mean": "all", "Flax / ours": "1.30"}])
    text = ratios.body(tmp_path / "a.md")
    assert "1.30" in text
    assert "1.10" not in text


def test_a_file_without_ratios_is_shown_whole(tmp_path):
    write(tmp_path, "a", "Seconds.", [{"": "ours", "seconds": "58.5"}])
    assert "| ours | 58.5    |" in ratios.body(tmp_path / "a.md")


def test_rows_of_growth_that_are_not_measured_again_are_kept(tmp_path):
    points = {"status": [LINE], "report": [LINE | {"what grows": "report"}]}
    save = tmp_path / "growth.md"
    save.write_text(Page(growth.TITLE, growth.COMMAND, setup(), growth.tables(points)).text())
    assert growth.kept(save, ["report", "batch"]) == {"status": [LINE]}
    assert growth.kept(tmp_path / "none.md", ["report"]) == {}


def test_rows_of_growth_of_another_machine_are_not_kept(tmp_path):
    save = tmp_path / "growth.md"
    save.write_text(Page("", "", "abacus", growth.tables({"status": [LINE]})).text())
    assert growth.kept(save, ["status"]) == {}
    with pytest.raises(ValueError, match=r"is of abacus, and this is .*: save another file"):
        growth.kept(save, ["report"])


def test_exponents_are_those_of_the_points():
    figures = [("100", "0.01", "50"), ("1,000", "0.2", "60"), ("10,000", "1.0", "160")]
    points = [
        LINE | dict(zip(("size", "seconds", "MB"), values, strict=True)) for values in figures
    ]
    found = growth.exponents("status", points)
    assert found["sizes"] == "100 to 10,000"
    assert (found["exponent of time"], found["exponent of memory"]) == ("1.00", "1.00")
    assert "not measured" not in found["note"]
    assert "not measured above 1,000" in growth.exponents("status", points[:2])["note"]


def test_growth_has_all_rows_and_says_why_one_is_faster_than_expected():
    exponents, _ = read_page(BENCH / "growth.md").tables
    assert [line["what grows"] for line in exponents] == list(ROWS)
    for line in exponents:
        excess = float(line["exponent of time"]) - float(line["expected of time"])
        assert round(excess, 2) <= 0.1 or line["note"], line
