"""Speed of beam search in sentences per second: ours, a plain loop, and PyTorch if installed.

    python -m bench.decoding                        print the table
    python -m bench.decoding --save=bench/decoding.md

The network is a GRU of 320 units with attention and 6,000 symbols. It translates 64 sources of 6 to
30 symbols with beam 5 and at most 60 tokens. The weights are random, and adjusted so that a
hypothesis ends at about the length of its source, as with a trained network. "plain loop" steps
through the same network without jit, keeps its hypotheses in Python and searches four rows, one
after the other; its scores must be the same. "PyTorch" is a network of the same size in the usual
loop: batched and eager, with a list of finished hypotheses for each row. It stops by the same rule,
but only once no open hypothesis of any row can be better. "the best" returns one hypothesis per
row, as for translation, so it need not prove the others. "tokens" is the mean length of the best
hypotheses. Other sources of the same shape must not compile anything again.
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
from nets.decoding.scores import Score
from nets.decoding.step_model import StepModel
from nets.translation.seq2seq import Decoder, Encoder, Seq2Seq
from train.process import keep_freed_memory

BATCH, BEAMS, SYMBOLS, HIDDEN, LONGEST = 64, 5, 6000, 320, 60
BEGIN, END, ALPHA = 2, 3, 1.0
TILT = 12.0  # added to the logit of the end, or subtracted
PLAIN = 4  # rows of the plain loop
NETWORK = Seq2Seq(
    Encoder(SYMBOLS, HIDDEN, HIDDEN), Decoder(SYMBOLS, HIDDEN, HIDDEN, attention="general")
)


def step(variables, tokens, carry, memory_and_lengths):
    """One decoder step; the end is improbable before the source's length and probable after it."""
    memory, lengths = memory_and_lengths
    position = carry.position
    logits, carry, weights = NETWORK.apply(variables, tokens, carry, memory, method="step")
    due = position >= jnp.repeat(
        lengths, len(tokens) // len(lengths), total_repeat_length=len(tokens)
    )
    return logits.at[:, END].add(jnp.where(due, TILT, -TILT)), carry, weights


@jax.jit
def start(variables, source, lengths):
    """Encode the sources; return the carry, and the memory and lengths for `step`."""
    carry, memory = NETWORK.apply(variables, source, lengths, method="start")
    return carry, (memory, lengths)


def random_batch(seed: int) -> tuple:
    """Variables, which do not depend on the seed, sources, and their lengths."""
    rng = np.random.default_rng(seed)
    lengths = np.sort(rng.integers(6, 31, BATCH)).astype(np.int32)
    source = rng.integers(4, SYMBOLS, (BATCH, 30)).astype(np.int32)
    source *= np.arange(30) < lengths[:, None]
    variables = jax.jit(NETWORK.init)(jax.random.key(0), source, lengths, source)
    output = variables["params"]["decoder"]["output"]
    output["kernel"] = output["kernel"] * 4  # peaked outputs, as of a trained network
    return variables, source, lengths


def divisor(length):
    """GNMT's length penalty."""
    return ((5 + length) / 6) ** ALPHA


def plain(variables, source, lengths) -> np.ndarray:
    """Best scores of a search without jit, one row after the other."""
    best = []
    for row in range(PLAIN):
        carry, memory = start(variables, source[row : row + 1], lengths[row : row + 1])
        active, ended = [(0.0, BEGIN)], []
        for length in range(1, LONGEST + 1):
            tokens = jnp.array([token for _, token in active], jnp.int32)
            logits, carry, _ = step(variables, tokens, carry, memory)
            totals = np.asarray(jax.nn.log_softmax(logits)) + np.array(
                [[total] for total, _ in active]
            )
            least = np.sort(totals, axis=None)[-BEAMS]
            finals = [total for total in totals[:, END] if total >= least]
            ended = sorted([*ended, *(t / divisor(length) for t in finals)], reverse=True)[:BEAMS]
            totals[:, END] = -np.inf
            order = np.argsort(-totals, axis=None)[:BEAMS]
            parents, symbols = np.unravel_index(order, totals.shape)
            active = [(totals[k, v], int(v)) for k, v in zip(parents, symbols, strict=True)]
            carry = jax.tree.map(lambda leaf, p=parents: leaf[p], carry)
            bound = max(divisor(length + 1), divisor(LONGEST))
            if len(ended) == BEAMS and active[0][0] / bound < ended[-1]:
                break
        best.append(ended[0])
    return np.array(best)


def ours(step_fn, variables, source, lengths, n_best: int):
    """Result of nets.decoding.beam_search."""
    carry, memory = start(variables, source, lengths)
    model = StepModel(step_fn, variables, carry, BEGIN, END, memory)
    score = Score(length_penalty=ALPHA)
    return beam_search(model, beam_size=BEAMS, max_length=LONGEST, score=score, n_best=n_best)


def pytorch(source, lengths) -> Callable[[], float] | None:
    """Return a search in PyTorch that returns the mean length, or None if it is not installed."""
    if importlib.util.find_spec("torch") is None:
        return None
    torch = importlib.import_module("torch")
    torch.manual_seed(0)
    embed_source, embed = (torch.nn.Embedding(SYMBOLS, HIDDEN) for _ in range(2))
    encoder = torch.nn.GRU(HIDDEN, HIDDEN, batch_first=True, bidirectional=True)
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
        packed, last = encoder(packed)
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
            totals, indices = following.view(BATCH, -1).topk(BEAMS)
            parents = indices // SYMBOLS + torch.arange(BATCH)[:, None] * BEAMS
            tokens, h = (indices % SYMBOLS).view(-1), h[parents.view(-1)]
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
    """Print the table, and write it to the file of --save."""
    args = arguments(__doc__).parse_args()
    keep_freed_memory()  # as every experiment does; it helps PyTorch too
    variables, source, lengths = random_batch(0)
    traced = []

    def counted(*state):
        traced.append(step)
        return step(*state)

    began = time.perf_counter()
    result = jax.block_until_ready(ours(counted, variables, source, lengths, BEAMS))
    compiled = time.perf_counter() - began
    runs: dict[str, Callable] = {
        f"ours, the {name}": partial(ours, counted, variables, source, lengths, count)
        for name, count in (("best", 1), ("5 best", BEAMS))
    }
    for run in runs.values():
        jax.block_until_ready(run())
    programs = len(traced)
    jax.block_until_ready(ours(counted, *random_batch(1), BEAMS))
    tokens = dict.fromkeys([*runs, "plain loop"], float(jnp.mean(result.lengths[:, 0])))
    if other := pytorch(source, lengths):
        runs["PyTorch"] = other
        tokens["PyTorch"] = other()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(args.rounds):
        for name, run in runs.items():
            began = time.perf_counter()
            jax.block_until_ready(run())
            times[name].append(time.perf_counter() - began)
    began = time.perf_counter()
    scores = plain(variables, source, lengths)
    times["plain loop"] = [(time.perf_counter() - began) * BATCH / PLAIN]
    np.testing.assert_allclose(scores, result.scores[:PLAIN, 0], rtol=1e-3)
    if len(traced) > programs:
        raise RuntimeError("another batch of the same shape compiled the search again")
    reference = statistics.median(times["ours, the 5 best"])
    lines = [
        {
            "search": name,
            "tokens": f"{tokens[name]:.1f}",
            "seconds": f"{statistics.median(taken):.3f}",
            "sentences a second": f"{BATCH / statistics.median(taken):.1f}",
            "time / ours": f"{statistics.median(taken) / reference:.2f}",
        }
        for name, taken in times.items()
    ]
    print(f"first call, with compilation: {compiled:.1f} s", file=sys.stderr)
    publish("decoding", "Beam search", [lines], args.save)


if __name__ == "__main__":
    main()
