"""What `bench.growth` measures: for each row, its sizes and how the work of a size is prepared."""

import dataclasses
import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

UNITS = 128

Run = Callable[[], object]


def lstm_gradient(batch: int, length: int, chunk: int) -> Run:
    """Gradient of the sum of squares of an LSTM's outputs."""
    from nets.recurrent.cells import LSTMCell
    from nets.recurrent.layers import RNN

    layer = RNN(LSTMCell(UNITS), remat_chunk=chunk)
    x = jax.random.normal(jax.random.key(0), (batch, length, UNITS))
    variables = layer.init(jax.random.key(1), x[:, :1])
    return partial(jax.jit(jax.grad(lambda v, x: (layer.apply(v, x)[1] ** 2).sum())), variables, x)


def chunked_gradient(length: int) -> Run:
    """Gradient of an LSTM for 8 sequences, with chunks near the root of the length."""
    return lstm_gradient(8, length, 2 ** round(math.log2(length) / 2))


def softmax_step(kind: str, vocabulary: int) -> Run:
    """Return a training step of word_lm."""
    from bench.softmax import experiment
    from bench.timing import training
    from train.placement import Placement

    return training(experiment(vocabulary, 20, kind), Placement(20, jax.devices()[:1]), 1, 1)


def search(vocabulary: int, beams: int) -> Run:
    """Beam search of 20 steps with a network of one hidden layer, which never chooses the end."""
    from nets.decoding.beam import beam_search
    from nets.decoding.step_model import StepModel

    start, end = 2, 3
    table, output = (jax.random.normal(jax.random.key(i), (vocabulary, 64)) / 8 for i in range(2))
    bias = jnp.zeros(vocabulary).at[end].set(-jnp.inf)

    def step(parameters, tokens, carry):
        table, output, bias = parameters
        carry = jnp.tanh(carry + table[tokens])
        return carry @ output.T + bias, carry

    model = StepModel(step, (table, output, bias), jnp.zeros((8, 64)), start, end)
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
    """The sizes of something that grows, and what is measured at each.

    once: the first call is measured, and there is no other. time, memory: the exponents that are
    expected. note: why others are found.
    """

    sizes: tuple[int, ...]
    prepare: Callable[[int], Run]
    once: bool = False
    time: str = "1"
    memory: str = "1"
    note: str = ""


LENGTHS, VOCABULARIES = (128, 512, 2048, 8192), (10_000, 100_000, 1_000_000)
TEXTS, RUNS = (10**7, 10**8, 10**9, 10**10), (100, 1000, 10_000)
HIDDEN = "a small size runs in memory that compilation has freed"
ROWS: Mapping[str, Row] = {
    "length": Row(LENGTHS, lambda T: lstm_gradient(8, T, 0)),
    "length, chunks": Row(LENGTHS, chunked_gradient, note=HIDDEN),
    "batch": Row((8, 32, 128, 512), lambda N: lstm_gradient(N, 128, 0)),
    "full softmax": Row(VOCABULARIES, partial(softmax_step, "full")),
    "sampled softmax": Row(VOCABULARIES, partial(softmax_step, "sampled"), note=HIDDEN),
    "adaptive softmax": Row(VOCABULARIES, partial(softmax_step, "adaptive")),
    "beam vocabulary": Row(VOCABULARIES, lambda V: search(V, 5), note=HIDDEN),
    "beam size": Row(
        (1, 4, 16, 64), lambda K: search(10_000, K), note="each of K beams offers its K best tokens"
    ),
    "devices": Row(
        (1, 2, 4, 8), divided_step, time="0", note="each device has few rows and all parameters"
    ),
    "text, first": Row(TEXTS, partial(characters, False), once=True, memory="0"),
    "text, again": Row(TEXTS, partial(characters, True), memory="0"),
    "sentences": Row((10_000, 100_000, 1_000_000), sentences, once=True),
    "frames": Row(
        (1250, 5000, 20_000),
        frames,
        memory="0",
        note="each width is compared with all smaller ones",
    ),
    "status": Row(RUNS, status),
    "report": Row(RUNS, report, once=True),
}
