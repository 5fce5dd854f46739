"""Worker processes, with shell commands in place of experiments."""

import os
import signal
import subprocess
import threading
import time

import pytest

from jobs import local
from jobs.record import read_exits
from jobs.run import ROOT, Run, shell_line
from jobs.status import run_status


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(local, "POLL_SECONDS", 0.01)


@pytest.fixture
def fake(tmp_path):
    """Make a run that is a few words of shell, in which $W is its folder."""

    def make(name, script):
        script = f"W={tmp_path / name}; mkdir -p $W; echo begun; {script}"
        return Run(name, (), tmp_path / name, ("sh", "-c", script))

    return make


def test_failing_run_does_not_stop_the_others_and_is_run_again(fake, tmp_path, capsys):
    good, late = (fake(name, "echo {} > $W/result.json") for name in ("good", "late"))
    runs = [good, fake("bad", "seq 8; echo; test -e $W/mended && touch $W/result.json"), late]
    assert local.run_all(runs, [4, 4, 4], workers=1) == 1
    out, err = capsys.readouterr()
    assert out == "good: finished\nlate: finished\n"
    assert err.splitlines() == [
        f"error: bad: exit 1, the end of {runs[1].log}:",
        *("  4", "  5", "  6", "  7", "  8"),
    ]
    (tmp_path / "bad" / "mended").touch()
    assert local.run_all(runs, [4, 4, 4], workers=2) == 0
    assert capsys.readouterr().out == "2 of 3 runs are finished already\nbad: finished\n"
    assert [run.log.read_text().count("begun") for run in runs] == [1, 2, 1]
    assert {name: line["exit"] for name, line in read_exits(tmp_path).items()} == {
        "good": 0,
        "bad": 0,
        "late": 0,
    }


@pytest.mark.parametrize(("codes", "expected"), [((3, 3), 3), ((3, 2), 1)])
def test_exit_code_is_that_of_the_runs_where_they_agree(fake, codes, expected):
    runs = [fake(f"r{i}", f"exit {code}") for i, code in enumerate(codes)]
    assert local.run_all(runs, [1, 1], workers=2) == expected


def test_run_that_a_signal_ended(fake, tmp_path):
    assert local.run_all([fake("killed", "kill -KILL $$")], [1], workers=1) == 128 + 9
    assert run_status(tmp_path / "killed", 1, read_exits(tmp_path)["killed"]).state == "failed"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_every_run_and_leaves_it_resumable(fake, tmp_path, capsys, number):
    saving = "trap 'sleep 0.1; exit 75' TERM; touch $W/ready; while :; do sleep 0.02; done"
    early = "touch $W/ready; exec sleep 60"  # as a run that has nothing to save yet
    runs = [fake("saving", saving), fake("early", early), fake("waiting", "exit 1")]

    def stop_twice():
        deadline = time.monotonic() + 30
        while not all((run.workdir / "ready").exists() for run in runs[:2]):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(os.getpid(), number)
        time.sleep(0.05)
        os.kill(os.getpid(), number)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=stop_twice)
    thread.start()
    try:
        assert local.run_all(runs, [9, 9, 9], workers=2) == 75
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert "goes on with the same command" in capsys.readouterr().out
    exits = read_exits(tmp_path)
    assert {name: line["exit"] for name, line in exits.items()} == {"saving": 75, "early": 143}
    states = [run_status(run.workdir, 9, exits.get(run.name)).state for run in runs]
    assert states == ["preempted", "preempted", "waiting"]


def test_run_is_known_to_go_on_while_its_process_lives(fake):
    run = fake("r", "exec sleep 60")
    worker = local.start(run, 0, 1)
    second = local.start(fake("r", "exit 2"), 0, 1)  # which finds the lock taken
    assert second.wait() == 2
    assert run_status(run.workdir, 5, {"exit": 2, "time": time.time()}).state == "running"
    local.stop([worker])
    assert run_status(run.workdir, 5, None).state == "failed"


def test_printed_line_works_in_any_folder_as_in_this_one(tmp_path, monkeypatch):
    here = tmp_path / "it's here"
    here.mkdir()
    (here / "settings").write_text("--config.seed=3")
    monkeypatch.chdir(here)
    script = "import experiments; print(experiments.__file__, open('settings').read())"
    line = shell_line(Run("r", (), tmp_path / "r", ("python3", "-c", script)))
    done = subprocess.run(
        ["sh", "-c", line],
        cwd="/",
        env={"PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        check=True,
    )
    assert done.stdout.decode() == f"{ROOT / 'experiments' / '__init__.py'} --config.seed=3\n"
    assert "\n" not in line
