"""A sweep whose processes are killed at random moments ends with the table of an undisturbed one.

`make soak` repeats it with twelve runs and a kill every few seconds until they are finished.
"""

import collections
import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs.status import sweep_status

ROOT = Path(__file__).resolve().parents[2]
MARK = "SWEEP_OF_A_TEST"  # in the environment of every process of the sweep
KINDS = {
    "launch.py": "launcher",
    "experiments.char_lm": "run",
    "experiments.report.check": "check",
    "experiments.report": "report",
}
SETTINGS = [
    "--config.log_every=2",
    "--config.eval_every=5",
    "--config.save_every=3",
    "--config.batch_size=4",
    "--config.hidden=8",
    "--config.bptt_length=8",
    "--config.heldout_characters=200",
    "--config.sample_length=20",
    "--config.figures_at=(1.0,)",
]


@pytest.fixture
def launch(text_file, one_device):
    """Start a sweep in a folder, stdout and stderr to FOLDER.out; no process outlives the test."""
    folders = set()

    def start(folder, words):
        folders.add(folder)
        command = [sys.executable, "launch.py", "--experiment=char_lm", f"--workdir={folder}"]
        command += ["--workers=2", "--format=csv", f"--config.dataset=text:{text_file}"]
        with open(f"{folder}.out", "wb") as out:
            return subprocess.Popen(
                [*command, *SETTINGS, *words],
                cwd=ROOT,
                env={**one_device, MARK: str(folder)},
                stdout=out,
                stderr=out,
            )

    yield start
    for folder in folders:
        while alive := processes(folder):  # again: one may just have started another
            for pid in alive:
                kill(pid)
            time.sleep(0.05)


def processes(folder):
    """Kind of each live process of a sweep by its id, from Linux's /proc."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            if f"{MARK}={folder}".encode() in (path / "environ").read_bytes().split(b"\0"):
                words = (path / "cmdline").read_text().split("\0")
                kinds = [KINDS[word] for word in words if word in KINDS]
                found[int(path.name)] = kinds[0] if kinds else "other"
    return found


def kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def ending(folder):
    """Table without its last column, a wall-clock time, and the metrics of every run."""
    lines = Path(f"{folder}.out").read_text().splitlines()
    rows = [line.rpartition(",")[0] for line in lines if re.match(r"\w.*,[\d.]*$", line)]
    head = [line for line in lines if line.endswith(",seconds a run")]
    return head, rows, {p.parent.name: p.read_bytes() for p in folder.glob("*/metrics.jsonl")}


def disturb(start, folder, *, rng, runs, seconds, kills):
    """Restart a sweep until it exits with 0; return the killed processes and the exit codes.

    seconds: mean time between two kills. kills: their maximum number; two more after all runs are
    finished. The first kills a launcher, the second a run.
    """
    killed, codes = [], []
    process, until = start(), time.monotonic() + rng.expovariate(1 / seconds)
    while True:
        while process.poll() is None and (len(killed) >= kills or time.monotonic() < until):
            time.sleep(0.02)
        if len(list(folder.glob("*/result.json"))) == runs:
            kills = min(kills, len(killed) + 2)
        if process.poll() is not None:
            codes.append(process.returncode)
            if codes[-1] == 0:
                return killed, codes
            process = start()
            continue
        if len(killed) == 1 and not list(folder.glob("*/metrics.jsonl")):
            time.sleep(0.02)  # the second kill is that of a run that trains
            continue
        alive = processes(folder)
        targets = {0: ["launcher"], 1: ["run"]}.get(len(killed), list(alive.values()))
        if pids := sorted(pid for pid, kind in alive.items() if kind in targets):
            killed.append(alive[pid := rng.choice(pids)])
            kill(pid)
            until = time.monotonic() + rng.expovariate(1 / seconds)
        time.sleep(0.02)


def test_table_is_the_same_whatever_is_killed(launch, tmp_path, request, capsys):
    soak = request.config.getoption("--soak")
    words = ["--sweep=cell=rnn,gru,lstm", "--sweep=seed=0..3", "--config.steps=40"]
    words = words if soak else ["--sweep=seed=0..1", "--config.steps=12"]
    runs, kills, share = (12, 10**6, 20) if soak else (2, 3, 20)
    undisturbed, killed_in = tmp_path / "undisturbed", tmp_path / "killed"
    began = time.monotonic()
    assert launch(undisturbed, words).wait() == 0, Path(f"{undisturbed}.out").read_text()
    seconds = time.monotonic() - began
    expected = ending(undisturbed)
    assert [len(part) for part in expected] == [1, 3 if soak else 1, runs]
    rng = random.Random(runs)
    limits = {"rng": rng, "runs": runs, "seconds": seconds / share, "kills": kills}
    killed, codes = disturb(lambda: launch(killed_in, words), killed_in, **limits)
    assert ending(killed_in) == expected
    assert processes(killed_in) == {}
    assert {status.state for status in sweep_status(killed_in)} == {"done"}
    counts = dict(collections.Counter(killed))
    assert counts["launcher"] >= 1
    assert counts["run"] >= 1
    assert -signal.SIGKILL in codes
    taken = time.monotonic() - began - seconds
    with capsys.disabled():
        print(
            f"\n{runs} runs, the same table: {len(killed)} processes killed, {counts}; "
            f"{len(codes)} launches; {taken:.0f} s, {seconds:.0f} s undisturbed"
        )
