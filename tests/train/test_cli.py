"""The command line: one clear line on stderr, no traceback, nothing written, an exit code."""

import dataclasses
import json
import os
import re
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments import char_lm, lenet5
from tests.train.conftest import refused
from train import cli
from train.config import OptimizerConfig
from train.environment import environment

ROOT = Path(__file__).resolve().parents[2]
SHORT = [
    "--config.steps=2",
    "--config.batch_size=4",
    "--config.hidden=5",
    "--config.bptt_length=6",
    "--config.heldout_characters=60",
    "--config.sample_length=20",
]


def test_the_home_of_the_user_in_workdir(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, folder in (("~/a", tmp_path / "a"), ("~no-one/a", Path("~no-one/a"))):
        _, workdir, _ = cli.parse(lenet5.Config, ("train",), ["", f"--workdir={name}"])
        assert workdir == folder


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--config.sed=4"], ["no --config.sed", "did you mean seed?"]),
        (["--config.hiden=4"], ["did you mean hidden?"]),
        (["--wrkdir=x"], ["wrkdir", "workdir"]),
        (["--config.steps=many"], ["--config.steps=many: must be a whole number, got 'many'"]),
        (["--config.steps=1.5"], ["--config.steps=1.5: must be a whole number, got '1.5'"]),
        (["--config.learning_rate=fast"], ["must be a number, got 'fast'"]),
        (["--hidden", "5"], ["flag 'hidden' (did you mean --config.hidden?)"]),
        (["--config.figures_at=soon"], ["config.figures_at", "tuple of numbers", "soon"]),
        (["--config.batch_size=0"], ["config.batch_size must be at least 1, got 0"]),
        (["--config.steps=-3"], ["config.steps must be at least 1, got -3"]),
        (["--config.learning_rate=0"], ["config.learning_rate must be above 0"]),
        (["--config.learning_rate=nan"], ["config.learning_rate"]),
        (["--config.dropout=1.5"], ["config.dropout must be at most 0.95"]),
        (["--config.optimizer=adm"], ["adm", "did you mean adam?"]),
        (["--config.cell=ltsm"], ["rnn, gru, lstm", "did you mean lstm?"]),
        (["--config.precision=float16"], ["float32, bfloat16"]),
        (["--mode=generat"], ["got 'generat' (did you mean generate?)"]),
        (["--config"], ["config"]),
        (["stray"], ["stray"]),
        (["--config.dataset=tiny_shakespear"], ["tiny_shakespear", "available", "python_source"]),
        (["--config.dataset=tiny_shakespeare"], ["not prepared", "tfds build tiny_shakespeare"]),
        (["--config.dataset=digits"], ["digits", "text"]),
        (["--config.dataset=text:/nowhere/at/all"], ["/nowhere/at/all"]),
        (["--config.batch_size=6"], ["multiple of the 4 devices"]),
        (["-config.sed=4"], ["no --config.sed"]),
        (["--noconfig.variationl"], ["no --config.variationl", "mean variational_dropout?"]),
        (["--config.learning_rates=(1e999,)"], ["config.learning_rates must be finite"]),
        (["--flagfile=/nowhere/flags"], ["/nowhere/flags"]),
        (["--config.seed=99999999999999999999"], ["config.seed must be below"]),
        (["--config.beta2=1.0"], ["config.beta2 must be below 1"]),
        (["--config.prompt=\udcff"], ["config.prompt must be valid Unicode"]),
        (["--config.dataset=text:"], ["needs the path"]),
        (["--config.vocab_size=2"], ["config.vocab_size must be at least 3"]),
    ],
)
def test_bad_input_is_refused_in_one_line(run, tmp_path, text_file, words, parts):
    workdir = tmp_path / "run"
    small = [f"--config.dataset=text:{text_file}", *SHORT]
    refused(run(char_lm, f"--workdir={workdir}", *small, *words), *parts)
    assert not workdir.exists()


def test_missing_workdir_is_refused(run):
    refused(run(lenet5), "--workdir=DIR is required")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"", ["no text in"]),
        (b" \n \n", ["no text in"]),
        (b"abc\xffdef" * 100, ["not UTF-8", "byte 3"]),
        (b"to be or not to be", ["has 16 symbols", "config.bptt_length", "need 25"]),
    ],
)
def test_bad_text_is_refused_in_one_line(run, tmp_path, content, parts):
    (tmp_path / "text").write_bytes(content)
    words = [f"--workdir={tmp_path / 'run'}", f"--config.dataset=text:{tmp_path / 'text'}", *SHORT]
    refused(run(char_lm, *words), *parts, str(tmp_path / "text") if b"be" not in content else "16")
    assert not (tmp_path / "run").exists()


def test_flagfile_with_an_unknown_field_is_refused(run, tmp_path):
    (tmp_path / "flags").write_text("--config.sed=3\n")
    words = [f"--workdir={tmp_path / 'run'}", f"--flagfile={tmp_path / 'flags'}"]
    refused(run(lenet5, *words), "no --config.sed", "did you mean seed?")


def test_flagfile_that_is_no_text_is_refused(run, tmp_path):
    (tmp_path / "flags").write_bytes(b"--config.seed=3\xff\n")
    words = [f"--workdir={tmp_path / 'run'}", f"--flagfile={tmp_path / 'flags'}"]
    refused(run(lenet5, *words), "utf-8")


@pytest.mark.parametrize("name", ["file/run", "file", "x" * 300])
def test_workdir_that_cannot_be_written_is_refused(run, tmp_path, name, text_file):
    (tmp_path / "file").write_text("mine")
    words = [f"--workdir={tmp_path / name}", f"--config.dataset=text:{text_file}", *SHORT]
    refused(run(char_lm, *words), str(tmp_path))
    assert (tmp_path / "file").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_of_other_files_is_refused_before_data_are_read(run, tmp_path):
    (tmp_path / "lecture.md").write_text("mine")
    words = [f"--workdir={tmp_path}", "--config.data_dir=/nowhere"]
    refused(run(lenet5, *words), "not empty and contains no run, but lecture.md: give another")
    refused(run(lenet5, *words, "--config.replicas=2"), "but lecture.md: give another")
    assert [path.name for path in tmp_path.iterdir()] == ["lecture.md"]


def test_damaged_config_of_a_run_is_refused(run, tmp_path):
    (tmp_path / "config.json").write_text("{")
    refused(run(lenet5, f"--workdir={tmp_path}"), "cannot read", "config.json")


def test_run_then_generate_then_other_config(run, tmp_path, text_file):
    workdir = tmp_path / "run"
    words = [f"--workdir={workdir}", f"--config.dataset=text:{text_file}", *SHORT]
    code, out, _ = run(char_lm, *words)
    assert code == 0
    assert re.search(r"^step .*  heldout  .*bits_per_character \d", out, re.M)
    before = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}

    code, out, _ = run(char_lm, *words)
    assert code == 0
    assert "is finished at step 2" in out

    refused(
        run(char_lm, *words, "--config.hidden=7", "--config.cell=rnn"),
        "made with another config",
        "cell was 'gru', now 'rnn'; hidden was 5, now 7",
        "Give another --workdir",
    )
    code, out, _ = run(char_lm, f"--workdir={workdir}", "--mode=generate", "--config.prompt=def ")
    assert code == 0
    assert out.startswith("def ")
    assert len(out) == len("def ") + 20 + 1
    again = run(char_lm, f"--workdir={workdir}", "--mode=generate", "--config.prompt=def ")[1]
    assert again == out
    odd = run(char_lm, f"--workdir={workdir}", "--mode=generate", "--config.prompt=日本")
    assert (odd[0], odd[1][:2], odd[2].count("\n")) == (0, "\ufffd\ufffd", 1)
    assert odd[2].startswith("warning: '日本' is not in the vocabulary: each such character")
    assert "is read as \ufffd" in odd[2]
    hot = ["--config.prompt=def ", "--config.temperature=3.0", "--config.sample_length=50"]
    assert run(char_lm, f"--workdir={workdir}", "--mode=generate", *hot)[1] != out
    refused(
        run(char_lm, f"--workdir={workdir}", "--mode=generate", "--config.cell=rnn"),
        "cannot be used with other settings: cell was 'gru', now 'rnn'",
    )
    after = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
    assert after == before


def interrupted(run):
    """Print, then be interrupted."""
    print("so far", end="")
    signal.raise_signal(signal.SIGINT)


def written(run):
    """Print to a closed output."""
    print("to nobody", flush=True)


def test_a_mode_ends_without_a_traceback_when_it_is_interrupted_or_its_output_closed(
    run, tmp_path, monkeypatch
):
    module = SimpleNamespace(__name__="x", Config=OptimizerConfig, build=None)
    module.MODES = {name: f"{__name__}:{name}" for name in ("interrupted", "written")}
    monkeypatch.setattr("train.trained.load_run", lambda *given: None)
    assert run(module, f"--workdir={tmp_path}", "--mode=interrupted") == (130, "so far", "\n")
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert run(module, f"--workdir={tmp_path}", "--mode=written")[0] == 141
        print("buffered output", flush=True)  # is discarded silently


@dataclasses.dataclass(slots=True, kw_only=True)
class TwoSteps(OptimizerConfig):
    steps: int = OptimizerConfig.changed("steps", 2)
    batch_size: int = OptimizerConfig.changed("batch_size", 8)


@pytest.fixture
def module(regression):
    """A small experiment with a mode in a module that does not exist."""
    modes = {"ghost": "no_such.module:ghost"}
    return SimpleNamespace(__name__="x", Config=TwoSteps, build=regression, MODES=modes)


def test_a_mode_is_imported_only_when_it_is_used(run, module, tmp_path):
    words = [f"--workdir={tmp_path}"]
    assert run(module, *words)[0] == 0
    assert "no_such" not in sys.modules
    with pytest.raises(ModuleNotFoundError, match="no_such"):
        run(module, *words, "--mode=ghost")
    refused(run(module, *words, "--mode=gost"), "gost")


def test_a_run_with_settings_that_no_longer_exist_is_refused(run, module, tmp_path):
    words = [f"--workdir={tmp_path}"]
    assert run(module, *words)[0] == 0
    saved = json.loads((tmp_path / "config.json").read_text())
    saved |= {"longest": 30, "averaging": 0.9, "schedule": "a value of another version"}
    (tmp_path / "config.json").write_text(json.dumps(saved))
    (tmp_path / "result.json").unlink()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    expected = (
        f"workdir {tmp_path} was made by another version, with settings that no longer exist: "
        "averaging, longest; see CHANGELOG.md"
    )
    refused(run(module, *words), expected)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_run_with_settings_that_no_longer_exist_is_used_by_modes(run, module, tmp_path, capsys):
    words = [f"--workdir={tmp_path}"]
    module.make_task = lambda config, assets: module.build(config).task
    module.MODES = {"shown": f"{__name__}:shown"}
    assert run(module, *words)[0] == 0
    saved = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(saved | {"longest": 30}))
    code, out, err = run(module, *words, "--mode=shown")
    assert (code, out) == (0, "2\n")
    assert err == (
        f"warning: {tmp_path} was made by another version; its settings that no longer exist are "
        "ignored: longest\n"
    )


def shown(run):
    """Print a setting of a run."""
    print(run.config.steps)


def test_flags_of_a_run_make_it_again(run, tmp_path, text_file):
    words = [f"--config.dataset=text:{text_file}", *SHORT, "--config.figures_at=(0.0,)"]
    assert run(char_lm, f"--workdir={tmp_path / 'a'}", *words)[0] == 0
    flagfile = f"--flagfile={tmp_path / 'a' / 'flags.txt'}"
    assert run(char_lm, f"--workdir={tmp_path / 'b'}", flagfile)[0] == 0
    for name in ("config.json", "metrics.jsonl"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_generating_without_a_run_is_refused(run, tmp_path):
    refused(run(char_lm, f"--workdir={tmp_path}", "--mode=generate"), "needs a trained run")


def test_generating_from_damage_or_with_other_data(run, tmp_path, text_file):
    text = tmp_path / "text"
    text.write_text(text_file.read_text())
    workdir = tmp_path / "run"
    assert run(char_lm, f"--workdir={workdir}", f"--config.dataset=text:{text}", *SHORT)[0] == 0
    generate = [f"--workdir={workdir}", "--mode=generate"]
    (workdir / "checkpoints" / "2" / "default" / "manifest.ocdbt").write_bytes(b"")
    code, out, err = run(char_lm, *generate)
    assert (code, len(out)) == (0, 1 + 20 + 1)
    assert err.startswith("warning: checkpoint 2 is damaged")
    (workdir / "checkpoints" / "0" / "default" / "manifest.ocdbt").write_bytes(b"")
    code, out, err = run(char_lm, *generate)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("error: no checkpoint in")
    resume = [f"--workdir={workdir}", f"--config.dataset=text:{text}", *SHORT, "--config.steps=3"]
    text.write_text(text_file.read_text().replace("e", "é"))
    refused(run(char_lm, *resume), "made with other data")


def test_help_lists_every_field_with_its_default(run):
    code, out, _ = run(char_lm, "--help")
    assert code == 0
    assert out.startswith("Character language model")
    for field in dataclasses.fields(char_lm.Config):
        assert f"--config.{field.name}={field.default}" in out


def test_defects_keep_their_traceback(monkeypatch, tmp_path):
    def broken(config):
        raise ValueError("a defect")

    monkeypatch.setattr(sys, "argv", ["x", f"--workdir={tmp_path}"])
    with pytest.raises(ValueError, match="a defect"):
        cli.run(OptimizerConfig, broken, None)


def test_stopped_while_data_is_read_exits_75(command, tmp_path):
    script = tmp_path / "slow.py"
    script.write_text(
        "import os\nfrom train import cli\nfrom train.config import OptimizerConfig\n"
        f"def build(config):\n    os.kill(os.getpid(), {int(signal.SIGTERM)})\n"
        "cli.run(OptimizerConfig, build, None)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = command(script, f"--workdir={tmp_path / 'run'}", environment=environment)
    assert done.returncode == 75
    assert done.stderr == "error: stopped by SIGTERM; run the same command to continue\n"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2])
def test_other_signals_stop_while_data_is_read_as_well(monkeypatch, tmp_path, capfd, number):
    monkeypatch.setattr(os, "_exit", sys.exit)
    monkeypatch.setattr(sys, "argv", ["x", f"--workdir={tmp_path / 'run'}"])
    with pytest.raises(SystemExit) as stop:
        cli.run(OptimizerConfig, lambda config: signal.raise_signal(number), None)
    assert stop.value.code == 75
    said = capfd.readouterr().err
    assert said == f"error: stopped by {number.name}; run the same command to continue\n"
    assert not (tmp_path / "run").exists()


def test_git_is_not_needed(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert environment()["commit"] == ""
