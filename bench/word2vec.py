"""Cost of training word vectors: words a second, ours and gensim's, and a step by table size.

    python -m bench.word2vec --dataset=words:FOLDER --wordsim=FILE --save=bench/word2vec.md

Both train skip-gram with negative sampling on the same sentences, with the default settings of
experiments/word2vec.py, alternately, with a new seed in each round. gensim, if installed, runs one
thread, so run this on one core (taskset -c 0). The words counted are those of the vocabulary,
before subsampling. Times exclude reading the text and compilation, but include drawing our batches.
The ratio is the median over rounds of (the other's time / ours). "wordsim" is the rank correlation
with the pairs of --wordsim, mean and standard deviation over rounds.
"""

import dataclasses
import importlib
import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from tqdm import tqdm

from bench.tables import arguments, publish
from data.text.words import load_words
from experiments import word2vec
from train.loop import IN_FLIGHT
from train.placement import Placement
from train.process import keep_freed_memory
from train.task import Experiment

SIZES = (10_000, 50_000, 200_000)
SECONDS = {"wall": time.perf_counter, "CPU": time.process_time}


def clocks() -> dict[str, float]:
    """Return the time in seconds on each clock."""
    return {name: clock() for name, clock in SECONDS.items()}


class Trainer:
    """The steps of the training loop, without its run folder."""

    def __init__(self, experiment: Experiment, config):
        self.experiment, self.devices = experiment, Placement(config.batch_size)
        self.state, self.window = self.devices.init(experiment, config.seed, experiment.train(0))
        self.step = self.devices.compile(experiment)

    def run(self, steps) -> None:
        """Take these steps, with as many of them in flight as in the loop."""
        in_flight = []
        for number in steps:
            batch = self.devices.put_batch(self.experiment.train(number))
            self.state, window = self.step(self.state, self.window, batch)
            in_flight.append(window)
            if len(in_flight) > IN_FLIGHT:
                jax.block_until_ready(in_flight.pop(0))
        jax.block_until_ready(self.state)


def ours(config, passes: int, _sentences) -> tuple[dict[str, float], np.ndarray, tuple]:
    """Return seconds on each clock, word vectors [V, D] and their words."""
    train = word2vec.build(config).train
    config = dataclasses.replace(config, steps=passes * train.steps)
    experiment = word2vec.build(config)
    trainer = Trainer(experiment, config)
    trainer.run(range(1))  # compiles; training then starts again from the initial state
    trainer.state, _ = trainer.devices.init(experiment, config.seed, experiment.train(0))
    start = clocks()
    trainer.run(range(config.steps))
    seconds = {name: now - start[name] for name, now in clocks().items()}
    return seconds, np.asarray(trainer.state.params["words"]), experiment.task.vocabulary.words


def gensims(config, passes: int, sentences) -> tuple[dict[str, float], np.ndarray, tuple]:
    """Return the same for gensim."""
    model = importlib.import_module("gensim.models").Word2Vec(
        vector_size=config.embedding,
        window=config.window,
        negative=config.negatives,
        sample=config.subsample,
        min_count=config.min_count,
        alpha=config.learning_rate,
        seed=config.seed,
        sg=1,
        workers=1,
    )
    model.build_vocab(sentences)
    start = clocks()
    model.train(sentences, total_examples=len(sentences), epochs=passes)
    seconds = {name: now - start[name] for name, now in clocks().items()}
    return seconds, model.wv.vectors, tuple(model.wv.index_to_key)


def compare(config, passes: int, rounds: int) -> list[dict[str, str]]:
    """Return one line for ours and, if it is installed, one for gensim."""
    sentences = load_words(config.dataset, config.data_dir).train
    experiment = word2vec.build(config)
    words, task = passes * len(experiment.train.text.ids), experiment.task
    runs: dict[str, Callable] = {"ours": ours}
    if importlib.util.find_spec("gensim"):
        runs["gensim"] = gensims
    speeds: dict = {(name, clock): [] for name in runs for clock in SECONDS}
    scores: dict = {name: [] for name in runs}
    for seed in tqdm(range(rounds), disable=not sys.stderr.isatty()):
        for name, run in runs.items():
            seeded = dataclasses.replace(config, seed=seed)
            seconds, vectors, order = run(seeded, passes, sentences)
            for clock, value in seconds.items():
                speeds[name, clock].append(words / value)
            index = {word: i for i, word in enumerate(order)}
            rows = vectors[[index[word] for word in task.vocabulary.words]]
            scores[name].append(task.tests.scores(rows).get("wordsim", 0.0))
    lines = []
    for name in runs:
        line = {"": name, "passes": str(passes), "rounds": str(rounds)}
        for clock in SECONDS:
            pairs = zip(speeds["ours", clock], speeds[name, clock], strict=True)
            line[f"words a second, {clock}"] = f"{statistics.median(speeds[name, clock]):,.0f}"
            line[f"time / ours, {clock}"] = f"{statistics.median(a / b for a, b in pairs):.2f}"
        spread = statistics.stdev(scores[name]) if rounds > 1 else 0.0
        line["wordsim"] = f"{statistics.mean(scores[name]):.3f} +- {spread:.3f}"
        lines.append(line)
    return lines


def by_size(rounds: int) -> list[dict[str, str]]:
    """Return milliseconds of a step by vocabulary size, with row-wise and with dense gradients."""
    lines = []
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            order = np.random.default_rng(0).permutation(size)
            text = "\n".join(" ".join(map(str, row)) for row in order.reshape(-1, 20))
            for split in ("train", "valid", "test"):
                Path(folder, f"{split}.txt").write_text(text)
            config = word2vec.Config(dataset=f"words:{folder}", min_count=1)
            experiment = word2vec.build(config)
            trainers = {"rows": Trainer(experiment, config)}
            experiment.task.rows = lambda batch: {}
            trainers["dense"] = Trainer(experiment, config)
            trainers["dense"].run(range(2))  # compiles while the task has no rows
            del experiment.task.rows
            trainers["rows"].run(range(2))
        line = {"vocabulary": f"{size:,}"}
        for name, trainer in trainers.items():
            seconds = []
            for _ in range(3 * rounds):
                start = time.perf_counter()
                trainer.run(range(5))
                seconds.append((time.perf_counter() - start) / 5)
            line[f"{name}, ms"] = f"{statistics.median(seconds) * 1e3:.2f}"
            line[f"{name}, least"] = f"{min(seconds) * 1e3:.2f}"
        line["dense / rows"] = f"{float(line['dense, ms']) / float(line['rows, ms']):.2f}"
        lines.append(line)
    return lines


def main() -> None:
    """Print the tables, and write them to the file of --save."""
    parser = arguments(__doc__)
    parser.set_defaults(rounds=3)
    parser.add_argument("--dataset", default=word2vec.Config().dataset)
    parser.add_argument("--wordsim", default="")
    parser.add_argument("--passes", type=int, default=5)
    options = parser.parse_args()
    keep_freed_memory()
    config = word2vec.Config(dataset=options.dataset, wordsim=options.wordsim)
    tables = [compare(config, options.passes, options.rounds), by_size(options.rounds)]
    publish("word2vec", "Word vectors", tables, options.save)


if __name__ == "__main__":
    main()
