"""The state of runs, from folders written by hand; the record of a sweep."""

import fcntl
import json
import subprocess
import sys
import time

import pytest

from jobs.record import add_runs, check_folder, log_exit, read_exits, read_sweep
from jobs.run import ROOT, make_runs
from jobs.status import run_status, status_table, sweep_status
from jobs.sweep import UsageError, expand


def write_run(folder, name, events=(), metrics=(), log=None):
    """Write a run directory: events are (event, step, time), metrics the steps that were logged."""
    (folder / name).mkdir()
    for file, lines in (
        ("attempts", [{"event": e, "step": s, "time": t} for e, s, t in events]),
        ("metrics", [{"step": step, "train/loss": 1.0} for step in metrics]),
    ):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / name / f"{file}.jsonl").write_text(text)
    if log is not None:
        (folder / f"{name}.log").write_text(log)


def test_status_of_a_sweep(tmp_path):
    runs = make_runs("char_lm", tmp_path, [], expand(["seed=0..4"]))
    add_runs(tmp_path, "char_lm", runs, [1000] * 5)
    write_run(tmp_path, "seed=0", [("start", 0, 1.0), ("finished", 1000, 2.0)], [500, 1000], "x\n")
    (tmp_path / "seed=0" / "result.json").write_text("{}")
    write_run(tmp_path, "seed=1", [("start", 0, 1.0), ("PreemptedError", 620, 2.0)], [600], "x\n")
    write_run(tmp_path, "seed=2", [("NonFiniteError", 7, 2.0)], [], "step 5\nerror: no number\n\n")
    write_run(tmp_path, "seed=3", [("PreemptedError", 10, 1.0), ("start", 10, 2.0)], [5, 40])
    write_run(tmp_path, "by_hand", [("start", 0, 1.0)], [80])
    (tmp_path / "by_hand" / "config.json").write_text('{"steps": 90}')
    with open(tmp_path / "seed=3" / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        text = status_table(sweep_status(tmp_path))
    assert text.splitlines() == [
        "seed=0   done       1000 of 1000",
        "seed=1   preempted   620 of 1000",
        "seed=2   failed        7 of 1000  error: no number",
        "seed=3   running      40 of 1000",
        "seed=4   waiting       0 of 1000",
        "by_hand  failed       80 of 90",
        "6 runs: 1 done, 1 running, 1 waiting, 1 preempted, 2 failed; step 1747 of 5090",
    ]
    assert sweep_status(tmp_path)[3].state == "failed"  # without the lock: it was killed


@pytest.mark.parametrize(
    "names",
    [
        ["sweep.lock", "notes.md"],  # killed before it had a list of its runs
        ["seed=0.log", "slurm", "seed=0"],  # a run that has no file yet
        ["seed=0/.lock", "seed=0/data.json"],  # a run by hand, killed before it had its config
        ["seed=0/config.json", "notes.md"],
        ["seed=0/seed=0/config.json", "seed=0/replicas.json"],
        ["nohup.out", "lost+found", "study.log"],
    ],
)
def test_the_folder_of_a_sweep_killed_at_any_moment_is_not_refused(tmp_path, names):
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("") if path.suffix or "lock" in name else path.mkdir()
    check_folder(tmp_path, "char_lm")


@pytest.mark.parametrize("names", [["a.md"], ["a", "a/b.md"], ["config.json", "checkpoints"]])
def test_a_folder_with_files_and_no_sweep_is_refused(tmp_path, names):
    for name in names:
        path = tmp_path / name
        path.write_text("") if path.suffix else path.mkdir()
    found = "a.md" if len(names) == 1 else names[0]
    with pytest.raises(UsageError, match=f"not empty and contains no sweep, but {found}: give"):
        check_folder(tmp_path, "char_lm")


@pytest.mark.parametrize(
    ("events", "ended", "log", "state"),
    [
        ([], None, None, "waiting"),
        ([], None, "x", "failed"),  # before its training began; the launch was killed too
        ([], (2, 5.0), "x", "failed"),
        ([], (75, 5.0), "x", "preempted"),
        ([], (143, 5.0), "x", "preempted"),
        ([], (0, 5.0), "x", "waiting"),  # it was finished, and its folder deleted
        ([("PreemptedError", 3, 4.0)], (3, 5.0), "x", "failed"),
        ([("PreemptedError", 3, 6.0)], (3, 5.0), "x", "preempted"),  # by hand, later
        ([("ValueError", 3, 6.0)], (75, 5.0), "x", "failed"),
    ],
)
def test_the_latest_record_determines_how_a_run_ended(tmp_path, events, ended, log, state):
    write_run(tmp_path, "r", events, [], log)
    exit_line = ended and {"exit": ended[0], "time": ended[1]}
    assert run_status(tmp_path / "r", 9, exit_line).state == state


def test_incomplete_lines_are_not_read(tmp_path):
    write_run(tmp_path, "r", [], [4])
    with open(tmp_path / "r" / "metrics.jsonl", "a") as file:
        file.write('{"step": 8, "tr\n{"step": 12')
    assert run_status(tmp_path / "r", 20, None).step == 4


def test_a_thousand_runs_take_less_than_five_seconds(tmp_path):
    runs = make_runs("char_lm", tmp_path, [], expand(["seed=0..999"]))
    add_runs(tmp_path, "char_lm", runs, range(1000))
    for run in runs:
        write_run(tmp_path, run.name, [("start", 0, 1.0), ("ValueError", 3, 2.0)], [1, 2], "no\n")
    began = time.perf_counter()
    statuses = sweep_status(tmp_path)
    assert time.perf_counter() - began < 5
    assert [status.steps for status in statuses] == list(range(1000))
    assert {(status.state, status.step, status.details) for status in statuses} == {
        ("failed", 3, "no")
    }


def test_larger_sweep_adds_to_the_record(tmp_path):
    for axis in ("seed=0..1", "seed=1..2"):
        runs = make_runs("nmt", tmp_path / "s", [], expand([axis, "cell=gru"]))
        add_runs(tmp_path / "s", "nmt", runs, [len(axis)] * 2)
    assert read_sweep(tmp_path / "s") == {
        "experiment": "nmt",
        "runs": [
            {"name": f"seed={i},cell=gru", "overrides": [f"seed={i}", "cell=gru"], "steps": 9}
            for i in range(3)
        ],
    }
    check_folder(tmp_path / "s", "nmt")
    with pytest.raises(UsageError, match="s contains runs of nmt: give another --workdir"):
        check_folder(tmp_path / "s", "lenet5")


def test_concurrent_launches_lose_no_run_of_the_record(tmp_path):
    script = (
        "import sys; from pathlib import Path; from jobs.record import *; from jobs.run import *"
    )
    script += "\nfor i in range(30):"
    script += "\n  runs = make_runs('nmt', Path(sys.argv[1]), [], [(f'seed={sys.argv[2]}{i}',)])"
    script += "\n  add_runs(Path(sys.argv[1]), 'nmt', runs, [1])"
    words = [[sys.executable, "-c", script, str(tmp_path), name] for name in "1234"]
    writers = [subprocess.Popen(line, cwd=ROOT) for line in words]
    assert [writer.wait() for writer in writers] == [0, 0, 0, 0]
    assert len(read_sweep(tmp_path)["runs"]) == 120


def test_last_exit_of_each_run_is_read(tmp_path):
    assert read_exits(tmp_path) == {}
    for name, code in (("a", 1), ("b", 75), ("a", 0)):
        log_exit(tmp_path, name, code)
    with open(tmp_path / "exits.jsonl", "a") as file:
        file.write('{"name": "b", "ex')
    log_exit(tmp_path, "c", 3)  # not appended to the line that a kill truncated
    exits = {name: line["exit"] for name, line in read_exits(tmp_path).items()}
    assert exits == {"a": 0, "b": 75, "c": 3}


def test_folder_without_runs_or_with_a_broken_record_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UsageError, match=f"there is no run in {folder}"):
            sweep_status(folder)
    (tmp_path / "sweep.json").write_text("{")
    with pytest.raises(UsageError, match=r"cannot read .*sweep\.json"):
        sweep_status(tmp_path)
    for text in ("[]", '{"runs": 3}', '{"experiment": "x", "runs": [{"name": "a"}]}'):
        (tmp_path / "sweep.json").write_text(text)
        with pytest.raises(UsageError, match=r"sweep\.json is not the list of the runs of a sweep"):
            sweep_status(tmp_path)


def test_lines_of_another_form_are_left_out(tmp_path):
    (tmp_path / "exits.jsonl").write_bytes(b'5\n[]\n{"name": "a"}\n\xff\n{"name": 1, "exit": 0}\n')
    log_exit(tmp_path, "b", 3)
    assert list(read_exits(tmp_path)) == ["b"]
    write_run(tmp_path, "r", [("PreemptedError", 4, 1.0)])
    with open(tmp_path / "r" / "attempts.jsonl", "a") as file:
        file.write("7\n")
    (tmp_path / "r" / "config.json").write_text("[]")
    assert sweep_status(tmp_path)[0].state == "preempted"


def test_progress_of_replicas_is_that_of_the_latest_one(tmp_path):
    runs = make_runs("lenet5", tmp_path, [], expand(["hidden=1..2"]))
    add_runs(tmp_path, "lenet5", runs, [1000] * 2)
    for name, stopped in (("hidden=1", "PreemptedError"), ("hidden=2", "start")):
        (tmp_path / name).mkdir()
        for seed in (0, 1):
            events = [("start", 0, 1.0), (stopped, 620, 2.0)]
            write_run(tmp_path / name, f"seed={seed}", events, [600])
            (tmp_path / name / f"seed={seed}" / "config.json").write_text("{}")
    with open(tmp_path / "hidden=2" / "seed=1" / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lines = status_table(sweep_status(tmp_path)).splitlines()
    assert lines[0] == "hidden=1  preempted   620 of 1000"
    assert lines[1] == "hidden=2  running     620 of 1000"
    (tmp_path / "hidden=1" / "result.json").write_text("{}")
    assert sweep_status(tmp_path)[0].state == "done"
