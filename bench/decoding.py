"""Speed of beam search in sentences per second: ours, the usual loop in PyTorch, and a plain loop.

    python -m bench.decoding                        print the table
    python -m bench.decoding --save=bench/decoding.md

The network has GRUs of 320 units, attention and 6,000 symbols. It translates 64 sources of 6 to 30
symbols with beam 5 and at most 60 tokens. The weights are random, and adjusted so that the best
hypothesis ends at the length of its source and its tokens have a probability of 0.1 on average, as
with a trained network. "PyTorch" is the usual loop over the same network with the same weights:
batched and eager, with a list of finished hypotheses for each row. It stops by the same rule, but
only once no open hypothesis of any row can be better; its scores must be the same. "plain loop"
steps through our network without jit, keeps its hypotheses in Python and searches four rows, one
after the other; its scores must be the same too. "ours, the best" returns one hypothesis per row,
as for translation, so it need not prove the others. "network alone" is the encoder and as
many decoder steps of all beams as the mean best hypothesis is long, without any search: no search
of this network on this machine can be much faster. Other sources of the same shape must not compile
anything again. All run in turn in one process. On one core CPU time is measured.
"""

import importlib.util
import math
import os
import statistics
import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from bench.pytorch_search import Problem, eager_search
from bench.tables import arguments, publish
from bench.timing import Run, in_turn, spread
from nets.decoding.beam import beam_search
from nets.decoding.scores import Score
from nets.decoding.step_model import StepModel
from nets.translation.seq2seq import Decoder, Encoder, Seq2Seq

ROWS, SYMBOLS, HIDDEN = 64, 6000, 320
PROBLEM = Problem(beams=5, longest=60, begin=2, end=3, length_penalty=1.0, tilt=40.0)
PLAIN = 4  # rows of the plain loop
SIZES, CELL = (SYMBOLS, HIDDEN, HIDDEN), {"cell": "gru_reset_after"}  # PyTorch's GRU
NETWORK = Seq2Seq(Encoder(*SIZES, **CELL), Decoder(*SIZES, **CELL, attention="general"))


def step(variables, tokens, carry, memory_and_lengths):
    """One decoder step; the end is improbable before the source's length and certain after it."""
    memory, lengths = memory_and_lengths
    position = carry.position
    logits, carry, weights = NETWORK.apply(variables, tokens, carry, memory, method="step")
    due = position >= jnp.repeat(
        lengths, len(tokens) // len(lengths), total_repeat_length=len(tokens)
    )
    tilt = jnp.where(due, PROBLEM.tilt, -PROBLEM.tilt)[:, None]
    return logits + jnp.where(jnp.arange(SYMBOLS) == PROBLEM.end, tilt, 0), carry, weights


@jax.jit
def start(variables, source, lengths):
    """Encode the sources; return the carry, and the memory and lengths for `step`."""
    carry, memory = NETWORK.apply(variables, source, lengths, method="start")
    return carry, (memory, lengths)


def random_batch(seed: int) -> tuple:
    """Variables, which do not depend on the seed, sources, and their lengths."""
    rng = np.random.default_rng(seed)
    lengths = np.sort(rng.integers(6, 31, ROWS)).astype(np.int32)
    source = rng.integers(4, SYMBOLS, (ROWS, 30)).astype(np.int32)
    source *= np.arange(30) < lengths[:, None]
    variables = jax.jit(NETWORK.init)(jax.random.key(0), source, lengths, source)
    output = variables["params"]["decoder"]["output"]
    output["kernel"] = output["kernel"] * 100  # peaked outputs, as of a trained network
    return variables, source, lengths


def plain(variables, source, lengths) -> np.ndarray:
    """Best scores of a search without jit, one row after the other."""
    best, beams, end, divisor = [], PROBLEM.beams, PROBLEM.end, PROBLEM.divisor
    for row in range(PLAIN):
        carry, memory = start(variables, source[row : row + 1], lengths[row : row + 1])
        active, ended = [(0.0, PROBLEM.begin)], []
        for length in range(1, PROBLEM.longest + 1):
            tokens = jnp.array([token for _, token in active], jnp.int32)
            logits, carry, _ = step(variables, tokens, carry, memory)
            totals = np.asarray(jax.nn.log_softmax(logits)) + np.array(
                [[total] for total, _ in active]
            )
            finals = totals[:, end] / divisor(length)
            ended = sorted([*ended, *finals], reverse=True)[:beams]
            totals[:, end] = -np.inf
            order = np.argsort(-totals, axis=None)[:beams]
            parents, symbols = np.unravel_index(order, totals.shape)
            active = [(totals[k, v], int(v)) for k, v in zip(parents, symbols, strict=True)]
            carry = jax.tree.map(lambda leaf, p=parents: leaf[p], carry)
            bound = max(divisor(length + 1), divisor(PROBLEM.longest))
            if len(ended) == beams and active[0][0] / bound < ended[-1]:
                break
        best.append(ended[0])
    return np.array(best)


@partial(jax.jit, static_argnums=3)
def network_alone(variables, source, lengths, steps: int):
    """Largest logit [B K] of each of `steps` decoder steps of all beams, with one token in all."""
    carry, memory = start(variables, source, lengths)
    carry = jax.tree.map(lambda leaf: jnp.repeat(leaf, PROBLEM.beams, axis=0), carry)
    tokens = jnp.full(len(source) * PROBLEM.beams, PROBLEM.begin)

    def body(carry, _):
        logits, carry, _ = step(variables, tokens, carry, memory)
        return carry, logits.max(axis=-1)

    return jax.lax.scan(body, carry, None, steps)[1]


def ours(step_fn, variables, source, lengths, n_best: int):
    """Result of nets.decoding.beam_search."""
    carry, memory = start(variables, source, lengths)
    model = StepModel(step_fn, variables, carry, PROBLEM.begin, PROBLEM.end, memory)
    score = Score(length_penalty=PROBLEM.length_penalty)
    size = {"beam_size": PROBLEM.beams, "max_length": PROBLEM.longest}
    return beam_search(model, **size, score=score, n_best=n_best)


def main() -> None:
    """Print the table, and write it to the file of --save."""
    args = arguments(__doc__).parse_args()
    variables, source, lengths = random_batch(0)
    traced = []

    def counted(*state):
        traced.append(step)
        return step(*state)

    began = time.perf_counter()
    result = jax.block_until_ready(ours(counted, variables, source, lengths, PROBLEM.beams))
    compiled = time.perf_counter() - began
    runs: dict[str, Run] = {
        name: partial(ours, counted, variables, source, lengths, count)
        for name, count in (("ours", PROBLEM.beams), ("ours, the best", 1))
    }
    jax.block_until_ready(runs["ours, the best"]())
    programs = len(traced)
    jax.block_until_ready(ours(counted, *random_batch(1), PROBLEM.beams))
    if len(traced) > programs:
        raise RuntimeError("another batch of the same shape compiled the search again")
    tokens = float(jnp.mean(result.lengths[:, 0]))
    runs["network alone"] = partial(network_alone, variables, source, lengths, math.ceil(tokens))
    if importlib.util.find_spec("torch"):
        runs["PyTorch"] = eager_search(PROBLEM, variables["params"], source, lengths)
        np.testing.assert_allclose(runs["PyTorch"](), result.scores, rtol=1e-4)
    clock = time.perf_counter if len(os.sched_getaffinity(0)) > 1 else time.process_time
    times = in_turn(runs, args.rounds, clock)
    began = clock()
    scores = plain(variables, source, lengths)
    times["plain loop"] = [(clock() - began) * len(source) / PLAIN] * args.rounds
    np.testing.assert_allclose(scores, result.scores[:PLAIN, 0], rtol=1e-4)
    lines = [
        {
            "search": name,
            "seconds": f"{statistics.median(taken):.3f}",
            "sentences a second": f"{len(source) / statistics.median(taken):.1f}",
            "time / ours": spread(taken, times["ours"]),
        }
        for name, taken in times.items()
    ]
    print(f"first call, with compilation: {compiled:.1f} s; {tokens:.1f} tokens", file=sys.stderr)
    publish("decoding", "Beam search", [lines], args.save)


if __name__ == "__main__":
    main()
