"""Sweeps on a real Slurm, such as .ci/slurm.sh starts; skipped where there is none."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs.queue import read_queue
from jobs.run import ROOT, Run
from jobs.sbatch import sbatch_script

STEPS = 800
SMALL = [
    f"--config.steps={STEPS}",
    "--config.eval_every=400",
    "--config.log_every=10",
    "--config.batch_size=4",
    "--config.hidden=5",
    "--config.bptt_length=6",
    "--config.heldout_characters=60",
    "--config.sample_length=20",
]


def output_of(*words):
    """Output of a command."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def _slurm():
    """Skip the tests without a Slurm with two partitions, one of which preempts the other."""
    if not shutil.which("sinfo"):
        pytest.skip("there is no Slurm on this machine")
    done = subprocess.run(["sinfo", "-h", "-o", "%P"], capture_output=True, text=True, check=False)
    if not {"low*", "high"} <= set(done.stdout.split()):
        pytest.skip("there is no Slurm with the partitions low and high of .ci/slurm.sh")
    with pytest.MonkeyPatch.context() as patch:
        flags = os.environ["XLA_FLAGS"].replace("device_count=4", "device_count=1")
        patch.setenv("XLA_FLAGS", flags)
        yield


@pytest.fixture
def submitted():
    """Ids of jobs that are cancelled after the test, even if it fails."""
    jobs = []
    yield jobs
    subprocess.run(["scancel", *jobs], check=False)


def launch(*words):
    """Output of a launch."""
    return output_of(sys.executable, ROOT / "launch.py", "--experiment=char_lm", *words)


def wait_until(holds, seconds=240):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_until_pending(job):
    """Wait until all tasks of a job have been requeued, and let them start again immediately."""
    wait_until(lambda: set(states(job)) == {"PENDING"})
    output_of("scontrol", "update", f"JobId={job}", "StartTime=now")


def states(job):
    return output_of("squeue", "-h", "-r", f"--jobs={job},{job}", "--format=%T").split()


def freeze(*runs):
    """Stop the process of each run with SIGSTOP once it has logged, so that it cannot end."""
    left = set(runs)
    while left:
        for run in list(left):
            metrics = run / "metrics.jsonl"
            if metrics.exists() and metrics.read_text().count("\n") > 2:
                os.kill(process_id(run), signal.SIGSTOP)
                left.remove(run)
        time.sleep(0.01)
    assert not any((run / "result.json").exists() for run in runs)


def process_id(run):
    """Id of the process that trains in a folder."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        words = path.read_bytes().decode().split("\0")
        if words[1:3] == ["-m", "experiments.char_lm"] and f"--workdir={run}" in words:
            return int(path.parent.name)
    raise AssertionError(f"nothing trains in {run}")


def ending(run):
    result = json.loads((run / "result.json").read_text())
    pictures = {path.name: path.read_bytes() for path in (run / "figures").iterdir()}
    return (run / "metrics.jsonl").read_bytes(), pictures, result["metrics"], result["best_step"]


def attempts(run):
    return [json.loads(line) for line in (run / "attempts.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def sweep(text_file):
    """Flags of the sweep."""
    return ["--sweep=seed=0..1", f"--config.dataset=text:{text_file}", *SMALL]


@pytest.fixture(scope="module")
def undisturbed(sweep, tmp_path_factory):
    """Folder of the runs of the commands of --backend=print, pasted into a shell."""
    folder = tmp_path_factory.mktemp("slurm") / "undisturbed"
    printed = launch(*sweep, f"--workdir={folder}", "--backend=print")
    assert not folder.exists()
    subprocess.run(["bash", "-e"], input=printed, text=True, check=True)
    return folder


def test_preempted_array_job_resumes_by_itself_to_the_same_bits(
    sweep, undisturbed, submitted, tmp_path
):
    folder = tmp_path / "s"
    printed = launch(*sweep, f"--workdir={folder}", "--backend=slurm", "--slurm_partition=low")
    job = json.loads((folder / "jobs.jsonl").read_text())["job"]
    submitted.append(job)
    assert printed.startswith(f"job {job}: 2 runs submitted")
    runs = [folder / "seed=0", folder / "seed=1"]
    freeze(*runs)
    assert {name: run.state for name, run in read_queue(folder).items()} == {
        "seed=0": "running",
        "seed=1": "running",
    }
    high = ["--partition=high", "--exclusive", "--output=/dev/null", "--wrap=true"]
    submitted.append(output_of("sbatch", "--parsable", *high).strip())
    wait_until(lambda: {run.state for run in read_queue(folder).values()} == {"waiting"})
    wait_until_pending(job)
    wait_until(lambda: not states(job))
    assert read_queue(folder) == {}
    for run in runs:
        first, stop, second, end = attempts(run)
        assert (first["event"], second["event"], end["event"]) == ("start", "start", "finished")
        assert stop["event"] == "PreemptedError"
        assert 0 < stop["step"] == second["step"] < STEPS
        assert ending(run) == ending(undisturbed / run.name)


def test_printed_script_makes_the_runs_and_resumes_them_after_a_warning(
    sweep, undisturbed, submitted, tmp_path
):
    folder = tmp_path / "s"
    printed = launch(*sweep, f"--workdir={folder}", "--backend=print", "--slurm_partition=low")
    script = printed[printed.index("# on Slurm") :]
    subprocess.run(["bash", "-e"], input=script, text=True, check=True)
    path = folder / "slurm" / "sweep.sbatch"
    job = output_of("sbatch", "--parsable", "--array=1", path).strip()
    submitted.append(job)
    run = folder / "seed=1"
    freeze(run)
    output_of("scancel", "--signal=USR1", job)
    os.kill(process_id(run), signal.SIGCONT)
    wait_until_pending(job)
    wait_until(lambda: not states(job))
    assert [line["event"] for line in attempts(run)][1:] == ["PreemptedError", "start", "finished"]
    assert ending(run) == ending(undisturbed / "seed=1")
    assert not (folder / "seed=0").exists()


def test_job_that_is_cancelled_saves_and_does_not_come_back(submitted, tmp_path):
    script = "trap 'sleep 0.5; exit 75' TERM; echo begun; while :; do sleep 0.05; done"
    run = Run("r", (), tmp_path / "r", ("sh", "-c", script))
    (tmp_path / "slurm").mkdir()
    (tmp_path / "job").write_text(sbatch_script(tmp_path, [run], {"partition": "low"}, 1))
    job = output_of("sbatch", "--parsable", tmp_path / "job").strip()
    submitted.append(job)
    wait_until(lambda: run.log.exists() and "begun" in run.log.read_text())
    output_of("scancel", job)
    wait_until(lambda: not states(job))
    assert json.loads((tmp_path / "exits.jsonl").read_text())["exit"] == 75


def test_one_run_of_two_tasks(tmp_path):
    words = ["--config.steps=4", "--config.eval_every=2", "--config.log_every=2", *SMALL[3:]]
    words += [f"--workdir={tmp_path / 'run'}", "--config.distributed=True"]
    printed = output_of(
        "srun", "--partition=low", "--ntasks=2", sys.executable, "-m", "experiments.char_lm", *words
    )
    assert printed.count("finished: ") == 1
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["step"], result["attempts"]) == (4, 1)
    assert len(json.loads((tmp_path / "run" / "environment.json").read_text())["devices"]) == 2
