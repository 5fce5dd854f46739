"""Sentences a second of a beam search: ours, a plain loop, and PyTorch where it is installed.

    python -m bench.decoding                        the table on the screen
    python -m bench.decoding --save=bench/decoding.md

A GRU of 320 units with attention, 6,000 symbols, 64 sources of 6 to 30 symbols, beam 5, at most 60
tokens. The weights are drawn, and made to end a hypothesis at about the length of its source, as a
trained network does. "plain loop" steps through the same network without jit and keeps its
hypotheses in Python, one row after the other, four of them; it must find the same scores. "PyTorch"
is a network of the same size and the loop that is usual there: batched, eager, each row with its
own list of what has ended, until no open hypothesis of any row can be better; so it stops by the
same rule, but its rows all go on to the last step. "the best" returns one hypothesis a row, and so
need not prove the others, as a translator does. "tokens" is the mean length of the best ones. Other
sources of the same shape must compile nothing more.
"""

import importlib
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from bench.tables import arguments, publish
from nets.decoding.beam import beam_search
from nets.translation.seq2seq import Decoder, Encoder, Seq2Seq
from train.process import keep_freed_memory

BATCH, BEAMS, SYMBOLS, HIDDEN, LONGEST = 64, 5, 6000, 320, 60
BEGIN, END, ALPHA = 2, 3, 1.0
TILT = 12.0  # of the logit of the end
PLAIN = 4  # rows of the plain loop
NETWORK = Seq2Seq(
    Encoder(SYMBOLS, HIDDEN, HIDDEN), Decoder(SYMBOLS, HIDDEN, HIDDEN, attention="general")
)


def step(variables, tokens, carry, given):
    """One step of the decoder, whose end is improbable before the source's length and likely then.

    given: the memory, and the lengths of its rows.
    """
    memory, lengths = given
    number = carry.number
    logits, carry, weights = NETWORK.apply(variables, tokens, carry, memory, method="step")
    due = number >= jnp.repeat(
        lengths, len(tokens) // len(lengths), total_repeat_length=len(tokens)
    )
    return logits.at[:, END].add(jnp.where(due, TILT, -TILT)), carry, weights


@jax.jit
def start(variables, source, lengths):
    """Read the sources: the carry, and what `step` is given."""
    carry, memory = NETWORK.apply(variables, source, lengths, method="start")
    return carry, (memory, lengths)


def drawn(seed: int) -> tuple:
    """Variables, which do not depend on the seed, sources and their lengths."""
    rng = np.random.default_rng(seed)
    lengths = np.sort(rng.integers(6, 31, BATCH)).astype(np.int32)
    source = rng.integers(4, SYMBOLS, (BATCH, 30)).astype(np.int32)
    source *= np.arange(30) < lengths[:, None]
    variables = jax.jit(NETWORK.init)(jax.random.key(0), source, lengths, source)
    output = variables["params"]["decoder"]["output"]
    output["kernel"] = output["kernel"] * 4  # peaks, as of a trained network
    return variables, source, lengths


def divisor(length):
    """GNMT's length penalty."""
    return ((5 + length) / 6) ** ALPHA


def plain(variables, source, lengths) -> np.ndarray:
    """Best scores [B] of a search without jit, a row after the other."""
    best = []
    for row in range(PLAIN):
        carry, memory = start(variables, source[row : row + 1], lengths[row : row + 1])
        opened, ended = [(0.0, BEGIN)], []
        for length in range(1, LONGEST + 1):
            tokens = jnp.array([token for _, token in opened], jnp.int32)
            logits, carry, _ = step(variables, tokens, carry, memory)
            totals = np.asarray(jax.nn.log_softmax(logits)) + np.array(
                [[total] for total, _ in opened]
            )
            least = np.sort(totals, axis=None)[-BEAMS]
            finals = [total for total in totals[:, END] if total >= least]
            ended = sorted([*ended, *(t / divisor(length) for t in finals)], reverse=True)[:BEAMS]
            totals[:, END] = -np.inf
            order = np.argsort(-totals, axis=None)[:BEAMS]
            parents, symbols = np.unravel_index(order, totals.shape)
            opened = [(totals[k, v], int(v)) for k, v in zip(parents, symbols, strict=True)]
            carry = jax.tree.map(lambda leaf, p=parents: leaf[p], carry)
            bound = max(divisor(length + 1), divisor(LONGEST))
            if len(ended) == BEAMS and opened[0][0] / bound < ended[-1]:
                break
        best.append(ended[0])
    return np.array(best)


def ours(step_fn, variables, source, lengths, n_best: int):
    """Result of nets.decoding.beam."""
    carry, memory = start(variables, source, lengths)
    ends = {"bos_id": BEGIN, "eos_id": END, "max_length": LONGEST}
    options = {"beam_size": BEAMS, "length_penalty": ALPHA, "n_best": n_best}
    return beam_search(step_fn, variables, carry, memory=memory, **ends, **options)


def pytorch(source, lengths) -> Callable[[], float] | None:
    """Return a search of PyTorch's that gives its mean length, when it is installed."""
    if importlib.util.find_spec("torch") is None:
        return None
    torch = importlib.import_module("torch")
    torch.manual_seed(0)
    embed_source, embed = (torch.nn.Embedding(SYMBOLS, HIDDEN) for _ in range(2))
    reader = torch.nn.GRU(HIDDEN, HIDDEN, batch_first=True, bidirectional=True)
    bridge = torch.nn.Linear(2 * HIDDEN, HIDDEN)
    cell = torch.nn.GRUCell(HIDDEN, HIDDEN)
    key = torch.nn.Linear(2 * HIDDEN, HIDDEN, bias=False)
    combine = torch.nn.Linear(3 * HIDDEN, HIDDEN, bias=False)
    output = torch.nn.Linear(HIDDEN, SYMBOLS)
    with torch.no_grad():
        output.weight *= 4
    ids, counts = torch.tensor(source).long(), torch.tensor(lengths).long()
    padding = (torch.arange(ids.shape[1])[None] >= counts[:, None])[:, None]

    @torch.no_grad()
    def run() -> float:
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            embed_source(ids), counts, batch_first=True, enforce_sorted=False
        )
        packed, last = reader(packed)
        values, _ = torch.nn.utils.rnn.pad_packed_sequence(
            packed, batch_first=True, total_length=ids.shape[1]
        )
        keys = key(values)
        h = torch.tanh(bridge(torch.cat([last[0], last[1]], -1))).repeat_interleave(BEAMS, 0)
        tokens = torch.full((BATCH * BEAMS,), BEGIN)
        totals = torch.full((BATCH, BEAMS), -torch.inf)
        totals[:, 0] = 0
        ended: list[list[tuple[float, int]]] = [[] for _ in range(BATCH)]
        for length in range(1, LONGEST + 1):
            h = cell(embed(tokens), h)
            query = h.view(BATCH, BEAMS, HIDDEN)
            scores = (query @ keys.transpose(1, 2)).masked_fill(padding, -torch.inf)
            context = torch.softmax(scores, -1) @ values
            state = torch.tanh(combine(torch.cat([context, query], -1)))
            logits = output(state)
            logits[:, :, END] += torch.where(length > counts, TILT, -TILT)[:, None]
            following = torch.log_softmax(logits, -1) + totals[..., None]
            least = following.view(BATCH, -1).topk(BEAMS)[0][:, -1].tolist()
            for row, finals in enumerate(following[:, :, END].tolist()):
                chosen = [total for total in finals if total >= least[row]]
                ended[row] += [(total / divisor(length), length) for total in chosen]
                ended[row] = sorted(ended[row], reverse=True)[:BEAMS]
            following[:, :, END] = -torch.inf
            totals, places = following.view(BATCH, -1).topk(BEAMS)
            parents = places // SYMBOLS + torch.arange(BATCH)[:, None] * BEAMS
            tokens, h = (places % SYMBOLS).view(-1), h[parents.view(-1)]
            bound = max(divisor(length + 1), divisor(LONGEST))
            best = (totals[:, 0] / bound).tolist()
            if all(
                len(row) == BEAMS and score < row[-1][0]
                for score, row in zip(best, ended, strict=True)
            ):
                break
        return float(np.mean([row[0][1] for row in ended]))

    return run


def main() -> None:
    """Print the table, and write it where --save says."""
    given = arguments(__doc__).parse_args()
    keep_freed_memory()  # as every experiment; it serves PyTorch as well
    variables, source, lengths = drawn(0)
    traced = []

    def counted(*state):
        traced.append(step)
        return step(*state)

    began = time.perf_counter()
    found = jax.block_until_ready(ours(counted, variables, source, lengths, BEAMS))
    compiled = time.perf_counter() - began
    runs: dict[str, Callable] = {
        f"ours, the {name}": partial(ours, counted, variables, source, lengths, count)
        for name, count in (("best", 1), ("5 best", BEAMS))
    }
    for run in runs.values():
        jax.block_until_ready(run())
    programs = len(traced)
    jax.block_until_ready(ours(counted, *drawn(1), BEAMS))
    tokens = dict.fromkeys([*runs, "plain loop"], float(jnp.mean(found.lengths[:, 0])))
    if other := pytorch(source, lengths):
        runs["PyTorch"] = other
        tokens["PyTorch"] = other()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(given.rounds):
        for name, run in runs.items():
            began = time.perf_counter()
            jax.block_until_ready(run())
            times[name].append(time.perf_counter() - began)
    began = time.perf_counter()
    scores = plain(variables, source, lengths)
    times["plain loop"] = [(time.perf_counter() - began) * BATCH / PLAIN]
    np.testing.assert_allclose(scores, found.scores[:PLAIN, 0], rtol=1e-3)
    if len(traced) > programs:
        raise RuntimeError("another batch of the same shape was compiled again")
    mine = statistics.median(times["ours, the 5 best"])
    lines = [
        {
            "search": name,
            "tokens": f"{tokens[name]:.1f}",
            "seconds": f"{statistics.median(taken):.3f}",
            "sentences a second": f"{BATCH / statistics.median(taken):.1f}",
            "time / ours": f"{statistics.median(taken) / mine:.2f}",
        }
        for name, taken in times.items()
    ]
    print(f"first call, with compilation: {compiled:.1f} s", file=sys.stderr)
    publish("decoding", "Beam search", [lines], given.save)


if __name__ == "__main__":
    main()
