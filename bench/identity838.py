"""What many seeds of the 8-3-8 network have learned, as a Markdown table.

    python -m bench.identity838 --runs runs/identity838/run/seed=*

prints a row for each run: the first evaluation at which all patterns were reproduced, the number of
different rounded hidden activities at the end, and these activities for each pattern. The last
lines count the runs that learned.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from experiments.report.runs import Run, load_runs

PATTERNS = 8
HEADER = ("seed", "all patterns from step", "codes", "code of each pattern, 1 to 8")


def first_step(run: Run) -> int | None:
    """First step at which all patterns were reproduced; None if there is none."""
    curve = run.curve("patterns/reproduced")
    return next((step for step, count in curve.items() if count == PATTERNS), None)


def table(runs: Iterable[Run]) -> list[str]:
    """Lines of the table of some runs."""
    rows: list[Sequence[str]] = [HEADER, ["---"] * len(HEADER)]
    for run in runs:
        step, last = first_step(run), run.lines[-1]
        codes = [f"{int(last[f'patterns/code/{i + 1}']):03b}" for i in range(PATTERNS)]
        reached = f"{step:,}" if step is not None else "never"
        rows.append((str(run.config["seed"]), reached, str(len(set(codes))), " ".join(codes)))
    return ["| " + " | ".join(row) + " |" for row in rows]


def totals(runs: Sequence[Run]) -> list[str]:
    """Lines that count the runs with all patterns, and with as many codes as patterns, at the end.

    The steps are quartiles over the runs in which all patterns were reproduced at some time.
    """
    last = [run.lines[-1] for run in runs]
    whole = sum(line["patterns/reproduced"] == PATTERNS for line in last)
    distinct = sum(line["patterns/codes"] == PATTERNS for line in last)
    steps = [step for run in runs if (step := first_step(run)) is not None]
    lines = [f"{whole} of {len(runs)} runs end with all patterns, {distinct} with 8 codes"]
    if steps:
        low, middle, high = np.quantile(steps, [0.25, 0.5, 0.75]).tolist()
        lines.append(f"all patterns from step {middle:,.0f} (quartiles {low:,.0f}, {high:,.0f})")
        lines.append(f"earliest {min(steps):,}, latest {max(steps):,}")
    return lines


def main() -> None:
    """Print the table and the counts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="run directories")
    found = [run for folder in parser.parse_args().runs for run in load_runs(folder)]
    runs = sorted(found, key=lambda run: run.config["seed"])
    print("\n".join([*table(runs), "", *totals(runs)]))


if __name__ == "__main__":
    main()
