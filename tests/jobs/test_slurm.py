"""Sweeps on Slurm, without Slurm: its commands are shell scripts."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import launch
from jobs import task as task_of_a_run
from jobs.queue import add_job, read_queue
from jobs.record import add_runs, read_exits
from jobs.run import Run, make_runs, shell_line
from jobs.sbatch import sbatch_script, write_lines
from jobs.status import status_table, sweep_status
from jobs.sweep import UsageError, expand

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Put a command of Slurm on PATH, as a script."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def put(name, script):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return put


def test_script_for_sbatch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "/my own")
    monkeypatch.setattr(sys, "executable", "/bin/python")
    runs = make_runs("nmt", Path("/d/s"), ["--config.steps=4"], expand(["a=1", "b=[(3,4),5]"]))
    options = {"time": "2:00:00", "signal": "USR2@30", "cpus_per_task": "2", "comment": "it's"}
    assert sbatch_script(Path("/d/s"), runs, options, 1).splitlines() == [
        "#!/bin/bash",
        "#SBATCH --array=0-1%1",
        "#SBATCH --output=/d/s/slurm/%A_%a.log",
        "#SBATCH --open-mode=append",
        "#SBATCH --requeue",
        "#SBATCH --job-name=s",
        f"#SBATCH --chdir={tmp_path}",
        "#SBATCH --signal=USR2@30",
        "#SBATCH --time=2:00:00",
        "#SBATCH --cpus-per-task=2",
        """#SBATCH --comment='it'"'"'s'""",
        f"export PYTHONPATH='{ROOT}:/my own'",
        "export PYTHONSAFEPATH=1",
        "export SRUN_CPUS_PER_TASK=2",
        "case $SLURM_ARRAY_TASK_ID in",
        "  0) run=(/d/s/a=1,b=_3,_4_ /bin/python -m experiments.nmt --workdir=/d/s/a=1,b=_3,_4_ "
        "--config.steps=4 --config.a=1 '--config.b=(3, 4)') ;;",
        "  1) run=(/d/s/a=1,b=5 /bin/python -m experiments.nmt --workdir=/d/s/a=1,b=5 "
        "--config.steps=4 --config.a=1 --config.b=5) ;;",
        "esac",
        'srun /bin/python -m jobs.task "${run[@]}"',
    ]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--backend=slurm", "--slurm_partitin=x"], "Did you mean: slurm_partition ?"),
        (
            ["--slurm_time=10", "--slurm_gpus=1"],
            "--slurm_gpus needs --backend=slurm or --backend=print",
        ),
        (["--backend=slurm"], "sbatch is not installed on this machine; --backend=print writes"),
    ],
)
def test_bad_command_lines_are_refused_in_one_line(capsys, monkeypatch, tmp_path, words, part):
    monkeypatch.setenv("PATH", str(tmp_path))
    words = ["launch.py", "--experiment=lenet5", f"--workdir={tmp_path / 's'}", *words]
    assert launch.command_line(words) == 2
    stderr = capsys.readouterr().err
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1
    assert part in stderr
    assert not (tmp_path / "s").exists()


@pytest.fixture
def submit(fake, monkeypatch, tmp_path):
    """Return a function that launches two seeds on a Slurm whose sbatch is a given script."""
    monkeypatch.setenv(
        "SUBMITIT_LOG_LEVEL", "NOCONFIG"
    )  # otherwise it closes handlers of this process
    fake("srun", "exit 1")
    fake("squeue", f"cat {tmp_path}/queue")
    monkeypatch.setattr(launch, "check_runs", lambda _, runs: [5] * len(runs))
    words = ["launch.py", "--experiment=lenet5", f"--workdir={tmp_path / 's'}", "--sweep=seed=0..1"]

    def run(sbatch, *more):
        fake("sbatch", sbatch)
        return launch.command_line([*words, "--backend=slurm", *more])

    return run


def test_runs_in_the_queue_are_not_submitted_again(submit, tmp_path, capsys):
    folder = tmp_path / "s"
    assert submit("cat $1 >> $0.script; echo Submitted batch job 12", "--slurm_gpus=1") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "job 12: 2 runs submitted, 10 steps in total"
    assert out[1].startswith(f"follow with launch.py --status --workdir={folder}")
    script = (tmp_path / "bin" / "sbatch.script").read_text()
    for line in ("--array=0-1%2", "--gpus=1", "--requeue", "--signal=USR1@90"):
        assert f"#SBATCH {line}\n" in script
    for name in ("time", "wckey"):  # defaults of submitit
        assert f"--{name}" not in script
    assert f"export PYTHONPATH={ROOT}" in script
    (tmp_path / "queue").write_text("12|0|RUNNING|node7\n12|1|PENDING|(Priority)\n")
    assert submit("exit 1") == 0
    assert capsys.readouterr().out == "2 of 2 runs are already in the queue\n"
    (tmp_path / "queue").write_text("12|1|PENDING|(Priority)\n")
    assert submit("echo Submitted batch job 13", "--workers=1") == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "1 of 2 runs are already in the queue",
        "job 13: 1 run submitted, 5 steps in total",
    ]
    (tmp_path / "queue").write_text("12|1|PENDING|(Priority)\n13|N/A|RUNNING|node7\n")
    assert status_table(sweep_status(folder)).splitlines() == [
        "seed=0  running    0 of 5  job 13_0 node7",
        "seed=1  waiting    0 of 5  job 12_1 (Priority)",
        "2 runs: 1 running, 1 waiting; step 0 of 10",
    ]


def test_same_command_reports_once_all_are_finished(submit, tmp_path, capsys, monkeypatch):
    reports = []

    def fake_run(words, **_):
        reports.append(words)
        return subprocess.CompletedProcess(words, 0)

    (tmp_path / "queue").touch()
    monkeypatch.setattr(launch, "subprocess", SimpleNamespace(run=fake_run))
    for seed, count in ((0, 0), (1, 1)):
        (tmp_path / "s" / f"seed={seed}").mkdir(parents=True)
        (tmp_path / "s" / f"seed={seed}" / "result.json").write_text("{}")
        assert submit("echo Submitted batch job 12") == 0
        assert len(reports) == count
    assert capsys.readouterr().out.endswith("2 of 2 runs are already finished\n")


def test_an_error_of_sbatch_is_one_line(submit, capsys):
    message = "sbatch: error: invalid partition specified: x\nsbatch: error: Batch job failed"
    assert submit(f"echo '{message}' >&2; exit 1", "--slurm_partition=x") == 2
    expected = "error: sbatch: invalid partition specified: x; Batch job failed\n"
    assert capsys.readouterr().err == expected


def test_submitit_is_an_extra(submit, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert submit("exit 1") == 2
    assert capsys.readouterr().err.endswith("needs submitit: pip install '.[slurm]'\n")


def test_queue_of_a_folder(tmp_path, fake, monkeypatch):
    fake("squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    assert read_queue(tmp_path) == {}  # nothing was submitted, so squeue is not called
    add_job(tmp_path, "5", ["a", "b"])
    with pytest.raises(UsageError, match="squeue: Unable to contact slurm controller"):
        read_queue(tmp_path)
    monkeypatch.setenv("PATH", "/none")
    assert read_queue(tmp_path) == {}


def test_state_in_the_queue_has_priority_over_the_last_attempt(tmp_path, fake):
    runs = make_runs("lenet5", tmp_path, [], expand(["seed=0..2"]))
    add_runs(tmp_path, "lenet5", runs, [1] * 3)
    for run in runs:
        run.log.write_text("no\n")
    runs[1].workdir.mkdir()
    (runs[1].workdir / "result.json").write_text("{}")
    add_job(tmp_path, "5", [run.name for run in runs])
    fake("squeue", "echo '5|0|PENDING|(BeginTime)'; echo '5|1|COMPLETING|n'")
    assert [s.state for s in sweep_status(tmp_path)] == ["waiting", "done", "failed"]


@pytest.fixture
def task(fake, tmp_path):
    """Start a run that is a shell command as task 2 of job 5, which is in a given state."""
    processes = []

    def start(script, state, scontrol="exit 0"):
        fake("squeue", f'[ "$2" = --jobs=5_2 ] && echo {state}')
        fake("scontrol", f"echo $* > {tmp_path}/asked; {scontrol}")
        words = [sys.executable, "-m", "jobs.task", str(tmp_path / "r"), "sh", "-c", script]
        ids = {"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "2"}
        environment = {**os.environ, **ids, "PYTHONPATH": str(ROOT)}
        processes.append(
            subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)
        )
        return processes[0]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def wait_for(text, path, seconds=30):
    deadline = time.monotonic() + seconds
    while not (path.exists() and text in path.read_text()):
        assert time.monotonic() < deadline, f"{text} does not appear in {path}"
        time.sleep(0.02)


SAVING = "trap 'exit 75' USR1; echo begun; while :; do sleep 0.02; done"
EARLY = "echo begun; exec sleep 60"  # like a run with nothing to save yet


@pytest.mark.parametrize("script", [SAVING, EARLY])
def test_task_that_was_stopped_is_requeued_and_waits_for_its_end(task, tmp_path, script):
    process = task(script, "RUNNING")
    wait_for("begun", tmp_path / "r.log")
    process.send_signal(signal.SIGUSR1)
    assert process.stdout.readline() == "r: exit 75\n"
    assert process.stdout.readline() == "job 5_2 is requeued\n"
    assert (tmp_path / "asked").read_text() == "requeue 5_2\n"
    assert process.poll() is None
    process.terminate()
    assert process.wait() == -signal.SIGTERM
    assert read_exits(tmp_path)["r"]["exit"] == 75


@pytest.mark.parametrize(
    ("script", "state", "expected"),
    [
        ("exit 75", "COMPLETING", (75, False)),  # it was cancelled
        ("exit 75", "RUNNING", (75, True)),  # but Slurm refuses
        ("exit 3", "RUNNING", (3, False)),
        ("kill -KILL $$", "RUNNING", (137, False)),
    ],
)
def test_task_ends_as_its_run_does(task, tmp_path, script, state, expected):
    code = task(script, state, "exit 1").wait(timeout=30)
    assert (code, (tmp_path / "asked").exists()) == expected
    assert read_exits(tmp_path)["r"]["exit"] == code


def test_pasted_lines_write_the_script_that_makes_the_runs(fake, tmp_path):
    fake("srun", r'printf "%s\0" "$@"')
    fake("sbatch", "exit 1")
    folder = tmp_path / "it's"
    runs = make_runs("lenet5", folder, [], expand([r"""text=["a 'b'\n", '$c']"""]))
    script = sbatch_script(folder, runs, {}, 2)
    subprocess.run(["bash", "-e"], input=write_lines(folder, script), text=True, check=True)
    path = folder / "slurm" / "sweep.sbatch"
    assert path.read_text() == script
    for i, run in enumerate(runs):
        environment = {**os.environ, "SLURM_ARRAY_TASK_ID": str(i)}
        words = subprocess.check_output(["bash", "-e", path], env=environment, text=True)
        worker = [sys.executable, "-m", "jobs.task"]
        assert words.split("\0")[:-1] == [*worker, str(run.workdir), *run.command]


ATTACK = "x\nEND_OF_SCRIPT\ntouch pwned\n#SBATCH --requeue\ncat <<q\x1b[0m"


def test_pasted_lines_run_nothing_that_data_says(tmp_path, monkeypatch):
    here = tmp_path / "her\ne"
    here.mkdir()
    monkeypatch.chdir(here)
    runs = make_runs("nmt", tmp_path / "s", [f"--config.dataset={ATTACK}"], [(f"prompt={ATTACK}",)])
    monkeypatch.chdir(tmp_path)
    script = sbatch_script(tmp_path / "s", runs, {}, 1)
    lines = write_lines(tmp_path / "s", script)
    done = subprocess.run(["bash"], input=lines, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert (tmp_path / "s" / "slurm" / "sweep.sbatch").read_text() == script
    monkeypatch.chdir(here)
    line = shell_line(replace(runs[0], command=("printf", "%s", ATTACK)))
    assert line.isprintable()
    assert subprocess.check_output(["bash", "-c", line], text=True) == ATTACK
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize(
    ("folder", "options"), [("s\ntouch pwned", {}), ("s", {"comment": "a\n#SBATCH --array=0-9"})]
)
def test_an_option_of_sbatch_with_a_newline_is_refused(tmp_path, folder, options):
    runs = make_runs("nmt", tmp_path / folder, [], [()])
    with pytest.raises(UsageError, match="of sbatch has a control character"):
        sbatch_script(tmp_path / folder, runs, options, 1)


def test_a_folder_that_others_can_write_is_refused(submit, tmp_path, capsys):
    (tmp_path / "queue").touch()
    for name in ("s", "s/slurm"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name).chmod(0o775)
        assert submit("exit 1") == 2
        expected = (
            f"error: other users can write to {tmp_path / name}, and so run code in its jobs: "
        )
        assert capsys.readouterr().err == f"{expected}chmod go-w {tmp_path / name}\n"
        (tmp_path / name).chmod(0o755)


def test_a_task_tries_again_after_a_status_query(tmp_path, monkeypatch):
    run = Run("r", (), tmp_path / "r", ())
    processes = iter([None, SimpleNamespace(poll=lambda: 0, returncode=0)])
    monkeypatch.setattr(task_of_a_run, "open_process", lambda run, own_session: next(processes))
    monkeypatch.setattr(task_of_a_run.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit, match="0"):
        task_of_a_run.work(run)
    monkeypatch.setattr(task_of_a_run, "open_process", lambda run, own_session: None)
    with pytest.raises(SystemExit, match="r: another process is running it"):
        task_of_a_run.work(run)
