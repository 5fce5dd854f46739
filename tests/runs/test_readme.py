"""The commands of the first pages run, cut short; so does the documented experiment."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FIRST = ["README.md", "CONTRIBUTING.md", *(f"docs/{page}.md" for page in ("index", "running"))]
CUT = {
    "lenet5": ["--config.steps=2", "--config.batch_size=8", "--config.figures_at=()"],
    "char_lm": [
        "--config.steps=2",
        "--config.batch_size=4",
        "--config.hidden=8",
        "--config.bptt_length=8",
        "--config.heldout_characters=200",
        "--config.sample_length=20",
    ],
}


def commands(name):
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.S)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def cut(line, folder):
    """Words of a command with another folder, one value per axis of a sweep, and fewer steps."""
    values = (
        ("seed=0..1", "seed=0"),
        ("cell=rnn,gru,lstm", "cell=gru"),
    )
    for several, one in values:
        line = line.replace(several, one)
    words = shlex.split(line)
    moved = [re.sub(r"^--workdir=", f"--workdir={folder}/", word) for word in words]
    for name, flags in CUT.items():
        if f"experiments.{name}" in words and "--mode=generate" not in words:
            return moved + flags
        if f"--experiment={name}" in words:
            return moved + flags
    return moved


def test_the_readme_has_two_commands():
    assert commands("README.md") == ["make demo", "make test"]


@pytest.mark.parametrize(("page", "count"), [("running", 6), ("sweeps", 2)])
def test_commands_of_the_first_pages_run(page, count, command, one_device, tmp_path):
    lines = commands(f"docs/{page}.md")
    assert len(lines) >= count
    for name in ("matplotlib", "sklearn"):  # a language model needs neither to train or to write
        (tmp_path / "missing" / name).mkdir(parents=True)
        (tmp_path / "missing" / name / "__init__.py").write_text("raise ImportError('not needed')")
    without = {**one_device, "PYTHONPATH": str(tmp_path / "missing")}
    for line in lines:
        words = cut(line, tmp_path)
        assert words[0] == "python"
        done = command(*words[1:], environment=without if "experiments.char_lm" in line else None)
        assert done.returncode == 0, (line, done.stderr)
        assert done.stdout.strip(), line


def test_demo_runs(command, tmp_path):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"demo:.*\n((?:\t.*\n)+)", makefile).group(1).replace("\\\n", " ")
    words = cut(recipe.replace("$(DEMO_FLAGS)", ""), tmp_path)
    assert words[0] == "$(BIN)/python"
    done = command(*words[1:])  # tests/runs/test_sweeps.py compares several runs, and resumes
    assert done.returncode == 0, done.stderr
    for part in ("heldout/bits_per_character", "95 %", "sample, step 0 of 2"):
        assert part in done.stdout
    assert (tmp_path / "runs" / "demo" / "curves.png").is_file()


@pytest.mark.parametrize("name", FIRST)
def test_make_targets_that_are_named_exist(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = set(re.findall(r"(?:`|^)make (\w+)", text, re.M))
    assert targets
    for target in targets:
        done = subprocess.run(
            ["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_documented_experiment_runs_in_a_copy_of_the_project(one_device, tmp_path):
    page = (ROOT / "docs" / "new_experiment.md").read_text(encoding="utf-8")
    for name in ("nets", "train", "data", "experiments", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "results")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    (tmp_path / "docs").mkdir()
    for name in ("pyproject.toml", "docs/new_experiment.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    files = re.findall(r"^`([\w/]+\.py)`:\n\n```python\n(.*?)```", page, re.S | re.M)
    assert [name for name, _ in files] == re.findall(r"^\| `([\w/]+\.py)` \|", page, re.M)
    for name, code in files:
        assert not (tmp_path / name).exists()
        (tmp_path / name).write_text(code, encoding="utf-8")

    def run(line):
        line = line.replace(".venv/bin/python", shlex.quote(sys.executable))
        done = subprocess.run(
            line,
            shell=True,
            cwd=tmp_path,
            env=one_device,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    train, classify, tests = commands("docs/new_experiment.md")
    names = " ".join(name for name, _ in files)
    run(f".venv/bin/python -m ruff check {names}")
    run(f".venv/bin/python -m ruff format --check {names}")
    assert float(re.search(r"  test  accuracy ([\d.]+)", run(train)).group(1)) > 0.9
    assert run(classify).startswith("square\t")
    run(tests.replace("-k waveforms", "-k 'waveforms and not bfloat16'"))


# test_wheel.py runs the other pages, as an installed package
@pytest.mark.parametrize("page", ["language_models"])
def test_documented_parts_print_what_the_page_says(page, command, tmp_path):
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    block = r"((?:(?!```).)*)```"  # each that a block of what it prints follows
    pairs = re.findall(rf"```python\n{block}(?:(?!```).)*?\n```\n{block}", text, re.S)
    code, printed = ("".join(parts) for parts in zip(*pairs, strict=True))
    (tmp_path / "page.py").write_text(code)
    done = command(tmp_path / "page.py", environment={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed


def test_links_lead_to_files():
    for path in (ROOT / "README.md", ROOT / "experiments" / "README.md"):
        for link in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), link


def test_the_table_of_experiments_is_complete():
    text = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[`(\w+)`\]\(../experiments/(\w+)\.py\) \|", text, re.M)
    names = sorted(path.stem for path in (ROOT / "experiments").glob("[!_]*.py"))
    assert sorted(rows) == [(name, name) for name in names]


@pytest.mark.parametrize("name", FIRST)
def test_no_placeholder_is_left(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.findall(r"\b[A-Z]{4,}_[A-Z]{4,}\b", text)
