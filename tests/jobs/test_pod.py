"""The run of a pod on Kubernetes: which one it is, that its settings arrive, and how it ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs import pod
from jobs.record import read_exits, read_sweep
from jobs.run import make_runs
from jobs.sweep import expand
from tests.jobs.kubernetes_schema import words_of

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = [
    """it's "quoted" \\ back`tick`""",
    "two\nlines\r\n\ttab",
    "$(HOME) $$(HOME) $HOME ${HOME} $$ $",
    "spaces  and # comment: {a: [b]} & *c !d %e @f",
    "Übung 実験 \U0001f600 \x85\u2028\ufeff",
    "--- |\n  ...",
    "'",
    "$é",
]


@pytest.mark.parametrize("hosts", [1, 2])
def test_hostile_values_reach_the_run_unchanged(manifest, monkeypatch, tmp_path, hosts):
    folder, made = tmp_path / "it's $(HOME)", []
    monkeypatch.setattr(pod, "work", made.append)
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "0")
    for value in HOSTILE:
        config, axis = [f"--config.name={value}"], f"text={[value]!r}"
        flags = [*config, f"--sweep={axis}", f"--kubernetes_hosts={hosts}"]
        (item,) = manifest(*flags, f"--kubernetes_volume=v:{tmp_path}", workdir=folder)
        config += ["--config.distributed=True"] * (hosts > 1)
        (run,) = make_runs("lenet5", folder, config, expand([axis]))
        words = words_of(item, HOME="/root")
        if hosts > 1:
            assert words == ["python", *run.command[1:]]
        else:
            assert words[:3] == ["python", "-m", "jobs.pod"]
            pod.main(words[3:])
            assert made.pop() == run


def test_the_pod_of_an_index_takes_that_run_and_the_first_records_all(
    manifest, monkeypatch, tmp_path
):
    folder = tmp_path / "a" / "s"
    words = ["--sweep=seed=0..2", f"--kubernetes_volume=v:{tmp_path}", "--config.steps=5"]
    (item,) = manifest(*words, workdir=folder)
    made = []
    monkeypatch.setattr(pod, "work", made.append)
    for index in (2, 0, 1):
        monkeypatch.setenv("JOB_COMPLETION_INDEX", str(index))
        pod.main(words_of(item)[3:])
        assert bool(read_sweep(folder)["runs"]) == (index != 2)
    runs = make_runs("lenet5", folder, ["--config.steps=5"], expand(["seed=0..2"]))
    assert made == [runs[2], runs[0], runs[1]]
    assert read_sweep(folder)["experiment"] == "lenet5"
    assert [(r["name"], r["steps"]) for r in read_sweep(folder)["runs"]] == [
        (run.name, 5) for run in runs
    ]


@pytest.mark.parametrize(
    "script", ["trap 'exit 75' TERM; kill -TERM $PPID; sleep 9 & wait", "exit 3"]
)
def test_pod_ends_as_its_run_does_and_leaves_the_rest_to_kubernetes(tmp_path, script):
    words = [sys.executable, "-m", "jobs.task", str(tmp_path / "r"), "sh", "-c", script]
    environment = {name: v for name, v in os.environ.items() if not name.startswith("SLURM")}
    done = subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    code = 75 if "75" in script else 3
    assert (done.returncode, done.stdout, done.stderr) == (code, f"r: exit {code}\n", "")
    assert read_exits(tmp_path)["r"]["exit"] == code
