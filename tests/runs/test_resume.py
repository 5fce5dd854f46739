"""Real processes killed at random points end with the bytes of a run that was never stopped.

`make soak` repeats it fifty times.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
COMMON = [
    "--config.steps=60",
    "--config.log_every=4",
    "--config.eval_every=20",
    "--config.save_every=7",
]
EXPERIMENTS = {
    "lenet5": ["--config.batch_size=8", "--config.jitter=0.1", "--config.figures_at=(0.5,1.0)"],
    "char_lm": [
        "--config.cell=lstm",
        "--config.layers=2",
        "--config.dropout=0.3",
        "--config.batch_size=8",
        "--config.hidden=24",
        "--config.bptt_length=24",
        "--config.heldout_characters=500",
    ],
}


def start(name, workdir, text_file):
    """Start the run's command, one device, output to a file beside the folder."""
    dataset = [f"--config.dataset=text:{text_file}"] if name == "char_lm" else []
    words = ["-m", f"experiments.{name}", f"--workdir={workdir}", *COMMON, *EXPERIMENTS[name]]
    flags = os.environ["XLA_FLAGS"].replace("device_count=4", "device_count=1")
    environment = {**os.environ, "XLA_FLAGS": flags}
    with open(f"{workdir}.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, *words, *dataset], cwd=ROOT, env=environment, stdout=log, stderr=log
        )


def ending(workdir):
    """Everything at the end of a run except times: metrics, arrays by path, pictures, result."""
    pictures = {path.name: path.read_bytes() for path in (workdir / "figures").iterdir()}
    result = json.loads((workdir / "result.json").read_text())
    kept = sorted(path.name for path in (workdir / "checkpoints").iterdir())
    rest = (pictures, result["metrics"], result["best_step"], kept)
    folder = (workdir / "checkpoints" / "60" / "default").absolute()
    tree = ocp.StandardCheckpointer().restore(folder)
    arrays = {path: np.asarray(leaf).tobytes() for path, leaf in walk(tree, "")}
    return (workdir / "metrics.jsonl").read_bytes(), arrays, rest


def walk(tree, path):
    if isinstance(tree, dict):
        for name, branch in tree.items():
            yield from walk(branch, f"{path}/{name}")
    elif isinstance(tree, list | tuple):
        for i, branch in enumerate(tree):
            yield from walk(branch, f"{path}/{i}")
    elif tree is not None:
        is_key = jax.numpy.issubdtype(tree.dtype, jax.dtypes.prng_key)
        yield path, jax.random.key_data(tree) if is_key else tree


@pytest.fixture(scope="module")
def whole(tmp_path_factory, text_file):
    """Ending and seconds of an uninterrupted run of each experiment."""
    folder, found = tmp_path_factory.mktemp("whole"), {}
    for name in EXPERIMENTS:
        began = time.monotonic()
        assert start(name, folder / name, text_file).wait() == 0
        found[name] = ending(folder / name), time.monotonic() - began
    return found


def test_uninterrupted_runs_contain_everything_that_is_compared(whole):
    for (metrics, arrays, (pictures, *_)), _ in whole.values():
        lines = [json.loads(line) for line in metrics.splitlines()]
        assert lines[-1]["step"] == 60
        assert len(lines) >= 15
        assert {"/state/step", "/checksum"} <= set(arrays)
        assert pictures
        for part in ("/state/params/", "/state/opt_state/", "/window/means/"):
            assert any(path.startswith(part) for path in arrays), part


def lines_in(workdir):
    path = workdir / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def wait_for_a_moment(rng, process, workdir, seconds, lines):
    """Wait until a random moment of the start-up, or shortly after a random line of the metrics."""
    target = rng.randrange(-4, lines)
    if target < 0:
        time.sleep(rng.uniform(0.0, 0.5) * seconds)
    while lines_in(workdir) < target and process.poll() is None:
        time.sleep(0.002)
    time.sleep(rng.uniform(0.0, 0.06))


def test_killed_at_random_moments_the_ending_is_the_same(
    whole, tmp_path, text_file, request, capsys
):
    kills = request.config.getoption("--kills")
    rng, landed = random.Random(kills), []
    with capsys.disabled():
        bar = tqdm(total=kills, unit="kill", disable=not sys.stderr.isatty())
    for i in range(kills):
        name = list(EXPERIMENTS)[i % len(EXPERIMENTS)]
        expected, seconds = whole[name]
        workdir = tmp_path / f"{name}-{i}"
        for _ in range(rng.choice([1, 1, 2])):
            process = start(name, workdir, text_file)
            wait_for_a_moment(rng, process, workdir, seconds, expected[0].count(b"\n"))
            process.send_signal(signal.SIGKILL)
            process.wait()
        landed.append(lines_in(workdir))
        code, log = start(name, workdir, text_file).wait(), Path(f"{workdir}.log").read_text()
        assert code == 0, log
        assert "damaged" not in log
        assert ending(workdir) == expected, f"{name}, kill {i} after {landed[-1]} lines"
        bar.update()
    bar.close()
    with capsys.disabled():
        print(f"\n{kills} runs killed, {kills} identical endings; lines before each: {landed}")


def test_sigterm_saves_exits_75_and_the_ending_is_the_same(whole, tmp_path, text_file):
    name = "char_lm"
    workdir = tmp_path / name
    process = start(name, workdir, text_file)
    while lines_in(workdir) < 3:
        assert process.poll() is None, Path(f"{workdir}.log").read_text()
        time.sleep(0.01)
    process.terminate()
    assert process.wait() == 75
    last = Path(f"{workdir}.log").read_text().splitlines()[-1]
    assert last.startswith("error: stopped by SIGTERM, saved at step")
    assert "run the same command to continue" in last
    step = int(last.split("step ")[1].split(";")[0])
    assert (workdir / "checkpoints" / str(step)).is_dir()
    assert start(name, workdir, text_file).wait() == 0
    assert ending(workdir) == whole[name][0]
    lines = (workdir / "attempts.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, step, step, 60]
