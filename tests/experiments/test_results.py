"""The table of results is generated from the result files."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from experiments.report import systems as table

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "experiments"
RESULT = {
    "command": "python -m bench.x",
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
    lines = table.make_table(folder).splitlines()
    assert lines[:3] == [f"## A. {table.GROUPS['A']}", "", "**first**; published: 1 %"]
    assert lines[4] == lines[-1] == "Not measured."
    assert lines[6:9] == [f"## B. {table.GROUPS['B']}", "", "**second**"]


def test_system_without_a_result_may_name_its_tests_which_exist(folder):
    systems = folder / "systems.toml"
    systems.write_text(systems.read_text() + 'tests = ["tests/a.py", "tests/b.py"]\n')
    assert table.make_table(folder).endswith("**second**\n\nTests: `tests/a.py`, `tests/b.py`.")
    named = tomllib.loads((FOLDER / "systems.toml").read_text(encoding="utf-8"))["system"]
    for system in named:
        assert all((ROOT / name).is_file() for name in system.get("tests", []))
        assert "picture" not in system or (FOLDER / system["picture"]).is_file()


def test_picture_of_a_system_is_a_link(folder):
    systems = folder / "systems.toml"
    systems.write_text(systems.read_text() + 'picture = "../docs/b.png"\n')
    assert table.make_table(folder).endswith("**second**\n\n[Picture](../docs/b.png)")


def test_title_of_a_system_is_that_of_its_page(folder):
    inner = folder / "experiments"
    inner.mkdir()
    for name in ("systems.toml", "results"):
        (folder / name).rename(inner / name)
    pages = folder / "docs" / "systems"
    pages.mkdir(parents=True)
    (pages / "b.md").write_text("# B: the second network\n\ntext\n")
    text = table.make_table(inner)
    link = "[Equation and code](../docs/systems/b.md)"
    assert f"### B: the second network\n\n{link}\n\n**second**" in text


def test_every_group_has_the_title_of_the_site():
    text = (ROOT / "docs" / "systems" / "index.md").read_text(encoding="utf-8")
    captions = dict(re.findall(r"^:caption: (\w)\. (.*)$", text, re.M))
    assert captions.items() <= table.GROUPS.items()
    assert set(captions) == set(table.GROUPS) - {"E"}


def test_each_group_of_a_result_is_a_row_and_its_command_is_below(folder):
    (folder / "results" / "one.json").write_text(json.dumps(RESULT))
    lines = table.make_table(folder).splitlines()
    # half the interval is t(0.975, 1) = 12.7062 times sqrt(2) / sqrt(2)
    assert lines[4:14] == [
        "| ours: mean, 95 % interval, n | time a run |",
        "| --- | --- |",
        "| cell rnn: test/loss 2.0000 ± 12.7062; n = 2 | 40 s |",
        "| cell gru: test/loss 0.5000; n = 1 | 3.0 min |",
        "",
        "Measured on two cores, with",
        "",
        "```sh",
        "python -m bench.x",
        "```",
    ]


@pytest.mark.parametrize(
    ("metric", "words"), [("test/loss", "last step"), ("test_best/loss", "best checkpoint")]
)
def test_the_header_of_a_sweep_says_which_parameters_were_scored(metric, words):
    result = {**RESULT, "command": "python launch.py --experiment=x"}
    assert table.ours(result, [metric]) == f"ours, {words}: mean, 95 % interval, n"


def test_no_entry_mixes_the_last_step_with_the_best_checkpoint():
    for system, _ in table.read_systems(FOLDER):
        kinds = {metric.partition("/")[0].endswith("_best") for metric in system.get("show", [])}
        assert len(kinds) <= 1, system["name"]


def test_every_measured_system_says_how_its_settings_were_chosen():
    for system, _ in table.read_systems(FOLDER):
        assert ("chosen" in system) == ("results" in system), system["name"]
        text = system.get("chosen", ".")
        assert text.endswith("."), system["name"]
        assert "\n" not in text, system["name"]


def test_how_the_settings_were_chosen_is_below_the_results(folder):
    systems = folder / "systems.toml"
    text = systems.read_text().replace("show =", 'chosen = "On two seeds."\nshow =')
    systems.write_text(text)
    assert "Chosen" not in table.make_table(folder)
    (folder / "results" / "one.json").write_text(json.dumps(RESULT))
    assert "python -m bench.x\n```\n\nChosen: On two seeds.\n\n## B" in table.make_table(folder)


def test_the_table_of_a_long_sweep_is_folded(folder):
    rows = [{**RESULT["rows"][1], "settings": {"hidden": i}} for i in range(table.LONG + 1)]
    path = folder / "results" / "one.json"
    path.write_text(json.dumps({**RESULT, "rows": rows}))
    before, _, rest = table.make_table(folder).partition("<details>\n<summary>7 rows</summary>\n\n")
    inside, _, after = rest.partition("\n\n</details>\n\n")
    assert "hidden" not in before + after
    assert inside.startswith("| ours")
    assert inside.count("| hidden") == table.LONG + 1
    assert after.startswith("Measured on two cores, with\n\n```sh\npython -m bench.x\n```")
    path.write_text(json.dumps({**RESULT, "rows": rows[1:]}))
    assert "<details>" not in table.make_table(folder)


def test_rows_are_compared_with_the_baseline_on_the_same_seeds(folder):
    systems = folder / "systems.toml"
    text = systems.read_text()
    systems.write_text(text.replace("show =", 'baseline = "cell rnn"\nshow ='))
    gru = {**RESULT["rows"][1], "seeds": [0, 1], "metrics": {"test/loss": [0.5, 2.0]}}
    result = {**RESULT, "rows": [RESULT["rows"][0], gru]}
    (folder / "results" / "one.json").write_text(json.dumps(result))
    rows = table.make_table(folder).splitlines()
    assert "minus" not in rows[6]
    # minus 1.0 and 3.0: -0.5 and -1.0, with standard deviation sqrt(2) / 4
    assert "test/loss minus that of cell rnn -0.7500 ± 3.1766 (2 pairs); n = 2" in rows[7]
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


def test_a_long_command_continues_on_further_lines():
    command = "python launch.py " + " ".join(f"--sweep=setting_{i}=0..4" for i in range(9))
    command += " '--config.figures_at=(0.0, 1.0)'"
    lines = table.continued(command)
    assert len(lines) > 2
    assert max(map(len, lines)) <= table.WIDTH
    assert all(line.endswith(" \\") for line in lines[:-1])
    assert shlex.split("\n".join(lines).replace("\\\n", "")) == shlex.split(command)


def test_large_numbers_have_one_decimal():
    assert list(map(table.figure, (0.12345, -99.5, 598.3559))) == ["0.1235", "-99.5000", "598.4"]
