"""Worker processes, with shell commands instead of experiments."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from jobs import local
from jobs.record import read_exits
from jobs.run import ROOT, Run, environment, shell_line
from jobs.status import run_status
from tests.jobs.conftest import interrupt_once_handled


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(local, "POLL_SECONDS", 0.01)


@pytest.fixture
def fake(tmp_path):
    """Make a run that is a shell command, in which $W is its folder."""

    def make(name, script):
        script = f"W={tmp_path / name}; mkdir -p $W; echo begun; {script}"
        return Run(name, (), tmp_path / name, ("sh", "-c", script))

    return make


def test_failing_run_does_not_stop_the_others_and_is_run_again(fake, tmp_path, capsys):
    good, late = (fake(name, "echo {} > $W/result.json") for name in ("good", "late"))
    runs = [good, fake("bad", "seq 8; echo; test -e $W/fixed && echo {} > $W/result.json"), late]
    assert local.run_all(runs, [4, 4, 4], workers=1) == 1
    out, err = capsys.readouterr()
    assert out == "good: finished\nlate: finished\n"
    assert err.splitlines() == [
        f"error: bad: exit 1; last lines of {runs[1].log}:",
        *("  4", "  5", "  6", "  7", "  8"),
    ]
    (tmp_path / "bad" / "fixed").touch()
    assert local.run_all(runs, [4, 4, 4], workers=2) == 0
    assert capsys.readouterr().out == "2 of 3 runs are already finished\nbad: finished\n"
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
    early = "touch $W/ready; exec sleep 60"  # like a run with nothing to save yet
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
    assert "run the same command to continue" in capsys.readouterr().out
    exits = read_exits(tmp_path)
    assert {name: line["exit"] for name, line in exits.items()} == {"saving": 75, "early": 143}
    states = [run_status(run.workdir, 9, exits.get(run.name)).state for run in runs]
    assert states == ["preempted", "preempted", "waiting"]


@pytest.fixture
def earlier(fake):
    """Start runs like an earlier launch that has died; they are killed after the test."""
    workers = []

    def start(name, script):
        worker = local.start(fake(name, script), 0, 1)
        workers.append(worker)
        wait_for(worker.run.workdir)
        return worker

    yield start
    for worker in workers:
        worker.process.kill()
        worker.process.wait()


def wait_for(path):
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_run_is_running_while_its_process_lives(earlier):
    worker = earlier("r", "exec sleep 60")
    run = worker.run
    assert local.start(run, 0, 1) is None  # the lock is taken: no second process
    assert run_status(run.workdir, 5, {"exit": 2, "time": time.time()}).state == "running"
    worker.process.terminate()
    worker.process.wait()
    assert run_status(run.workdir, 5, None).state == "failed"


def test_runs_of_an_earlier_launch_are_waited_for_and_count(earlier, fake, tmp_path, capsys):
    until = f"while ! test -e {tmp_path}/over; do sleep 0.01; done"
    ends = earlier("ends", f"{until}; echo {{}} > $W/result.json").run
    dies = earlier("dies", f"{until}; exit 3").run
    again = fake("dies", "echo {} > $W/result.json")
    # with two workers, the third may start only after one of the others has ended
    third = fake("third", f"test -e {tmp_path}/over && echo {{}} > $W/result.json")
    timer = threading.Timer(0.2, (tmp_path / "over").touch)
    timer.start()
    assert local.run_all([third, again, ends], [1, 1, 1], workers=2) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "2 runs are still active from an earlier launch"
    assert sorted(out.splitlines()[1:]) == [
        "dies: finished",
        "ends: finished",
        "third: finished",
    ]
    assert not err
    assert [run.log.read_text().count("begun") for run in (ends, dies, third)] == [1, 2, 1]


def test_run_that_another_launch_starts_first_is_no_failure(fake, monkeypatch, tmp_path, capsys):
    run = fake("r", "sleep 0.1; echo {} > $W/result.json")
    winner = []

    def late(run, slot, workers):  # the other launch is slightly faster
        if not winner:
            winner.append(start(run, slot, workers))
        return start(run, slot, workers)

    start = local.start
    monkeypatch.setattr(local, "start", late)
    assert local.run_all([run], [1], workers=1) == 0
    assert capsys.readouterr().out == "r: finished\n"
    assert run.log.read_text() == "begun\n"
    assert winner[0].process.wait() == 0


def test_two_concurrent_launches_share_the_runs(fake, tmp_path):
    runs = [fake(f"r{i}", "sleep 0.03; echo {} > $W/result.json") for i in range(8)]
    script = (
        "import sys; from pathlib import Path; from jobs import local; from jobs.run import Run\n"
        "local.POLL_SECONDS = 0.01\n"
        "runs = [Run(path.split('/')[-1], (), Path(path), tuple(command)) "
        "for path, command in eval(sys.argv[1])]\n"
        "sys.exit(local.run_all(runs, [1] * len(runs), workers=2))"
    )
    arguments = repr([(str(run.workdir), run.command) for run in runs])
    both = [
        subprocess.Popen(
            [sys.executable, "-c", script, arguments], cwd=ROOT, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    for process in both:
        process.communicate(timeout=60)
    assert [process.returncode for process in both] == [0, 0]
    assert [run.log.read_text() for run in runs] == ["begun\n"] * 8


def test_stopped_while_it_waits_for_an_earlier_launch(earlier, tmp_path, capsys):
    worker = earlier("r", "exec sleep 60")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt_once_handled, args=(0.05,))
    thread.start()
    try:
        assert local.run_all([worker.run], [1], workers=1) == 75
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().out.splitlines() == [
        "1 run is still active from an earlier launch",
        "not stopped, since another launch started them: r",
    ]
    assert worker.process.poll() is None
    assert read_exits(tmp_path) == {}


def test_printed_line_works_the_same_in_any_folder(tmp_path, monkeypatch):
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


def test_a_worker_imports_nothing_from_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "train.py").write_text("raise SystemExit('mine')")
    monkeypatch.setenv("PYTHONPATH", f"{os.pathsep}/elsewhere")  # its empty part is this folder
    code = "import train; print(train.__file__)"
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=tmp_path, env=environment(), capture_output=True, check=True)
    assert done.stdout.decode().strip() == str(ROOT / "train" / "__init__.py")


def test_workers_are_stopped_when_nobody_reads_the_output(fake, tmp_path, monkeypatch):
    waiting = "trap 'exit 75' TERM; while :; do sleep 0.02; done"
    runs = [fake("quick", "echo {} > $W/result.json"), fake("long", waiting)]
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        with pytest.raises(BrokenPipeError):
            local.run_all(runs, [1, 1], workers=2)
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), pipe.fileno())
    assert read_exits(tmp_path)["long"]["exit"] in (75, 143)


@pytest.mark.parametrize(
    ("content", "steps", "finished"),
    [
        (None, 4, False),
        ("", 4, False),
        ("[]", 4, False),
        ('{"end": "steps", "step": 4}', 4, True),
        ('{"end": "steps", "step": 4}', 9, False),
        ('{"end": "patience", "step": 4}', 9, True),
        ('{"replicas": ["seed=0"]}', 9, True),
    ],
)
def test_one_function_says_what_is_finished(fake, tmp_path, content, steps, finished):
    run = replace(fake("r", ""), steps=steps)
    run.workdir.mkdir()
    if content is not None:
        (run.workdir / "result.json").write_text(content)
    assert run.finished == finished
    assert (run_status(run.workdir, steps, None).state == "done") == finished
