"""What a recurrent layer costs: ours, Flax's, PyTorch's where it is installed, the products alone.

    python -m bench.recurrent                       the table on the screen
    python -m bench.recurrent --save=bench/recurrent.md

For each cell and shape: one forward pass, and one gradient step (of the sum of squared outputs,
with regard to parameters and inputs), float32, timed in turn in one process. Ratios are medians
over rounds of (the other's time / ours): above 1 we are faster. "products" are the matrix products
that any implementation needs, in a scan of their own; there the ratio is ours / products. Memory
and compile time of the gradient step are ours / Flax's.
"""

import importlib
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from tqdm import tqdm

from bench.tables import arguments, publish
from bench.timing import in_turn, ratio
from nets.recurrent.cells import ElmanCell, GRUCell, LSTMCell
from nets.recurrent.layers import RNN

SHAPES = ((64, 100, 256, 256), (32, 64, 512, 512), (50, 50, 128, 128), (128, 32, 100, 100))
OURS = {
    "rnn": ElmanCell,
    "gru": lambda features: GRUCell(features, reset_after=True),  # as Flax and PyTorch have it
    "lstm": LSTMCell,
}
FLAX = {"rnn": nn.SimpleCell, "gru": nn.GRUCell, "lstm": nn.OptimizedLSTMCell}
GATES = {"rnn": 1, "gru": 3, "lstm": 4}

Timed = dict[str, Callable[[], object]]


def compiled(layer: nn.Module, output: Callable, x) -> tuple[Timed, dict[str, float]]:
    """Compile a layer: its two runs, and what its gradient step takes in bytes and seconds."""
    variables = layer.init(jax.random.key(0), x)

    def loss(variables, x):
        return jnp.sum(output(layer.apply(variables, x)) ** 2)

    forward = jax.jit(lambda variables, x: output(layer.apply(variables, x)))
    traced = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(variables, x)
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        gradient = traced.compile()
        seconds.append(time.perf_counter() - began)
    memory = gradient.memory_analysis().temp_size_in_bytes
    runs: Timed = {
        "forward": lambda: forward(variables, x),
        "gradient": lambda: gradient(variables, x),
    }
    return runs, {"memory": memory, "compile": min(seconds)}


def products(cell: str, x, hidden: int) -> Timed:
    """Make the products of a gradient step alone: x U, h W, d W^T, h^T d, x^T d, d U^T."""
    batch, time_, size = x.shape
    columns = GATES[cell] * hidden
    kernel = jnp.full((size, columns), 1e-3)
    recurrent = jnp.full((hidden, columns), 1e-3)
    across = (((1,), (1,)), ((), ()))
    down = (((0,), (0,)), ((), ()))

    def ahead(x):
        rows = jnp.swapaxes(x, 0, 1).reshape(-1, size) @ kernel

        def step(h, d):  # the sum keeps XLA from taking the product out of the loop
            h = (h @ recurrent)[:, :hidden] + d[:, :hidden]
            return h, h

        return rows, lax.scan(step, jnp.zeros((batch, hidden)), rows.reshape(time_, batch, -1))

    def both(x):
        rows, (last, h) = ahead(x)

        def step(dh, d):
            dh = lax.dot_general(d + dh[:, :1], recurrent, across)
            return dh, None

        first, _ = lax.scan(step, last, rows.reshape(time_, batch, -1))
        flat = jnp.swapaxes(x, 0, 1).reshape(-1, size)
        hidden_rows = h.reshape(-1, hidden)
        return (
            first,
            lax.dot_general(hidden_rows, rows, down),
            lax.dot_general(flat, rows, down),
            lax.dot_general(rows, kernel, across),
        )

    forward, gradient = jax.jit(ahead), jax.jit(both)
    return {"forward": lambda: forward(x), "gradient": lambda: gradient(x)}


def pytorch(cell: str, x, hidden: int) -> Timed:
    """Make PyTorch's own layer, when it is installed."""
    if importlib.util.find_spec("torch") is None:
        return {}
    torch = importlib.import_module("torch")
    kind = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell]
    layer = kind(x.shape[-1], hidden, batch_first=True)
    inputs = torch.tensor(np.asarray(x), requires_grad=True)

    def forward():
        with torch.no_grad():
            return layer(inputs)[0].shape

    def gradient():
        layer.zero_grad()
        inputs.grad = None
        outputs, _ = layer(inputs)
        (outputs * outputs).sum().backward()

    return {"forward": forward, "gradient": gradient}


def row(cell: str, shape, rounds: int) -> list[dict]:
    """Compare all of one cell and shape: a line for the forward pass and one for the gradient."""
    batch, time_, size, hidden = shape
    x = jax.random.normal(jax.random.key(1), (batch, time_, size))
    runs: dict[str, Timed] = {}
    ours, us = compiled(RNN(OURS[cell](hidden)), lambda out: out[1], x)
    flax, them = compiled(nn.RNN(FLAX[cell](hidden)), lambda out: out, x)
    runs = {"ours": ours, "flax": flax, "products": products(cell, x, hidden)}
    if found := pytorch(cell, x, hidden):
        runs["torch"] = found
    lines = []
    for what in ("forward", "gradient"):
        seconds = in_turn({name: run[what] for name, run in runs.items()}, rounds)
        times = {name: [1e3 * t for t in found] for name, found in seconds.items()}
        ours_ms = times["ours"]
        line = {
            "cell": cell,
            "B, T, D, H": ", ".join(map(str, shape)),
            "pass": what,
            "ours ms": f"{statistics.median(ours_ms):.1f}",
            "Flax / ours": f"{ratio(times['flax'], ours_ms):.2f}",
            "PyTorch / ours": f"{ratio(times['torch'], ours_ms):.2f}" if found else "-",
            "ours / products": f"{ratio(ours_ms, times['products']):.2f}",
            "memory": "",
            "compile": "",
        }
        if what == "gradient":
            line["memory"] = f"{us['memory'] / them['memory']:.2f}"
            line["compile"] = f"{us['compile'] / them['compile']:.2f}"
        lines.append(line)
    return lines


def means(lines: list[dict]) -> list[dict]:
    """Geometric means over shapes, by cell and pass, and over cells."""
    found = []
    for cell in [*dict.fromkeys(line["cell"] for line in lines), "all"]:
        for what in ("forward", "gradient"):
            chosen = [
                line for line in lines if line["pass"] == what and cell in (line["cell"], "all")
            ]
            mean = {"geometric mean": cell, "pass": what}
            for name in ("Flax / ours", "PyTorch / ours", "ours / products"):
                values = [float(line[name]) for line in chosen if line[name] != "-"]
                mean[name] = f"{statistics.geometric_mean(values):.2f}" if values else "-"
            found.append(mean)
    return found


def main() -> None:
    """Print the tables, and write them where --save says."""
    parser = arguments(__doc__)
    parser.add_argument("--cells", nargs="+", choices=OURS, default=list(OURS))
    given = parser.parse_args()
    cases = [(cell, shape) for cell in given.cells for shape in SHAPES]
    lines: list[dict] = []
    for cell, shape in tqdm(cases, disable=not sys.stderr.isatty()):
        lines += row(cell, shape, given.rounds)
        tqdm.write("  ".join(lines[-1].values()), file=sys.stderr)
    publish("recurrent", "Recurrent layers", [lines, means(lines)], given.save)


if __name__ == "__main__":
    main()
