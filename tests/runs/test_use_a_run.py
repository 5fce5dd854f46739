"""The commands and examples of docs/use_a_run.md, cut to seconds, in the order of the page."""

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import __main__ as experiments_main
from train import cli

ROOT = Path(__file__).resolve().parents[2]
STEPS = {5000: 5, 500: 2, 1000: 3, 200: 2}
CUT = {f"--config.steps={number}": f"--config.steps={less}" for number, less in STEPS.items()}
SMALL = [
    "--config.batch_size=4",
    "--config.hidden=8",
    "--config.bptt_length=8",
    "--config.heldout_characters=200",
    "--config.sample_length=20",
    "--config.figures_at=()",
]


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command of the page in this process; return what it prints."""

    def run(words):
        assert words[:2] == ["python", "-m"]
        monkeypatch.setattr(sys, "argv", [words[2], *words[3:]])
        if words[2] == "experiments":
            experiments_main.main(sys.argv)
        else:
            module = importlib.import_module(words[2])
            cli.run(module.Config, module.build, module.make_task, module.MODES)
        out, err = capsys.readouterr()
        assert not err
        return out

    return run


def test_the_page_runs(run, tmp_path, text_file, monkeypatch, capsys):
    page = (ROOT / "docs" / "use_a_run.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(sh|python)\n(.*?)```", page, re.S)
    assert len(blocks) == 12
    (tmp_path / "moved.txt").write_text(text_file.read_text())
    monkeypatch.chdir(tmp_path)
    said, codes = {}, []
    for kind, block in blocks:
        if kind == "python":
            codes.append(block)
            continue
        for line in block.splitlines():
            words = [CUT.get(word, word) for word in shlex.split(line)]
            trains = words[2] == "experiments.char_lm"
            flags = [f"--config.dataset=text:{text_file}", *SMALL] if trains else []
            said[shlex.join(words[2:])] = run(words + flags)
    assert all(said.values())
    printed = " ".join(said.values())
    for part in (
        "runs/gru: 3 steps instead of 2",
        "continues at step 2 of 3",
        "init_from: loaded 3 arrays: recurrent_0/",
        "parameters: ",
        "the run: 5 steps",
        "runs/gru/export/network.stablehlo",
        "runs/gru/report.html",
    ):
        assert part in printed, part
    with_project, *alone = codes
    exec(compile(with_project, "page", "exec"), {"__name__": "page"})
    assert re.match(r"gru \(1, 7, \d+\)\n\['output', 'recurrent_0'\]\n", capsys.readouterr().out)
    done = subprocess.run(  # -I: the project cannot be imported
        [sys.executable, "-I", "-c", "\n".join(alone)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[0, ")  # steps with a loss of the validation set
    assert "params/output/bias (" in done.stdout
    assert re.search(r"\(2, 5, \d+\)\n$", done.stdout)
