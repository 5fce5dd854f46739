"""Training speed of a word language model: ours and the same network in PyTorch.

    python -m bench.word_lm
    python -m bench.word_lm --save=bench/word_lm.md

The preset zaremba_small: two LSTM layers of 200 units, 10,000 words, 20 streams in windows of 20
words, plain SGD with gradient clipping, state carried from window to window. Whole steps on given
batches, timed alternately in one process; the ratio is the median over rounds of (PyTorch's time /
ours): above 1, ours is faster.
"""

import importlib
import importlib.util
import statistics

import numpy as np

from bench.tables import arguments, publish
from bench.timing import Run, compared, in_turn, training
from data.text.streams import TrainingStreams
from experiments.word_lm import Config, NextWord, network
from train.optimizer import make_optimizer
from train.placement import Placement
from train.task import Experiment

VOCABULARY, STEPS = 10_000, 20
PRESET = Config.PRESETS["zaremba_small"]
BATCH, WINDOW, HIDDEN, LAYERS = (
    PRESET[n] for n in ("batch_size", "bptt_length", "hidden", "layers")
)


def ours(batches: TrainingStreams) -> Run:
    """Return a function that takes STEPS steps of `train.step`."""
    config = Config(preset="zaremba_small", **PRESET)
    task = NextWord(network(config, VOCABULARY), None, config, "word", ())
    return training(
        Experiment(task, make_optimizer(config), batches, {}), Placement(BATCH), 1, STEPS
    )


def pytorch(batches: TrainingStreams) -> Run:
    """Return the same with PyTorch's own layers."""
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


def main() -> None:
    """Print the table."""
    options = arguments(__doc__).parse_args()
    ids = np.random.default_rng(0).integers(VOCABULARY, size=100_000).astype(np.int32)
    batches = TrainingStreams(ids, BATCH, WINDOW, 0)
    runs = {"ours": ours(batches)}
    if importlib.util.find_spec("torch"):
        runs["PyTorch"] = pytorch(batches)
    seconds = in_turn(runs, options.rounds)
    lines = compared(seconds, STEPS)
    for line, times in zip(lines, seconds.values(), strict=True):
        line["words a second"] = f"{BATCH * WINDOW * STEPS / statistics.median(times):,.0f}"
    publish("word_lm", "Training speed of a word language model", [lines], options.save)


if __name__ == "__main__":
    main()
