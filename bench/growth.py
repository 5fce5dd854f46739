"""Growth of time and memory with the length, batch, vocabulary, beam, devices, text and runs.

    taskset -c 0 python -m bench.growth             measure every row, up to its default limit
    python -m bench.growth --rows "text, again" status --most status=1000
    python -m bench.growth --most "text, first=10_000_000_000" --save=bench/growth.md

Each measurement is a process of its own. "seconds" is CPU time, the median of the rounds, which
hardly depends on what else the machine does; it is that of all threads, so dividing a step evenly
over virtual devices leaves it as it is. "MB" is the peak resident memory above that of a process
which has imported JAX, so it includes other imports and compilation. The exponents are those at the
three largest sizes: e of seconds = a size^e, by least squares of the logarithms, and e of
MB = a size^e + b, which is 0 if the last two differ by less than 8 MB.

The rows: "length" is the gradient of an LSTM of 128 units for 8 sequences, with remat_chunk near
the root of the length in "length, chunks"; "batch" the same at 128 steps. The softmaxes are steps
of word_lm, see `bench.softmax`. The beam search takes 20 steps for 8 rows, with beam 5 or 10,000
symbols. "devices" is a step of a language model of two layers of 128 units, batch 32, on virtual
devices. "text" is the preparation of char_lm's data and 200 batches, for a text in bytes that has
no file of ids yet, or has one. "sentences" is an epoch of batches in buckets, which must have few
shapes; "frames" the choice of these shapes for utterances of up to so many frames. "status" and
"report" read a folder of runs.
"""

import argparse
import contextlib
import io
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bench.growth_rows import ROWS, Row
from bench.tables import arguments, publish

LEAST = 8.0  # MB
PATIENCE = 20.0  # seconds after which a measurement takes no further round


def peak() -> float:
    """Highest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(row: Row, size: int, rounds: int) -> dict[str, float]:
    """Seconds and MB of one size, in this process."""
    jax.block_until_ready(jnp.zeros(1) + 1)
    before = peak()
    run = row.prepare(size)
    if not row.once:
        jax.block_until_ready(run())
    seconds: list[float] = []
    while len(seconds) < (1 if row.once else rounds) and sum(seconds) < PATIENCE:
        began = time.process_time()
        jax.block_until_ready(run())
        seconds.append(time.process_time() - began)
    return {"seconds": statistics.median(seconds), "MB": peak() - before}


def measure_apart(name: str, size: int, rounds: int) -> dict[str, float]:
    """Seconds and MB of one size of a row, in a process of its own with a temporary folder."""
    flags = os.environ.get("XLA_FLAGS", "")
    if name == "devices":
        flags += f" --xla_force_host_platform_device_count={size}"
    command = [sys.executable, "-m", "bench.growth", "--one", name, str(size), f"--rounds={rounds}"]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "XLA_FLAGS": flags, "GROWTH_FOLDER": folder}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def time_exponent(sizes: list[int], seconds: list[float]) -> str:
    """Slope of the logarithms of the last three sizes and times."""
    if len(sizes) < 2:
        return "-"
    return f"{np.polyfit(np.log(sizes[-3:]), np.log(seconds[-3:]), 1)[0]:.2f}"


def memory_exponent(sizes: list[int], megabytes: list[float]) -> str:
    """Exponent of the differences of the last three, whose sizes have one ratio."""
    if len(sizes) < 3:
        return "-"
    first, second = np.diff(megabytes[-3:])
    if second < LEAST:
        return "0"
    return f"{math.log(second / first) / math.log(sizes[-1] / sizes[-2]):.2f}" if first > 0 else "-"


def limits(texts: list[str]) -> dict[str, int]:
    """Largest size by row, from ROW=SIZE; ValueError for another row."""
    found = {}
    for text in texts:
        name, _, size = text.partition("=")
        if name not in ROWS:
            raise ValueError(f"--most names {name!r}; the rows are {', '.join(ROWS)}")
        found[name] = int(size)
    return found


def parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    options = arguments(__doc__)
    options.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS), help="rows")
    options.add_argument("--most", nargs="*", default=[], metavar="ROW=SIZE", help="largest sizes")
    options.add_argument("--one", nargs=2, help=argparse.SUPPRESS)  # of a process of a measurement
    return options


def main() -> None:
    """Measure the rows, print the tables, and write them to the file of --save."""
    options = parser().parse_args()
    if options.one:
        name, size = options.one
        with contextlib.redirect_stdout(io.StringIO()):
            measured = measure(ROWS[name], int(size), options.rounds)
        print(json.dumps(measured))
        return
    most = limits(options.most)
    points: list[dict[str, str]] = []
    found: list[dict[str, str]] = []
    for name in options.rows:
        row = ROWS[name]
        sizes = [size for size in row.sizes if size <= most.get(name, row.most)]
        values: list[dict[str, Any]] = []
        for size in sizes:
            values.append(measure_apart(name, size, options.rounds))
            cells = {"seconds": f"{values[-1]['seconds']:.3g}", "MB": f"{values[-1]['MB']:.0f}"}
            points.append({"what grows": name, "size": f"{size:,}", **cells})
            print("  ".join(points[-1].values()), file=sys.stderr, flush=True)
        seconds, memory = ([value[unit] for value in values] for unit in ("seconds", "MB"))
        found.append(
            {
                "what grows": name,
                "sizes": f"{sizes[0]:,} to {sizes[-1]:,}",
                "exponent of time": time_exponent(sizes, seconds),
                "exponent of memory": memory_exponent(sizes, memory),
            }
        )
    publish("growth", "Growth of time and memory", [found, points], options.save)


if __name__ == "__main__":
    main()
