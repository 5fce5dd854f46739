"""launch.py with real processes: the report, failures, and stopping."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
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
