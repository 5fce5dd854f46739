"""`python -m experiments` lists every experiment, from a file that agrees with the experiments."""

import json
import re
import subprocess
import sys

import pytest

from experiments import __main__ as listed
from experiments.report.index import default_run, make_index
from tests.runs.test_experiments import FOLDER, NAMES, ROOT
from train.help import FLAGS


@pytest.fixture
def own_list(tmp_path, monkeypatch):
    """The file of the list, in another folder."""
    monkeypatch.setattr(listed, "HERE", tmp_path)
    for name in NAMES[:2]:
        (tmp_path / f"{name}.py").touch()
    (tmp_path / "index.json").write_text((FOLDER / "index.json").read_text(encoding="utf-8"))
    return tmp_path / "index.json"


def test_the_file_is_what_the_experiments_and_results_say():
    text = (FOLDER / "index.json").read_text(encoding="utf-8")
    assert make_index(FOLDER) == text, "run `make results`"


def test_every_experiment_has_its_data_time_and_modes(capsys):
    listed.main(["experiments"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert [line.split()[0] for line in lines if re.match(r"\w+ {2,}\S", line)] == NAMES
    index = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))
    start = next(i for i, line in enumerate(lines) if line.startswith("captioning "))
    entry = index["captioning"]
    assert lines[start + 1].strip() == (
        f"data: scenes; time: {entry['time']}; modes: caption, compare"
    )
    assert re.fullmatch(r"[\d.]+ min \(2 cores\)", entry["time"])


@pytest.mark.parametrize("flag", sorted(FLAGS))
def test_every_flag_of_help_prints_the_list(flag, capsys):
    listed.main(["experiments", flag])
    assert "\nlenet5 " in capsys.readouterr().out


def test_an_experiment_without_a_measured_run_has_no_time(own_list):
    index = json.loads(own_list.read_text())
    index[NAMES[0]].update(data="mnist", time="", modes=[])
    own_list.write_text(json.dumps(index))
    assert list(listed.listing())[1].strip() == "data: mnist; modes: none"


def test_an_experiment_that_the_file_lacks_is_imported(own_list):
    expected = list(listed.listing())
    index = json.loads(own_list.read_text())
    del index[NAMES[0]]
    own_list.write_text(json.dumps(index))
    assert list(listed.listing()) == expected


def test_the_list_imports_neither_jax_nor_numpy():
    script = (
        "import sys; from experiments import __main__ as listed; listed.main(['x'])\n"
        "print({'jax', 'numpy', 'absl'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize(
    ("word", "answer"),
    [
        ("lenet", "did you mean lenet5?"),
        ("lenet5", "`python -m experiments.lenet5 --workdir=RUN`"),
        (
            "lenet5 --config.steps=3 --mode=train",
            "`python -m experiments.lenet5 --workdir=RUN --config.steps=3 --mode=train`",
        ),
        ("lenet5 --workdir=a", "`python -m experiments.lenet5 --workdir=a`"),
        ("experiments/lenet5.py", "`python -m experiments.lenet5 --workdir=RUN`"),
        ("zzzz", "an experiment of this name; `python -m experiments` lists them"),
        ("runs/zzzz", "is not the directory of a run"),
        ("--mode=generate", "comes before the flags, got --mode=generate"),
    ],
)
def test_a_word_that_is_no_run_is_answered_in_one_line(word, answer, capsys):
    with pytest.raises(SystemExit) as caught:
        listed.main(["experiments", *word.split()])
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert not out
    assert answer in err
    assert err.count("\n") == 1


COMMAND = "python launch.py --workers=1 --experiment=lenet5 --workdir=runs/x --sweep=seed=0..4"


@pytest.mark.parametrize(
    ("command", "config", "name"),
    [
        (COMMAND, {}, "lenet5"),
        (COMMAND, {"picture": "elsewhere.png"}, "lenet5"),  # only a mode reads it
        (COMMAND, {"batch_size": -1}, ""),  # the default was another one then
        (f"{COMMAND} --config.steps=5", {}, ""),
        (f"{COMMAND} --flagfile=a.flags", {}, ""),
        (f"{COMMAND} --sweep=batch_size=8,16", {}, ""),
        ("python -m bench.robustness --save=x.json", {}, ""),
    ],
)
def test_only_a_sweep_over_seeds_measures_the_default_settings(command, config, name):
    assert default_run({"command": command, "config": config}) == name
