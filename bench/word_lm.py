"""Training speed of a word language model: ours, and the same network in PyTorch.

    python -m bench.word_lm
    python -m bench.word_lm --save=bench/word_lm.md

The preset zaremba_small: two LSTM layers of 200 units, 10,000 words, 20 lanes of 20 words, plain
SGD with a clipped gradient, state carried on. Whole steps, batches given, timed in turn in one
process; the ratio is the median over rounds of (PyTorch's time / ours): above 1 we are faster.
"""

import importlib
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable

import jax
import numpy as np
from tqdm import tqdm

from bench.tables import arguments, publish
from data.lanes import TrainingLanes
from experiments._language import NextSymbol
from experiments.word_lm import Config
from nets.language_model import LanguageModel
from train.cli import keep_freed_memory
from train.optimizer import make_optimizer
from train.parallel import JitMesh
from train.task import Experiment

VOCABULARY, STEPS, PAUSE = 10_000, 20, 0.02  # words, steps in a round, seconds between rounds
PRESET = Config.PRESETS["zaremba_small"]
BATCH, WINDOW, HIDDEN, LAYERS = (PRESET[n] for n in ("batch_size", "window", "hidden", "layers"))


def ours(batches: TrainingLanes) -> Callable[[], object]:
    """Make a function that takes some steps of `train.step`."""
    config = Config(preset="zaremba_small", **PRESET)
    model = LanguageModel(VOCABULARY, "lstm", HIDDEN, LAYERS, HIDDEN, init_range=0.1)
    task = NextSymbol(model, None, config, "word", ())
    experiment = Experiment(task, make_optimizer(config), batches, {})
    devices = JitMesh(BATCH)
    state, window = devices.init(experiment, 0, batches(0))
    step = devices.compile(experiment)

    def run():
        nonlocal state, window
        for number in range(STEPS):
            state, window = step(state, window, devices.put_batch([batches(number)]))
        return state

    return run


def pytorch(batches: TrainingLanes) -> Callable[[], object]:
    """Make the same of PyTorch's own layers."""
    torch = importlib.import_module("torch")
    embedding = torch.nn.Embedding(VOCABULARY, HIDDEN)
    recurrent = torch.nn.LSTM(HIDDEN, HIDDEN, LAYERS, batch_first=True)
    output = torch.nn.Linear(HIDDEN, VOCABULARY)
    parameters = [p for layer in (embedding, recurrent, output) for p in layer.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=PRESET["learning_rate"])
    carry = None

    def run():
        nonlocal carry
        for number in range(STEPS):
            batch = {name: torch.from_numpy(x).long() for name, x in batches(number).items()}
            outputs, carry = recurrent(embedding(batch["tokens"]), carry)
            carry = tuple(leaf.detach() for leaf in carry)
            logits = output(outputs).flatten(0, 1)
            loss = torch.nn.functional.cross_entropy(logits, batch["targets"].flatten())
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, PRESET["clip_norm"])
            optimizer.step()
        return loss.item()

    return run


def measure(runs: dict[str, Callable[[], object]], rounds: int) -> list[dict[str, str]]:
    """Words a second of each, in turn, after a round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for count in tqdm(range(rounds + 1), disable=not sys.stderr.isatty(), leave=False):
        for name, run in runs.items():
            time.sleep(PAUSE)  # threads of the last run spin for a while
            began = time.perf_counter()
            jax.block_until_ready(run())
            if count:
                seconds[name].append(time.perf_counter() - began)
    own = seconds["ours"]
    words = BATCH * WINDOW * STEPS
    return [
        {
            "": name,
            "words a second": f"{words / statistics.median(times):,.0f}",
            "time / ours": f"{statistics.median(map(np.divide, times, own)):.2f}",
        }
        for name, times in seconds.items()
    ]


def main() -> None:
    """Print the table."""
    options = arguments(__doc__).parse_args()
    keep_freed_memory()  # as every command of an experiment does
    ids = np.random.default_rng(0).integers(VOCABULARY, size=100_000).astype(np.int32)
    batches = TrainingLanes(ids, BATCH, WINDOW, 0)
    runs = {"ours": ours(batches)}
    if importlib.util.find_spec("torch"):
        runs["PyTorch"] = pytorch(batches)
    table = measure(runs, options.rounds)
    publish("word_lm", "Training speed of a word language model", [table], options.save)


if __name__ == "__main__":
    main()
