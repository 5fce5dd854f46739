"""Cost of recurrent layers: ours, Flax's, PyTorch's if installed, and the matrix products alone.

    python -m bench.recurrent                       print the table
    python -m bench.recurrent --save=bench/recurrent.md
    python -m bench.recurrent --tune                write thresholds for this machine

For each cell and shape, one forward pass and one gradient step (of the sum of squared outputs with
respect to parameters and inputs) are timed in float32, alternately in one process. Ratios are
medians over rounds of (other time / our time), with their quartiles: above 1, ours is faster.
"products" are the matrix products that any implementation needs, in a scan of their own; their
ratio is ours / products.
Memory and compile time of the gradient step are given as ours / Flax's.
"""

import importlib
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from tqdm import tqdm

from bench import tuning
from bench.tables import arguments, publish
from bench.timing import in_turn, spread
from nets.recurrent.cells import ElmanCell, GRUCell, LSTMCell
from nets.recurrent.layers import RNN

SHAPES = ((64, 100, 256, 256), (32, 64, 512, 512), (50, 50, 128, 128), (128, 32, 100, 100))
OURS = {
    "rnn": ElmanCell,
    "gru": lambda features: GRUCell(features, reset_after=True),  # as in Flax and PyTorch
    "lstm": LSTMCell,
}
FLAX = {"rnn": nn.SimpleCell, "gru": nn.GRUCell, "lstm": nn.OptimizedLSTMCell}
GATES = {"rnn": 1, "gru": 3, "lstm": 4}

Timed = dict[str, Callable[[], object]]


def compiled(layer: nn.Module, output: Callable, x) -> tuple[Timed, dict[str, float]]:
    """Compile a layer; return its two runs, and memory and compile time of its gradient step."""
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
    """Return runs of the products of a gradient step: x U, h W, d W^T, h^T d, x^T d, d U^T."""
    batch, time_, size = x.shape
    columns = GATES[cell] * hidden
    kernel = jnp.full((size, columns), 1e-3)
    recurrent = jnp.full((hidden, columns), 1e-3)
    across = (((1,), (1,)), ((), ()))
    down = (((0,), (0,)), ((), ()))

    def forward(x):
        rows = jnp.swapaxes(x, 0, 1).reshape(-1, size) @ kernel

        def step(h, d):  # the sum prevents XLA from moving the product out of the loop
            h = (h @ recurrent)[:, :hidden] + d[:, :hidden]
            return h, h

        return rows, lax.scan(step, jnp.zeros((batch, hidden)), rows.reshape(time_, batch, -1))

    def gradient(x):
        rows, (last, h) = forward(x)

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

    compiled_forward, compiled_gradient = jax.jit(forward), jax.jit(gradient)
    return {"forward": lambda: compiled_forward(x), "gradient": lambda: compiled_gradient(x)}


def pytorch(cell: str, x, hidden: int) -> Timed:
    """Return runs of PyTorch's layer, or nothing if PyTorch is not installed."""
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
    """Compare all layers for one cell and shape; return a line for each pass."""
    batch, time_, size, hidden = shape
    x = jax.random.normal(jax.random.key(1), (batch, time_, size))
    runs: dict[str, Timed] = {}
    ours, our_cost = compiled(RNN(OURS[cell](hidden)), lambda out: out[1], x)
    flax, flax_cost = compiled(nn.RNN(FLAX[cell](hidden)), lambda out: out, x)
    runs = {"ours": ours, "flax": flax, "products": products(cell, x, hidden)}
    if torch := pytorch(cell, x, hidden):
        runs["torch"] = torch
    lines = []
    for kind in ("forward", "gradient"):
        seconds = in_turn({name: run[kind] for name, run in runs.items()}, rounds)
        times = {name: [1e3 * t for t in values] for name, values in seconds.items()}
        ours_ms = times["ours"]
        line = {
            "cell": cell,
            "B, T, D, H": ", ".join(map(str, shape)),
            "pass": kind,
            "ours ms": f"{statistics.median(ours_ms):.1f}",
            "Flax / ours": spread(times["flax"], ours_ms),
            "PyTorch / ours": spread(times["torch"], ours_ms) if torch else "-",
            "ours / products": spread(ours_ms, times["products"]),
            "memory": "",
            "compile": "",
        }
        if kind == "gradient":
            for cost in ("memory", "compile"):
                line[cost] = f"{our_cost[cost] / flax_cost[cost]:.2f}"
        lines.append(line)
    return lines


def means(lines: list[dict]) -> list[dict]:
    """Geometric means over shapes, for each cell and pass, and over all cells."""
    rows = []
    for cell in [*dict.fromkeys(line["cell"] for line in lines), "all"]:
        for kind in ("forward", "gradient"):
            chosen = [
                line for line in lines if line["pass"] == kind and cell in (line["cell"], "all")
            ]
            mean = {"geometric mean": cell, "pass": kind}
            for name in ("Flax / ours", "PyTorch / ours", "ours / products"):
                values = [float(line[name].split()[0]) for line in chosen if line[name] != "-"]
                mean[name] = f"{statistics.geometric_mean(values):.2f}" if values else "-"
            rows.append(mean)
    return rows


def main() -> None:
    """Print the tables, and write them to the file given by --save."""
    parser = arguments(__doc__)
    parser.add_argument("--cells", nargs="+", choices=OURS, default=list(OURS))
    parser.add_argument(
        "--tune",
        type=Path,
        nargs="?",
        const=tuning.default_file(),
        help="write the thresholds of nets/choices.py that are fastest here to this file",
    )
    options = parser.parse_args()
    if options.tune:
        cells = {cell: OURS[cell] for cell in options.cells}
        tuning.tune(tuning.layers_of(cells, SHAPES), options.rounds, options.tune)
        return
    cases = [(cell, shape) for cell in options.cells for shape in SHAPES]
    lines: list[dict] = []
    for cell, shape in tqdm(cases, disable=not sys.stderr.isatty()):
        lines += row(cell, shape, options.rounds)
        tqdm.write("  ".join(lines[-1].values()), file=sys.stderr)
    publish("recurrent", "Recurrent layers", [lines, means(lines)], options.save)


if __name__ == "__main__":
    main()
