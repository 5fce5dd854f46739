"""launch.py: bad command lines, resuming, failures, stopping, the report."""

import json
import signal
import subprocess
import sys
import time
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
SMALL = [
    "--config.steps=4",
    "--config.eval_every=2",
    "--config.log_every=2",
    "--config.batch_size=4",
    "--config.hidden=5",
    "--config.bptt_length=6",
    "--config.heldout_characters=60",
    "--config.sample_length=20",
]


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


def test_print_backend_starts_nothing(command, tmp_path):
    flagfile = f"--flagfile={tmp_path / 'a.flags'}"
    (tmp_path / "a.flags").write_text("--config.steps=5\n")
    words = ["--experiment=lenet5", f"--workdir={tmp_path / 's'}", "--sweep=seed=0..1"]
    done = command("launch.py", *words, flagfile, "--backend=print")
    assert done.returncode == 0
    commands, script = done.stdout.split("# on Slurm, instead of the commands above: ")
    assert [line.split()[-2:] for line in commands.splitlines()] == [
        [flagfile, "--config.seed=0"],
        [flagfile, "--config.seed=1"],
    ]
    assert "#SBATCH --array=0-1%2\n" in script
    assert not (tmp_path / "s").exists()


def test_sweep_ends_with_a_report_and_is_not_repeated(command, tmp_path, text_file):
    words = [
        "launch.py",
        "--experiment=char_lm",
        f"--workdir={tmp_path / 's'}",
        "--sweep=cell=rnn,gru",
        "--sweep=seed=0..1",
        "--workers=2",
        f"--config.dataset=text:{text_file}",
        *SMALL,
    ]
    done = command(*words)
    assert done.returncode == 0, done.stderr
    for part in ("--- sample, step 0 of 4 ---", "step 2 of 4", "step 4 of 4", "cell", "95 %"):
        assert part in done.stdout
    rows = [line.split() for line in done.stdout.splitlines() if line[:4] in ("rnn ", "gru ")]
    assert [row[0] for row in rows] == ["gru", "rnn"]
    for row in rows:
        values = [
            json.loads((tmp_path / "s" / f"cell={row[0]},seed={seed}" / "result.json").read_text())[
                "metrics"
            ]["heldout/bits_per_character"]
            for seed in (0, 1)
        ]
        assert float(row[1]) == pytest.approx(sum(values) / 2, abs=5e-5)
        assert row[4] == "2"
    assert (tmp_path / "s" / "curves.png").read_bytes()[:4] == b"\x89PNG"
    before = {p: p.read_bytes() for p in (tmp_path / "s").glob("*/metrics.jsonl")}
    attempts = {p: p.read_bytes() for p in (tmp_path / "s").glob("*/attempts.jsonl")}
    again = command(*words)
    assert "4 of 4 runs are already finished" in again.stdout
    assert again.stdout.split("---", 1)[1] == done.stdout.split("---", 1)[1]
    assert {p: p.read_bytes() for p in before} == before
    assert {p: p.read_bytes() for p in attempts} == attempts


def test_one_bad_run_does_not_stop_the_others(command, tmp_path, text_file):
    words = [f"--workdir={tmp_path / 's'}", f"--sweep=dataset=text:/none,text:{text_file}", *SMALL]
    done = command("launch.py", "--experiment=char_lm", *words)
    assert done.returncode == 2
    first, second = done.stderr.splitlines()
    assert first.startswith("error: dataset=text_none: exit 2; last lines of ")
    assert second.startswith("  error: ")
    assert "/none" in second
    assert ": finished\n" in done.stdout
    assert "95 %" in done.stdout
    states = command("launch.py", "--status", words[0]).stdout.splitlines()
    assert states[0].split()[:5] == ["dataset=text_none", "failed", "0", "of", "4"]
    assert states[0].endswith(second.strip())
    assert states[2] == "2 runs: 1 done, 1 failed; step 4 of 8"


def test_invalid_setting_is_reported_before_anything_starts(command, tmp_path):
    words = [f"--workdir={tmp_path / 's'}", "--sweep=seed=0..1", "--sweep=cell=gru,rnm"]
    done = command("launch.py", "--experiment=char_lm", *words)
    assert done.returncode == 2
    assert done.stderr.startswith("error: seed=0,cell=rnm: config.cell must be one of ")
    assert "(did you mean rnn?)\n" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "s").exists()


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


def test_report_alone_gets_its_own_flags(tmp_path, monkeypatch):
    commands = []

    def fake_run(words, **_):
        commands.extend(words)
        return subprocess.CompletedProcess(words, 2)

    monkeypatch.setattr(launch.subprocess, "run", fake_run)
    words = [
        "launch.py",
        "--report",
        "--workdir=s",
        "--metric=test/accuracy",
        "--baseline=cell=gru",
    ]
    monkeypatch.chdir(tmp_path)
    assert launch.main(words) == 2
    assert commands[1:] == [
        "-m",
        "experiments.report",
        f"--workdir={tmp_path / 's'}",
        "--baseline=cell=gru",
        "--metric=test/accuracy",
    ]


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


def test_stopping_the_sweep_leaves_every_run_resumable(tmp_path, text_file, one_device):
    words = [sys.executable, "launch.py", "--experiment=char_lm", f"--workdir={tmp_path / 's'}"]
    words += ["--workers=2", "--sweep=seed=0..1", f"--config.dataset=text:{text_file}", *SMALL]
    words += ["--config.steps=100000"]
    # a shell ignores SIGINT in background processes, and children inherit that
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(words, cwd=ROOT, env=one_device, stdout=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    try:
        lines = [tmp_path / "s" / f"seed={seed}" / "metrics.jsonl" for seed in (0, 1)]
        deadline = time.monotonic() + 90
        while not all(path.is_file() and path.read_text().count("\n") > 3 for path in lines):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)  # a second one loses nothing
        out, _ = process.communicate(timeout=60)
    finally:
        process.terminate()  # after a failure, this also stops the runs
        process.wait()
    assert process.returncode == 75
    assert "run the same command to continue" in out
    for seed in (0, 1):
        run = tmp_path / "s" / f"seed={seed}"
        last = json.loads((run / "attempts.jsonl").read_text().splitlines()[-1])
        assert last["event"] == "PreemptedError"
        assert (run / "checkpoints" / str(last["step"])).is_dir()
