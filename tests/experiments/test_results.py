"""The table of results is generated from the result files."""

import json
import tomllib
from pathlib import Path

import pytest

from experiments.report import systems as table

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "experiments"
RESULT = {
    "command": "python launch.py --experiment=x",
    "machine": "two cores",
    "rows": [
        {
            "settings": {"cell": "rnn"},
            "seeds": [0, 1],
            "metrics": {"test/loss": [1.0, 3.0]},
            "seconds": [30.0, 50.0],
        },
        {
            "settings": {"cell": "gru"},
            "seeds": [0],
            "metrics": {"test/loss": [0.5]},
            "seconds": [180.0],
        },
    ],
}


def test_table_in_the_readme_is_up_to_date():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert table.fill(text, table.make_table(FOLDER)) == text


def test_results_record_seeds_versions_commit_and_machine_but_no_folder():
    for path in (FOLDER / "results").glob("*.json"):
        text = path.read_text(encoding="utf-8")
        result = json.loads(text)
        assert result["command"].startswith("python ")
        assert {"config", "versions", "commit", "machine", "date", "data"} <= set(result)
        for row in result["rows"]:
            assert len(row["seeds"]) == len(row["seconds"]) >= 1
            assert all(len(values) == len(row["seeds"]) for values in row["metrics"].values())
        assert str(Path.home()) not in text
        assert str(ROOT) not in text
        assert "workdir=/" not in text
        assert ":/" not in result["command"] + str(result["config"]) + str(result["data"])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "systems.toml").write_text(
        '[[system]]\nid = "A"\nname = "first"\npublished = "1 %"\n'
        'results = ["one"]\nshow = ["test/loss"]\n'
        '[[system]]\nid = "B"\nname = "second"\npublished = ""\n'
    )
    return tmp_path


def test_system_without_a_result_is_not_measured(folder):
    rows = table.make_table(folder).splitlines()
    assert rows[2] == "| A | first | 1 % | not measured |  |  |"
    assert rows[3] == "| B | second | - | not measured |  |  |"


def test_system_without_a_result_may_name_its_tests_which_exist(folder):
    systems = folder / "systems.toml"
    systems.write_text(systems.read_text() + 'tests = ["tests/a.py", "tests/b.py"]\n')
    row = table.make_table(folder).splitlines()[3]
    assert row == "| B | second | - | tests: `tests/a.py`, `tests/b.py` |  |  |"
    named = tomllib.loads((FOLDER / "systems.toml").read_text(encoding="utf-8"))["system"]
    for system in named:
        assert all((ROOT / name).is_file() for name in system.get("tests", []))
        assert "picture" not in system or (FOLDER / system["picture"]).is_file()


def test_picture_of_a_system_is_a_link(folder):
    systems = folder / "systems.toml"
    systems.write_text(systems.read_text() + 'picture = "../docs/b.png"\n')
    row = table.make_table(folder).splitlines()[3]
    assert row == "| B | second | - | [picture](../docs/b.png) |  |  |"


def test_group_of_a_result_is_a_row_with_its_interval(folder):
    (folder / "results" / "one.json").write_text(json.dumps(RESULT))
    rows = table.make_table(folder).splitlines()
    # half the interval is t(0.975, 1) = 12.7062 times sqrt(2) / sqrt(2)
    mean = "cell rnn: test/loss 2.0000 ± 12.7062; n = 2"
    assert rows[2] == f"| A | first | 1 % | {mean} | 40 s | two cores |"
    assert rows[3] == "|  |  |  | cell gru: test/loss 0.5000; n = 1 | 3.0 min | two cores |"
    assert "    python launch.py --experiment=x" in rows


def test_rows_are_compared_with_the_baseline_on_the_same_seeds(folder):
    systems = folder / "systems.toml"
    text = systems.read_text()
    systems.write_text(text.replace("show =", 'baseline = "cell rnn"\nshow ='))
    gru = {**RESULT["rows"][1], "seeds": [0, 1], "metrics": {"test/loss": [0.5, 2.0]}}
    result = {**RESULT, "rows": [RESULT["rows"][0], gru]}
    (folder / "results" / "one.json").write_text(json.dumps(result))
    rows = table.make_table(folder).splitlines()
    assert "minus" not in rows[2]
    # minus 1.0 and 3.0: -0.5 and -1.0, with standard deviation sqrt(2) / 4
    assert "test/loss minus that of cell rnn -0.7500 ± 3.1766 (2 pairs); n = 2" in rows[3]
    result["rows"][1]["seeds"] = [2, 3]
    (folder / "results" / "one.json").write_text(json.dumps(result))
    assert "test/loss minus that of cell rnn unknown; n = 2" in table.make_table(folder)
    systems.write_text(text.replace("show =", 'baseline = "cell"\nshow ='))
    with pytest.raises(ValueError, match="no row is the baseline 'cell'; the rows are cell rnn; "):
        table.make_table(folder)


def test_result_that_no_system_names_is_an_error(folder):
    (folder / "results" / "stray.json").write_text("{}")
    with pytest.raises(ValueError, match="stray"):
        table.make_table(folder)


def test_fill_replaces_the_text_between_the_markers():
    text = f"before\n{table.BEGIN}\nold\n{table.END}\nafter"
    assert table.fill(text, "new") == f"before\n{table.BEGIN}\n\nnew\n\n{table.END}\nafter"
