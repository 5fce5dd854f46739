"""Growth of time and memory with the length, batch, vocabulary, beam, devices, text and runs.

    taskset -c 0 python -m bench.growth             measure every row, up to its default limit
    python -m bench.growth --rows "text, again" status --most status=1000
    python -m bench.growth --most "text, first=10_000_000_000" --save=bench/growth.md

Each measurement is a process of its own. "seconds" is CPU time, the median of the rounds, which
hardly depends on what else the machine does; it is that of all threads, so dividing a step evenly
over virtual devices leaves it as it is. "MB" is the peak resident memory above that of a process
which has imported JAX, so it includes other imports and compilation. The exponents are those at the
three largest sizes: e of seconds = a size^e, by least squares of the logarithms, and e of
MB = a size^e + b, which is 0 if the last two differ by less than 8 MB.

The rows: "length" is the gradient of an LSTM of 128 units for 8 sequences, with remat_chunk near
the root of the length in "length, chunks"; "batch" the same at 128 steps. The softmaxes are steps
of word_lm, see `bench.softmax`. The beam search takes 20 steps for 8 rows, with beam 5 or 10,000
symbols. "devices" is a step of a language model of two layers of 128 units, batch 32, on virtual
devices. "text" is the preparation of char_lm's data and 200 batches, for a text in bytes that has
no file of ids yet, or has one. "sentences" is an epoch of batches in buckets, which must have few
shapes; "frames" the choice of these shapes for utterances of up to so many frames. "status" and
"report" read a folder of runs.
"""

import argparse
import contextlib
import dataclasses
import io
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bench.tables import arguments, publish

UNITS, LEAST = 128, 8.0
PATIENCE = 20.0  # seconds after which a measurement takes no further round

Run = Callable[[], object]


def lstm_gradient(batch: int, length: int, chunk: int) -> Run:
    """Gradient of the sum of squares of an LSTM's outputs."""
    from nets.recurrent.cells import LSTMCell
    from nets.recurrent.layers import RNN

    layer = RNN(LSTMCell(UNITS), remat_chunk=chunk)
    x = jax.random.normal(jax.random.key(0), (batch, length, UNITS))
    variables = layer.init(jax.random.key(1), x[:, :1])
    return partial(jax.jit(jax.grad(lambda v, x: (layer.apply(v, x)[1] ** 2).sum())), variables, x)


def softmax_step(kind: str, vocabulary: int) -> Run:
    """Return a training step of word_lm."""
    from bench.softmax import experiment
    from bench.timing import training
    from train.placement import Placement

    return training(experiment(vocabulary, 20, kind), Placement(20, jax.devices()[:1]), 1, 1)


def search(vocabulary: int, beams: int) -> Run:
    """Beam search of 20 steps with a network of one hidden layer."""
    from nets.decoding.beam import beam_search
    from nets.decoding.step_model import StepModel

    table, output = (jax.random.normal(jax.random.key(i), (vocabulary, 64)) / 8 for i in range(2))

    def step(parameters, tokens, carry):
        carry = jnp.tanh(carry + parameters[0][tokens])
        return carry @ parameters[1].T, carry

    model = StepModel(step, (table, output), jnp.zeros((8, 64)), 2, 3)
    return partial(beam_search, model, beam_size=beams, max_length=20)


def divided_step(devices: int) -> Run:
    """Return a training step of a language model on several devices."""
    from bench.timing import training
    from data.text.streams import TrainingStreams
    from experiments import char_lm
    from train.optimizer import make_optimizer
    from train.placement import Placement
    from train.task import Experiment

    config = char_lm.Config(cell="lstm", hidden=128, layers=2, batch_size=32, steps=10)
    characters = "".join(map(chr, range(33, 129)))
    task = char_lm.make_task(config, {"vocabulary": characters.encode()})
    ids = np.random.default_rng(0).integers(2, 98, 32 * 64 * 2).astype(np.int32)
    streams = TrainingStreams(ids, 32, 64, 0)
    experiment = Experiment(task, make_optimizer(config), streams, {})
    return training(experiment, Placement(32, jax.devices()[:devices]), 1, 1)


def characters(again: bool, size: int) -> Run:
    """Prepare the data of char_lm for a text of `size` bytes; take 200 batches."""
    from experiments import char_lm

    folder = Path(tempfile.mkdtemp(dir=os.environ["GROWTH_FOLDER"]))
    os.environ["XDG_CACHE_HOME"] = str(folder)
    letters = np.array(list("etaoin shrdlu, cmfwyp vbgkqjxz.\n é"))
    block = "".join(np.random.default_rng(0).choice(letters, 2**20)).encode()
    with open(folder / "text", "wb") as file:
        for start in range(0, size, len(block)):
            file.write(block[: size - start].decode(errors="ignore").encode())
    config = char_lm.Config(dataset=f"text:{folder / 'text'}", heldout_characters=100_000, steps=10)

    def run() -> None:
        train = char_lm.build(config).train
        for step in range(200):
            train(step)

    if again:
        run()
    return run


def sentences(count: int) -> Run:
    """Return an epoch of batches of pairs of short sentences; RuntimeError for many shapes."""
    from data.buckets import TrainingBuckets
    from data.pairs.batches import IdPairs

    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 30, (count, 2)).tolist()
    ids = list(range(4, 34))
    pairs = IdPairs([(ids[:source], ids[:target]) for source, target in lengths])

    def run() -> None:
        buckets = TrainingBuckets(pairs, 64, 0)
        batches = map(buckets, range(buckets.steps_per_epoch))
        shapes = {(b["source"].shape, b["targets"].shape) for b in batches}
        if len(shapes) > buckets.buckets:
            raise RuntimeError(f"an epoch has batches of {len(shapes)} shapes")

    return run


def frames(longest: int) -> Run:
    """Choose the shapes of 20,000 utterances of up to `longest` frames."""
    from data.buckets import make_shapes

    widths = np.random.default_rng(0).integers(1, longest + 1, (20_000, 1))
    return partial(make_shapes, widths, 5)


def folder_of_runs(count: int) -> Path:
    """Folder of runs of char_lm, five seeds of each learning rate; every third is not finished."""
    from experiments.char_lm import Config

    folder = Path(tempfile.mkdtemp(dir=os.environ["GROWTH_FOLDER"]))
    environment = {"experiment": "experiments.char_lm"}
    values = {f"{name}/{metric}": 1.0 for name in ("validation", "test") for metric in "abc"}
    entries = []
    for i in range(count):
        rate, seed = 1e-3 * (1 + i // 5), i % 5
        metrics = values | {"validation/loss": 1 + (i % 97) / 97, "test/loss": 1 + (i % 89) / 89}
        lines = [{"step": step, "train/loss": 2.0, **metrics} for step in range(0, 1000, 50)]
        result = {"step": 1000, "end": "steps", "metrics": metrics, "seconds": 9.0, "attempts": 1}
        result |= {"headline": "test/loss", "curve": "validation/loss", "best_step": 950}
        result |= {"objective": "validation/loss"}
        config = dataclasses.asdict(Config(learning_rate=rate, seed=seed, steps=1000))
        attempts = [{"event": "start", "step": 0, "time": 1.0}]
        attempts.append({"event": "finished", "step": 1000, "time": 9.0, "seconds": 8.0})
        name = f"learning_rate={rate:g},seed={seed}"
        overrides = [f"learning_rate={rate:g}", f"seed={seed}"]
        entries.append({"name": name, "overrides": overrides, "steps": 1000})
        (folder / name / "figures").mkdir(parents=True)
        files: dict[str, list[dict[str, Any]]] = {
            "config.json": [config],
            "environment.json": [environment],
            "metrics.jsonl": lines,
            "attempts.jsonl": attempts if i % 3 else attempts[:1],
            "result.json": [result],
        }
        for file, contents in list(files.items())[: 5 if i % 3 else 4]:
            (folder / name / file).write_text("".join(json.dumps(c) + "\n" for c in contents))
    sweep = {"experiment": "char_lm", "runs": entries}
    (folder / "sweep.json").write_text(json.dumps(sweep))
    return folder


def status(count: int) -> Run:
    """Table of the states of many runs."""
    from jobs.status import status_table, sweep_status

    folder = folder_of_runs(count)
    return lambda: status_table(sweep_status(folder))


def report(count: int) -> Run:
    """Table and pictures of many runs."""
    from experiments.report.report import report as make_report

    return partial(make_report, folder_of_runs(count))


@dataclasses.dataclass(frozen=True)
class Row:
    """The sizes of something that grows, and what is measured at each; most: the default limit."""

    sizes: tuple[int, ...]
    prepare: Callable[[int], Run]
    most: int = 10**12
    once: bool = False  # the first call is measured, and there is no other


LENGTHS, VOCABULARIES = (128, 512, 2048, 8192), (10_000, 100_000, 1_000_000)
TEXTS, RUNS = (10**7, 10**8, 10**9, 10**10), (100, 1000, 10_000)
ROWS: Mapping[str, Row] = {
    "length": Row(LENGTHS, lambda T: lstm_gradient(8, T, 0)),
    "length, chunks": Row(LENGTHS, lambda T: lstm_gradient(8, T, 2 ** round(math.log2(T) / 2))),
    "batch": Row((8, 32, 128, 512), lambda N: lstm_gradient(N, 128, 0)),
    "full softmax": Row(VOCABULARIES, partial(softmax_step, "full")),
    "sampled softmax": Row(VOCABULARIES, partial(softmax_step, "sampled")),
    "adaptive softmax": Row(VOCABULARIES, partial(softmax_step, "adaptive")),
    "beam vocabulary": Row(VOCABULARIES, lambda V: search(V, 5)),
    "beam size": Row((1, 4, 16, 64), lambda K: search(10_000, K)),
    "devices": Row((1, 2, 4, 8), divided_step),
    "text, first": Row(TEXTS, partial(characters, False), 10**9, once=True),
    "text, again": Row(TEXTS, partial(characters, True), 10**9),
    "sentences": Row((10_000, 100_000, 1_000_000), sentences, once=True),
    "frames": Row((1250, 5000, 20_000), frames),
    "status": Row(RUNS, status),
    "report": Row(RUNS, report, once=True),
}


def peak() -> float:
    """Highest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(row: Row, size: int, rounds: int) -> dict[str, float]:
    """Seconds and MB of one size, in this process."""
    jax.block_until_ready(jnp.zeros(1) + 1)
    before = peak()
    run = row.prepare(size)
    if not row.once:
        jax.block_until_ready(run())
    seconds: list[float] = []
    while len(seconds) < (1 if row.once else rounds) and sum(seconds) < PATIENCE:
        began = time.process_time()
        jax.block_until_ready(run())
        seconds.append(time.process_time() - began)
    return {"seconds": statistics.median(seconds), "MB": peak() - before}


def measure_apart(name: str, size: int, rounds: int) -> dict[str, float]:
    """Seconds and MB of one size of a row, in a process of its own with a temporary folder."""
    flags = os.environ.get("XLA_FLAGS", "")
    if name == "devices":
        flags += f" --xla_force_host_platform_device_count={size}"
    command = [sys.executable, "-m", "bench.growth", "--one", name, str(size), f"--rounds={rounds}"]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "XLA_FLAGS": flags, "GROWTH_FOLDER": folder}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def time_exponent(sizes: list[int], seconds: list[float]) -> str:
    """Slope of the logarithms of the last three sizes and times."""
    if len(sizes) < 2:
        return "-"
    return f"{np.polyfit(np.log(sizes[-3:]), np.log(seconds[-3:]), 1)[0]:.2f}"


def memory_exponent(sizes: list[int], megabytes: list[float]) -> str:
    """Exponent of the differences of the last three, whose sizes have one ratio."""
    if len(sizes) < 3:
        return "-"
    first, second = np.diff(megabytes[-3:])
    if second < LEAST:
        return "0"
    return f"{math.log(second / first) / math.log(sizes[-1] / sizes[-2]):.2f}" if first > 0 else "-"


def limits(texts: list[str]) -> dict[str, int]:
    """Largest size by row, from ROW=SIZE; ValueError for another row."""
    found = {}
    for text in texts:
        name, _, size = text.partition("=")
        if name not in ROWS:
            raise ValueError(f"--most names {name!r}; the rows are {', '.join(ROWS)}")
        found[name] = int(size)
    return found


def parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    options = arguments(__doc__)
    options.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS), help="rows")
    options.add_argument("--most", nargs="*", default=[], metavar="ROW=SIZE", help="largest sizes")
    options.add_argument("--one", nargs=2, help=argparse.SUPPRESS)  # of a process of a measurement
    return options


def main() -> None:
    """Measure the rows, print the tables, and write them to the file of --save."""
    options = parser().parse_args()
    if options.one:
        name, size = options.one
        with contextlib.redirect_stdout(io.StringIO()):
            measured = measure(ROWS[name], int(size), options.rounds)
        print(json.dumps(measured))
        return
    most = limits(options.most)
    points: list[dict[str, str]] = []
    found: list[dict[str, str]] = []
    for name in options.rows:
        row = ROWS[name]
        sizes = [size for size in row.sizes if size <= most.get(name, row.most)]
        values: list[dict[str, Any]] = []
        for size in sizes:
            values.append(measure_apart(name, size, options.rounds))
            cells = {"seconds": f"{values[-1]['seconds']:.3g}", "MB": f"{values[-1]['MB']:.0f}"}
            points.append({"what grows": name, "size": f"{size:,}", **cells})
            print("  ".join(points[-1].values()), file=sys.stderr, flush=True)
        seconds, memory = ([value[unit] for value in values] for unit in ("seconds", "MB"))
        found.append(
            {
                "what grows": name,
                "sizes": f"{sizes[0]:,} to {sizes[-1]:,}",
                "exponent of time": time_exponent(sizes, seconds),
                "exponent of memory": memory_exponent(sizes, memory),
            }
        )
    publish("growth", "Growth of time and memory", [found, points], options.save)


if __name__ == "__main__":
    main()
