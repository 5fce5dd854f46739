"""Time saved by processing a grid by hyperplanes: MDRNN against the same equations cell by cell.

    python -m bench.multidim                        print the table
    python -m bench.multidim --save=bench/multidim.md

The network is an LSTM with 32 features in four directions, on 28 x 28 images with one channel. The
plain loop is a compiled scan over rows of a scan over columns. The two are timed alternately in one
process, for the forward pass and for the gradient of all parameters; the table gives the medians
and their ratio. With a batch of one, the number of steps limits the speed, and hyperplanes reduce
it. With a batch of 128 on a CPU, arithmetic limits the speed; hyperplanes would need twice as much
of it, as half of the skewed grid is empty, so grids are put side by side.
"""

import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from bench.tables import arguments, publish
from nets.recurrent.grid import MDRNN
from nets.recurrent.hyperplanes import corners

SIZE, HIDDEN = 28, 32


def plain(variables, x):
    """Run the double loop over x [B, S, S, 1]; return outputs [B, S, S, 4 H]."""
    params, outputs = variables["params"], []
    for k, signs in enumerate(corners(2, 4)):
        w = jax.tree.map(lambda a, k=k: a[k], params)
        flips = [axis + 1 for axis in range(2) if signs[axis] < 0]
        zeros = jnp.zeros((len(x), HIDDEN))

        def cell(left, t, w=w):
            x, above = t
            total = x @ w["kernel"] + w["bias"]
            total += above[1] @ w["recurrent_kernel"][0] + left[1] @ w["recurrent_kernel"][1]
            i, f_above, f_left, g, o = jnp.split(total, 5, axis=-1)
            c = nn.sigmoid(i) * jnp.tanh(g)
            c += nn.sigmoid(f_above) * above[0] + nn.sigmoid(f_left) * left[0]
            state = (c, nn.sigmoid(o) * jnp.tanh(c))
            return state, state

        def row(above, x, cell=cell, zeros=zeros):
            _, states = jax.lax.scan(cell, (zeros, zeros), (x, above))
            return states, states[1]

        border = jnp.zeros((SIZE, len(x), HIDDEN))
        grid = jnp.flip(x, flips).transpose(1, 2, 0, 3)
        _, h = jax.lax.scan(row, (border, border), grid)
        outputs.append(jnp.flip(h.transpose(2, 0, 1, 3), flips))
    return jnp.concatenate(outputs, axis=-1)


def seconds(run, *arguments) -> float:
    """Time one call."""
    began = time.perf_counter()
    jax.block_until_ready(run(*arguments))
    return time.perf_counter() - began


def main() -> None:
    """Print the table, and write it to the file given by --save."""
    options = arguments(__doc__).parse_args()
    net = MDRNN(HIDDEN)

    def ours(variables, x):
        return net.apply(variables, x)[1]

    lines = []
    for batch in (1, 16, 128):
        x = jnp.asarray(np.random.default_rng(0).normal(size=(batch, SIZE, SIZE, 1)), jnp.float32)
        variables = net.init(jax.random.key(0), x)
        error = jnp.abs(jax.jit(ours)(variables, x) - jax.jit(plain)(variables, x)).max()
        if error > 1e-4:
            raise ValueError(f"the two networks differ by {error}")
        for kind in ("forward", "gradient"):
            pair = [plain, ours]
            if kind == "gradient":
                # a sum of squares, so that the gradient depends on every output
                pair = [jax.grad(lambda v, x, run=run: jnp.square(run(v, x)).sum()) for run in pair]
            pair = [jax.jit(run) for run in pair]
            for run in pair:
                seconds(run, variables, x)
            times = [[seconds(run, variables, x) for run in pair] for _ in range(options.rounds)]
            loop, fast = (statistics.median(t) * 1e3 for t in zip(*times, strict=True))
            line = {"batch": str(batch), "pass": kind, "loop ms": f"{loop:.1f}"}
            lines.append({**line, "ours ms": f"{fast:.1f}", "loop / ours": f"{loop / fast:.2f}"})
            print("  ".join(lines[-1].values()), file=sys.stderr, flush=True)
    title = f"Two-dimensional LSTM, {SIZE} x {SIZE}, H {HIDDEN}, four directions"
    publish("multidim", title, [lines], options.save)


if __name__ == "__main__":
    main()
