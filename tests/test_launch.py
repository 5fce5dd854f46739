"""launch.py: bad command lines, resuming, failures, stopping, the report."""

import json
import subprocess
from pathlib import Path

import pytest

import launch
from experiments import word_lm
from experiments.report.check import check
from jobs.record import add_runs
from jobs.run import make_runs
from jobs.sweep import expand
from train.config import ConfigError

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = sorted(path.stem for path in (ROOT / "experiments").glob("[!_]*.py"))


def test_own_command_names_no_folder_of_this_machine():
    words = ["launch.py", "--workdir=", "--config.data_dir=/some/where", "--sweep_file=/a/b/c"]
    for folder in ("/some/where/rates", "rates/", "runs/rates"):
        words[1] = f"--workdir={folder}"
        own = launch.own_command(words)
        assert own == "python launch.py --workdir=runs/rates --sweep_file=c"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--experiment=charlm", "--workdir=x"], "did you mean char_lm?"),
        (
            ["--experiment=zzz", "--workdir=x"],
            "available: " + ", ".join(EXPERIMENTS),
        ),
        (["--workdir=x"], "--experiment=NAME is required; available: autoencoder"),
        (["--workdir=x", "--backend=slrum"], "kubernetes, print (did you mean slurm?)"),
        (["--workdir=x", "--search=tp"], "one of random, tpe (did you mean tpe?)"),
        (["--workdir=x", "--direction=minimise"], "(did you mean minimize?)"),
        (["--workdir=x", "--direction=zzzz"], "one of minimize, maximize\n"),
        (["--experiment=lenet5"], "--workdir=DIR is required"),
        (["--experiment=lenet5", "--workdir=x", "--worker=2"], "workers"),
        (["--experiment=lenet5", "--workdir=x", "--workers=0"], "workers"),
        (["--experiment=lenet5", "--workdir=x", "seed=3"], "seed=3"),
        (["--experiment=lenet5", "--workdir=x", "--sweep=seed"], "NAME=VALUES"),
        (["--experiment=lenet5", "--workdir=x", "--sweep=seed=0,0"], "same folder: seed=0"),
        (["--experiment=lenet5", "--workdir=x", "--sweep=a=1", "--sweep=a=2"], "same setting"),
        (["--experiment=lenet5", "--workdir=x", f"--sweep=a={'x' * 300}"], "too long"),
        (["--experiment=lenet5", "--workdir=x", "--zip=a=1,2", "--zip=b=1"], "a has 2, b has 1"),
        (["--experiment=lenet5", "--workdir=x", "--sweep_file=none"], "--sweep_file=none: "),
        (["--experiment=lenet5", "--workdir=x", "--result=a/b"], "--result=a/b must consist of"),
        (
            ["--experiment=lenet5", "--workdir=x", "--result=a", "--backend=print"],
            "--result needs --backend=local or --backend=slurm",
        ),
        (["--status", "--workdir=/proc/none"], "there is no run in /proc/none"),
        (["--status"], "--workdir=DIR is required"),
        (["--experiment=lenet5", "--workdir=/proc/none/x"], "cannot write to workdir"),
    ],
)
def test_bad_command_lines_are_refused_in_one_line(capsys, monkeypatch, words, part):
    monkeypatch.setattr(launch, "check_runs", lambda _, runs: [1] * len(runs))
    assert launch.command_line(["launch.py", *words]) == 2
    stderr = capsys.readouterr().err
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1
    assert part in stderr


@pytest.fixture
def checked_here(monkeypatch):
    """Check the settings of word_lm in this process, which is faster."""

    def check_runs(experiment, runs):
        assert experiment == "word_lm"
        lines = [json.dumps({"name": run.name, "argv": run.command[2:]}) for run in runs]
        try:
            return check(word_lm.Config, lines)
        except ConfigError as error:
            raise launch.UsageError(str(error)) from error

    monkeypatch.setattr(launch, "check_runs", check_runs)


KUBERNETES = ["--backend=kubernetes", "--kubernetes_image=x"]
INVALID = {
    "--config.hiden=5": "run: there is no --config.hiden (did you mean hidden?)",
    "--config.optimizer=adm": "got 'adm' (did you mean adam?)",
    "--config.steps=0": "run: config.steps must be at least 1, got 0",
    "--config.preset=zaremba_smal": "got 'zaremba_smal' (did you mean zaremba_small?)",
    "--config.replicas=2": "config.replicas cannot be combined with config.distributed",
}


@pytest.mark.usefixtures("checked_here")
@pytest.mark.parametrize("word", INVALID)
@pytest.mark.parametrize("mode", [["--backend=print"], ["--dry_run"], KUBERNETES])
def test_what_starts_nothing_checks_every_setting(tmp_path, monkeypatch, capsys, mode, word):
    monkeypatch.chdir(tmp_path)
    volume = [f"--kubernetes_volume=v:{tmp_path}"] * (mode == KUBERNETES)
    words = ["launch.py", "--experiment=word_lm", "--workdir=s", *volume, *mode]
    words += ["--config.distributed=True", word]
    assert launch.command_line(words) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: ")
    assert INVALID[word] in err
    assert launch.command_line([*words[:-1], "--config.preset=zaremba_small"]) == 0
    assert capsys.readouterr().err == ""
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("mode", [["--backend=print"], ["--dry_run"]])
def test_what_starts_nothing_refuses_the_folder_of_another_sweep(tmp_path, capsys, mode):
    add_runs(tmp_path, "lenet5", make_runs("lenet5", tmp_path, [], expand([])), [7])
    words = ["launch.py", f"--workdir={tmp_path}", "--experiment=char_lm", *mode]
    assert launch.command_line(words) == 2
    assert "contains runs of lenet5: give another" in capsys.readouterr().err


@pytest.mark.usefixtures("checked_here")
def test_dry_run_prints_the_state_of_each_run(tmp_path, capsys):
    (tmp_path / "seed=1").mkdir()
    (tmp_path / "seed=1" / "result.json").write_text("{}")
    words = ["--experiment=word_lm", f"--workdir={tmp_path}", "--sweep=seed=0..1"]
    assert launch.command_line(["launch.py", *words, "--config.steps=9", "--dry_run"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "seed=0  waiting    0 of 9",
        "seed=1  done       9 of 9",
        "2 runs: 1 done, 1 waiting; step 9 of 18",
    ]


def test_folder_of_another_experiment_is_refused_without_a_check(tmp_path, capsys):
    runs = make_runs("lenet5", tmp_path, [], expand(["seed=0..1"]))
    add_runs(tmp_path, "lenet5", runs, [7, 7])
    words = ["launch.py", f"--workdir={tmp_path}"]
    assert launch.command_line([*words, "--experiment=char_lm"]) == 2
    assert "contains runs of lenet5: give another" in capsys.readouterr().err
    assert launch.command_line([*words, "--status"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 runs: 2 waiting; step 0 of 14"


def test_the_home_of_the_user_in_paths(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(launch, "check_runs", lambda _, runs: [1] * len(runs))
    (tmp_path / "sets").write_text("seed=7\n")
    words = ["--experiment=lenet5", "--workdir=~/runs", "--sweep_file=~/sets", "--backend=print"]
    assert launch.command_line(["launch.py", *words]) == 0
    assert f"--workdir={tmp_path}/runs/seed=7" in capsys.readouterr().out


def test_report_alone_gets_its_own_flags(tmp_path, monkeypatch):
    commands = []

    def fake_run(words, **_):
        commands.extend(words)
        return subprocess.CompletedProcess(words, 2)

    monkeypatch.setattr(launch.subprocess, "run", fake_run)
    words = [
        "launch.py",
        "--report",
        "--workdir=s,t",
        "--output=both",
        "--metric=test/accuracy",
        "--baseline=cell=gru",
    ]
    monkeypatch.chdir(tmp_path)
    assert launch.main(words) == 2
    assert commands[1:] == [
        "-m",
        "experiments.report",
        "--workdir=s,t",
        "--baseline=cell=gru",
        "--metric=test/accuracy",
        "--output=both",
    ]


def test_the_help_of_a_flag_lists_its_values():
    texts = launch.define_flags().get_help()
    assert "<local|slurm|kubernetes|print>: where to start the runs" in " ".join(texts.split())


def test_ctrl_c_during_the_check_is_one_line(tmp_path, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, "check_runs", interrupted)
    words = ["launch.py", "--experiment=lenet5", f"--workdir={tmp_path / 's'}"]
    assert launch.command_line(words) == 75
    assert capsys.readouterr().err == "error: stopped; run the same command to continue\n"
    assert not (tmp_path / "s").exists()


def test_result_of_a_folder_with_other_runs_is_refused(tmp_path):
    (tmp_path / "seed=7").mkdir()
    (tmp_path / "seed=7" / "config.json").write_text("{}")
    runs = make_runs("lenet5", tmp_path, [], expand(["seed=0..1"]))
    with pytest.raises(launch.UsageError, match="seed=7 is a run of another sweep"):
        launch.check_result("name", runs)
    all_runs = make_runs("lenet5", tmp_path, [], expand(["seed=0..1"]) + expand(["seed=7"]))
    launch.check_result("name", all_runs)
