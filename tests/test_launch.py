"""launch.py: grammar, names, resuming, failures, stopping."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import launch

ROOT = Path(__file__).resolve().parents[1]
SMALL = [
    "--config.steps=4",
    "--config.eval_every=2",
    "--config.log_every=2",
    "--config.batch_size=4",
    "--config.hidden=5",
    "--config.window=6",
    "--config.heldout_characters=60",
    "--config.sample_length=20",
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cell=rnn,gru,lstm", ("cell", ["rnn", "gru", "lstm"])),
        ("seed=0..3", ("seed", ["0", "1", "2", "3"])),
        ("seed=-1..0", ("seed", ["-1", "0"])),
        ("widths=[(3,4),(5,6)]", ("widths", ["(3, 4)", "(5, 6)"])),
        ("rate=1e-3", ("rate", ["1e-3"])),
        ("dataset=text:/a/b.txt", ("dataset", ["text:/a/b.txt"])),
    ],
)
def test_axis_grammar(text, expected):
    assert launch.parse_axis(text) == expected


@pytest.mark.parametrize(
    "text", ["cell", "cell=", "=a", "a b=c", "seed=3..1", "w=[1,", "w=[f()]", "w=[]", "w=[{[]:1}]"]
)
def test_bad_axes_are_refused(text):
    with pytest.raises(launch.UsageError, match="--sweep="):
        launch.parse_axis(text)


def test_jobs_are_the_product_with_names_from_the_overrides(tmp_path):
    jobs = launch.make_jobs(
        "char_lm", tmp_path, ["cell=rnn,gru", "seed=0..2"], ["--config.steps=9"]
    )
    assert [job.name for job in jobs][:2] == ["cell=rnn,seed=0", "cell=rnn,seed=1"]
    assert len({job.workdir for job in jobs}) == 6
    assert jobs[-1].command[-3:] == ["--config.steps=9", "--config.cell=gru", "--config.seed=2"]
    only = launch.make_jobs("char_lm", tmp_path, ["dataset=text:/a b"], [])
    assert "/" not in only[0].name
    assert launch.make_jobs("lenet5", tmp_path, [], [])[0].name == "run"


def test_own_command_names_no_folder_of_this_machine():
    words = ["launch.py", "--workdir=/some/where/rates", "--config.data_dir=/some/where"]
    for folder in ("/some/where/rates", "rates/", "runs/rates"):
        words[1] = f"--workdir={folder}"
        assert launch.own_command(words) == "python launch.py --workdir=runs/rates"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--experiment=charlm", "--workdir=x"], "did you mean char_lm?"),
        (
            ["--experiment=zzz", "--workdir=x"],
            "there are char_lm, gradient_health, lenet5, mdrnn, multiway_nmt, nmt",
        ),
        (["--experiment=lenet5"], "--workdir=DIR is needed"),
        (["--experiment=lenet5", "--workdir=x", "--worker=2"], "workers"),
        (["--experiment=lenet5", "--workdir=x", "--workers=0"], "workers"),
        (["--experiment=lenet5", "--workdir=x", "seed=3"], "seed=3"),
        (["--experiment=lenet5", "--workdir=x", "--sweep=seed"], "NAME=VALUES"),
        (["--experiment=lenet5", "--workdir=x", "--sweep=seed=0,0"], "same folder: seed=0"),
        (["--experiment=lenet5", "--workdir=x", "--sweep=a=1", "--sweep=a=2"], "same setting"),
        (["--experiment=lenet5", "--workdir=x", f"--sweep=a={'x' * 300}"], "too long"),
        (["--experiment=lenet5", "--workdir=x", "--result=a/b"], "--result=a/b must be a name"),
        (["--experiment=lenet5", "--workdir=/proc/none/x"], "cannot write to workdir"),
    ],
)
def test_bad_command_lines_are_refused_in_one_line(command, words, part):
    done = command("launch.py", *words)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert part in done.stderr


def test_print_backend_starts_nothing(command, tmp_path):
    words = ["--experiment=lenet5", f"--workdir={tmp_path / 's'}", "--sweep=seed=0..1"]
    done = command("launch.py", *words, "--flagfile=a.flags", "--backend=print")
    assert done.returncode == 0
    assert [line.split()[-2:] for line in done.stdout.splitlines()] == [
        ["--flagfile=a.flags", "--config.seed=0"],
        ["--flagfile=a.flags", "--config.seed=1"],
    ]
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
    assert "4 of 4 runs are finished already" in again.stdout
    assert again.stdout.split("---", 1)[1] == done.stdout.split("---", 1)[1]
    assert {p: p.read_bytes() for p in before} == before
    assert {p: p.read_bytes() for p in attempts} == attempts


def test_one_bad_run_does_not_stop_the_others(command, tmp_path, text_file):
    words = [f"--workdir={tmp_path / 's'}", f"--config.dataset=text:{text_file}", *SMALL]
    done = command("launch.py", "--experiment=char_lm", *words, "--sweep=cell=rnm,gru")
    assert done.returncode == 2
    assert done.stderr.startswith("error: cell=rnm: exit 2: error: config.cell must be one of")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "s" / "cell=rnm.log").exists()
    assert "cell=gru: finished" in done.stdout
    assert "95 %" in done.stdout


def test_setting_that_no_run_takes_leaves_nothing_behind(command, tmp_path):
    words = [f"--workdir={tmp_path / 's'}", "--config.sed=4", "--sweep=seed=0..1"]
    done = command("launch.py", "--experiment=char_lm", *words)
    assert done.returncode == 2
    assert [line.split(": ")[1] for line in done.stderr.splitlines()] == ["seed=0", "seed=1"]
    assert "did you mean seed?" in done.stderr
    assert not (tmp_path / "s").exists()


def test_result_of_a_folder_with_other_runs_is_refused(tmp_path):
    (tmp_path / "seed=7").mkdir()
    (tmp_path / "seed=7" / "config.json").write_text("{}")
    jobs = launch.make_jobs("lenet5", tmp_path, ["seed=0..1"], [])
    with pytest.raises(launch.UsageError, match="seed=7 is a run of another sweep"):
        launch.check_result("name", jobs)
    launch.check_result("name", [*jobs, *launch.make_jobs("lenet5", tmp_path, ["seed=7"], [])])


def test_stopping_the_sweep_leaves_every_run_resumable(tmp_path, text_file):
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    words = [sys.executable, "launch.py", "--experiment=char_lm", f"--workdir={tmp_path / 's'}"]
    words += ["--workers=2", "--sweep=seed=0..1", f"--config.dataset=text:{text_file}", *SMALL]
    words += ["--config.steps=100000"]
    # a shell starts what is in its background with SIGINT ignored, and children inherit that
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    try:
        lines = [tmp_path / "s" / f"seed={seed}" / "metrics.jsonl" for seed in (0, 1)]
        deadline = time.monotonic() + 90
        while not all(path.is_file() and path.read_text().count("\n") > 3 for path in lines):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)  # an impatient second one loses nothing
        out, _ = process.communicate(timeout=60)
    finally:
        process.terminate()  # after a failure, the runs are stopped as well
        process.wait()
    assert process.returncode == 75
    assert "goes on with the same command" in out
    for seed in (0, 1):
        run = tmp_path / "s" / f"seed={seed}"
        last = json.loads((run / "attempts.jsonl").read_text().splitlines()[-1])
        assert last["event"] == "PreemptedError"
        assert (run / "checkpoints" / str(last["step"])).is_dir()
