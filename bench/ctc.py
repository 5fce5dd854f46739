"""Speed of connectionist temporal classification: ours, optax, and PyTorch if installed.

    taskset -c 0 python -m bench.ctc                print the tables, on one core
    taskset -c 0 python -m bench.ctc --save=bench/ctc.md

The batch has 32 rows of 200 to 400 steps, 60 symbols, and labels of 20 to 50 symbols. The first
table times the loss with its gradient, and lists the largest deviation of the gradient from that of
PyTorch in float64. The second times decoding: the label of the best path, by ours and by a loop in
Python, the best path of a label, and the search with 16 prefixes. All run in turn in one process,
and CPU time is measured. The ratio is the median over rounds of (the other's time / ours).
"""

import importlib
import importlib.util
import itertools
import os
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bench.tables import arguments, publish
from bench.timing import Run, compared, in_turn
from nets.ctc.loss import ctc_align, ctc_greedy, ctc_loss
from nets.ctc.prefix_search import ctc_beam_search

ROWS, STEPS, SYMBOLS, LABELS, BEAMS = 32, 400, 60, 50, 16


def random_batch() -> tuple[np.ndarray, ...]:
    """Logits, lengths, labels and label lengths."""
    rng = np.random.default_rng(0)
    return (
        rng.normal(0, 2, (ROWS, STEPS, SYMBOLS)).astype(np.float32),
        rng.integers(STEPS // 2, STEPS + 1, ROWS).astype(np.int32),
        rng.integers(1, SYMBOLS, (ROWS, LABELS)).astype(np.int32),
        rng.integers(20, LABELS + 1, ROWS).astype(np.int32),
    )


def ours(logits, lengths, labels, label_lengths):
    """Sum of the losses."""
    return ctc_loss(logits, lengths, labels, label_lengths).nats.sum()


def with_optax(logits, lengths, labels, label_lengths):
    """Sum of the losses by optax, which takes padding masks."""
    pads = [
        (jnp.arange(size) >= count[:, None]).astype(jnp.float32)
        for size, count in ((STEPS, lengths), (LABELS, label_lengths))
    ]
    return optax.ctc_loss(logits, pads[0], labels, pads[1]).sum()


def pytorch(batch, dtype: str) -> Run:
    """Return a function that computes the gradient in PyTorch."""
    torch = importlib.import_module("torch")
    logits, lengths, labels, label_lengths = map(torch.from_numpy, batch)
    logits = logits.to(getattr(torch, dtype)).requires_grad_()

    def run():
        logits.grad = None
        log_probs = torch.log_softmax(logits, dim=-1).transpose(0, 1)
        targets = (labels.long(), lengths.long(), label_lengths.long())
        torch.nn.functional.ctc_loss(log_probs, *targets, reduction="sum").backward()
        return logits.grad.numpy()

    return run


def looped(logits: np.ndarray, lengths: np.ndarray) -> list[list[int]]:
    """Label of the best path, row by row."""
    rows = zip(logits.argmax(axis=2).tolist(), lengths, strict=True)
    merged = ([symbol for symbol, _ in itertools.groupby(path[:n])] for path, n in rows)
    return [[symbol for symbol in row if symbol] for row in merged]


def losses(batch, rounds: int) -> list[dict[str, str]]:
    """Table of the losses."""
    arrays = tuple(map(jnp.asarray, batch))
    runs: dict[str, Run] = {
        name: partial(jax.jit(jax.grad(loss)), *arrays)
        for name, loss in {"ours": ours, "optax": with_optax}.items()
    }
    exact = None
    if importlib.util.find_spec("torch"):
        runs["PyTorch"] = pytorch(batch, "float32")
        exact = pytorch(batch, "float64")()
    errors = {
        name: "" if exact is None else f"{np.abs(np.asarray(run()) - exact).max():.0e}"
        for name, run in runs.items()
    }
    lines = compared(in_turn(runs, rounds, time.process_time), 1)
    return [{**line, "error of the gradient": errors[line[""]]} for line in lines]


def decoders(batch, rounds: int) -> list[dict[str, str]]:
    """Table of the decoders and the alignment."""
    logits, lengths, *_ = arrays = tuple(map(jnp.asarray, batch))
    labels, counts = jax.device_get(ctc_greedy(logits, lengths))
    decoded = [row[:n].tolist() for row, n in zip(labels, counts, strict=True)]
    assert decoded == looped(*batch[:2])
    runs: dict[str, Run] = {
        "ours": partial(ctc_greedy, logits, lengths),
        "a loop in Python": partial(looped, *batch[:2]),
        "ctc_align": partial(ctc_align, *arrays),
        f"ctc_beam_search, {BEAMS}": partial(ctc_beam_search, logits, lengths, beam_size=BEAMS),
    }
    lines = compared(in_turn(runs, rounds, time.process_time), 1)
    lines[0][""] = "ctc_greedy"
    return [line | ({"time / ours": ""} if i > 1 else {}) for i, line in enumerate(lines)]


def main() -> None:
    """Print the tables, and write them to the file of --save."""
    args = arguments(__doc__).parse_args()
    batch = random_batch()
    tables = [losses(batch, args.rounds), decoders(batch, args.rounds)]
    cores = len(os.sched_getaffinity(0))
    publish("ctc", f"Connectionist temporal classification, {cores} core(s)", tables, args.save)


if __name__ == "__main__":
    main()
