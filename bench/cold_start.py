"""Seconds from a cold start to 99 % on MNIST: process, imports, data, compilation, training.

    python -m bench.cold_start
    python -m bench.cold_start --save=bench/cold_start.md

In each round a new process trains LeNet-5 and evaluates it on the test set: ours with an empty
compile cache, then PyTorch with the same network, batches and schedule. The decoded images are in
the user's cache, where an untimed round puts them.
"""

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from bench.tables import arguments, publish

STEPS = 3400
SETTINGS = {
    "dataset": "mnist",
    "steps": STEPS,
    "variant": "modern",
    "batch_size": 128,
    "learning_rate": 5e-3,
    "shift": 2.0,
    "scale": 0.1,
    "validation_fraction": 0.01,
    "eval_every": STEPS,
    "save_every": STEPS,
    "figures_at": (),
}


def ours(folder: Path) -> float:
    """Train with the command of the experiment; return the test accuracy."""
    words = [f"--config.{name}={value}" for name, value in SETTINGS.items()]
    command = [sys.executable, "-m", "experiments.lenet5", f"--workdir={folder}", *words]
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled")}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return json.loads((folder / "result.json").read_text())["metrics"]["test/accuracy"]


def pytorch(_: Path) -> float:
    """Train with PyTorch in a new process; return the test accuracy."""
    command = [sys.executable, "-m", "bench.cold_start_pytorch", json.dumps(SETTINGS)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def main() -> None:
    """Print the table."""
    parser = arguments(__doc__)
    parser.set_defaults(rounds=3)
    args = parser.parse_args()
    runs: dict[str, Callable[[Path], float]] = {"ours": ours}
    if importlib.util.find_spec("torch"):
        runs["PyTorch"] = pytorch
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    accuracy: dict[str, list[float]] = {name: [] for name in runs}
    for count in tqdm(range(args.rounds + 1), disable=not sys.stderr.isatty()):
        for name, run in runs.items():
            with tempfile.TemporaryDirectory() as folder:
                began = time.perf_counter()
                test_accuracy = run(Path(folder))
            if count:
                seconds[name].append(time.perf_counter() - began)
                accuracy[name].append(test_accuracy)
    lines = [
        {
            "": name,
            "seconds": f"{statistics.median(seconds[name]):.1f}",
            "accuracy, each run": ", ".join(f"{a:.4f}" for a in accuracy[name]),
        }
        for name in runs
    ]
    publish("cold_start", "From a cold start to 99 % on MNIST", [lines], args.save)


if __name__ == "__main__":
    main()
