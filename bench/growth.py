"""Growth of time and memory with the length, batch, vocabulary, beam, devices, text and runs.

    taskset -c 0 python -m bench.growth --save=bench/growth.md
    taskset -c 0 python -m bench.growth --rows status report --save=bench/growth.md
    python -m bench.growth --rows "text, first" status --most status=1000

The second command replaces two rows of the file and keeps the others, if they are of this machine.
The file is written after each measurement, so an interruption loses one.

Each measurement is a process of its own. "seconds" is CPU time, the median of the rounds, which
hardly depends on what else the machine does; it is that of all threads, so dividing a step evenly
over virtual devices leaves it as it is. "MB" is the peak resident memory above that of a process
which has imported JAX, so it includes other imports and compilation, and a small size may run in
memory that compilation has freed. The exponents are those at the three largest sizes: e of
seconds = a size^e, by least squares of the logarithms, and e of MB = a size^e + b, which is 0 if
the last two differ by less than 8 MB.

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
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from bench.growth_rows import ROWS, Row
from bench.tables import Page, Table, arguments, read_page, setup
from train.process import keep_freed_memory

TITLE = "Growth of time and memory"
COMMAND = "taskset -c 0 python -m bench.growth --save=bench/growth.md"
LEAST = 8.0  # MB
PATIENCE = 20.0  # seconds after which a measurement takes no further round


def peak() -> float:
    """Highest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(row: Row, size: int, rounds: int) -> dict[str, float]:
    """Seconds, MB and number of rounds of one size, in this process."""
    keep_freed_memory()  # as every command of an experiment does
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
    return {
        "seconds": statistics.median(seconds),
        "MB": peak() - before,
        "rounds": len(seconds),
    }


def measure_apart(name: str, size: int, rounds: int) -> dict[str, float]:
    """Measure one size of a row in a process of its own, with a temporary folder."""
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


def exponents(name: str, points: Table) -> dict[str, str]:
    """Line of the exponents of a row; its note also says up to which size the row is measured."""
    row = ROWS[name]
    sizes = [int(point["size"].replace(",", "")) for point in points]
    seconds, memory = ([float(point[unit]) for point in points] for unit in ("seconds", "MB"))
    short = f"not measured above {sizes[-1]:,}" if sizes[-1] < row.sizes[-1] else ""
    return {
        "what grows": name,
        "sizes": f"{sizes[0]:,} to {sizes[-1]:,}",
        "exponent of time": time_exponent(sizes, seconds),
        "expected of time": row.time,
        "exponent of memory": memory_exponent(sizes, memory),
        "expected of memory": row.memory,
        "note": "; ".join(filter(None, (row.note, short))),
    }


def tables(points: Mapping[str, Table]) -> list[Table]:
    """Tables of the exponents and of the points, in the order of ROWS."""
    names = [name for name in ROWS if points.get(name)]
    found = [exponents(name, points[name]) for name in names]
    return [found, [point for name in names for point in points[name]]]


def kept(save: Path | None, rows: Collection[str]) -> dict[str, Table]:
    """Points by row that the file already has and `rows` does not replace.

    Raises ValueError when these come from another machine or version of jax.
    """
    if not save or not save.exists():
        return {}
    page = read_page(save)
    points: dict[str, Table] = {}
    for point in page.tables[1]:
        if point["what grows"] not in rows:
            points.setdefault(point["what grows"], []).append(point)
    if points and page.setup != setup():
        raise ValueError(f"{save} is of {page.setup}, and this is {setup()}: save another file")
    return points


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
    options.set_defaults(rounds=3)
    options.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS), help="rows")
    options.add_argument("--most", nargs="*", default=[], metavar="ROW=SIZE", help="largest sizes")
    options.add_argument("--one", nargs=2, help=argparse.SUPPRESS)  # of a process of a measurement
    return options


def main() -> None:
    """Measure the rows; after each size, write all tables to the file of --save."""
    options = parser().parse_args()
    if options.one:
        name, size = options.one
        with contextlib.redirect_stdout(io.StringIO()):
            measured = measure(ROWS[name], int(size), options.rounds)
        print(json.dumps(measured))
        return
    # SystemExit ends the process of the measurement and removes its folder
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    most = limits(options.most)
    points = kept(options.save, options.rows)
    for name in options.rows:
        points[name] = []
        for size in ROWS[name].sizes:
            if size > most.get(name, size):
                break
            value = measure_apart(name, size, options.rounds)
            cells = {"seconds": f"{value['seconds']:.3g}", "MB": f"{value['MB']:.0f}"}
            cells["rounds"] = f"{value['rounds']:.0f}"
            points[name].append({"what grows": name, "size": f"{size:,}", **cells})
            print("  ".join(points[name][-1].values()), file=sys.stderr, flush=True)
            if options.save:
                # the command of the whole file, whose rows may have been measured one by one
                page = Page(TITLE, COMMAND, setup(), tables(points))
                options.save.write_text(page.text(), encoding="utf-8")
    print(Page(TITLE, COMMAND, setup(), tables(points)).measured(), end="")


if __name__ == "__main__":
    main()
