"""Metrics of a run: to metrics.jsonl, to TensorBoard and to the terminal."""

import json
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm

from .background import Background
from .board import Board
from .config import ConfigError
from .files import append_text, replace_file


def read_metrics(workdir: Path) -> list[dict[str, float]]:
    """Lines of metrics.jsonl; an incomplete last line is left out.

    Raises ConfigError naming the file and the line when another line is damaged.
    """
    path = workdir / "metrics.jsonl"
    if not path.is_file():
        return []
    *lines, _incomplete = path.read_bytes().split(b"\n")
    values = []
    for number, line in enumerate(lines, 1):
        try:
            value = json.loads(line)
            if type(value["step"]) is not int:
                raise ValueError("its step is not a whole number")
        except (ValueError, TypeError, KeyError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else error
            raise ConfigError(f"{path}:{number}: this line is damaged: {reason}") from None
        values.append(value)
    return values


def check_evaluations(workdir: Path, name: str, steps: range) -> None:
    """Raise ConfigError when metrics.jsonl lacks a metric that a run wrote before its checkpoint.

    steps: the steps of the evaluations up to the checkpoint.
    """
    measured = {line["step"] for line in read_metrics(workdir) if name in line}
    if missing := set(steps) - measured:
        raise ConfigError(
            f"{workdir / 'metrics.jsonl'} has no {name} at step {min(missing)}, but there is a "
            f"later checkpoint: restore the file, or delete {workdir} to start again"
        )


def final_metrics(workdir: Path, step: int) -> dict[str, float]:
    """All metrics of `step` in one dict, without the step."""
    lines = [line for line in read_metrics(workdir) if line["step"] == step]
    return {name: value for line in lines for name, value in line.items() if name != "step"}


def printed(value: float) -> str:
    """Four decimals, or three digits of a number that these would hide."""
    return f"{value:.2e}" if 0 < abs(value) < 1e-3 else f"{value:.4f}"


def printed_line(step: int, prefix: str, values: Mapping[str, float], note: str = "") -> str:
    """Line of 100 columns, continued below; values before a note are means, with three digits."""
    shown = {name: value for name, value in values.items() if "/" not in name}
    texts = [f"{x:#.3g}".rstrip(".") if note else printed(x) for x in shown.values()]
    words = [f"step {step:>6}", prefix, *map(" ".join, zip(shown, texts, strict=True)), note]
    # a name stays on one line with its value
    line = "  ".join(word.replace(" ", "\0") for word in words).replace("learning_rate", "lr")
    wrap = textwrap.TextWrapper(100, "", " " * 13, break_long_words=False, break_on_hyphens=False)
    return wrap.fill(line).replace("\0", " ")


class Metrics:
    """Writer of one attempt at a run, from `step` on (-1: the start); later lines are removed.

    metrics.jsonl contains nothing that depends on the clock, so an interrupted run ends with the
    same bytes as an uninterrupted one. name: prefix of the printed lines of several runs.
    """

    def __init__(self, workdir: Path, step: int, name: str = "", tracker: Background | None = None):
        earlier = [line for line in read_metrics(workdir) if line["step"] <= step]
        self.path = workdir / "metrics.jsonl"
        replace_file(self.path, "".join(json.dumps(line) + "\n" for line in earlier))
        self.board = Background("TensorBoard", lambda: Board(workdir))
        self.board.call("purge", step + 1)
        self.name, self.tracker = name, tracker
        self.began = time.perf_counter()
        self.last_speed = (self.began, max(step, 0))

    def write(self, step: int, prefix: str, values: Mapping[str, float], note: str = "") -> None:
        """Record values under `prefix/`; the line is on disk when this returns.

        So no checkpoint is ahead of it. Names with a slash are not printed; note is only printed.
        """
        named = {f"{prefix}/{name}": value for name, value in values.items()}
        append_text(self.path, json.dumps({"step": step, **named}) + "\n")
        self.board.call("scalars", step, named)
        if self.tracker:
            self.tracker.call("log", step, named)
        tqdm.write(f"{self.name and self.name + '  '}{printed_line(step, prefix, values, note)}")
        sys.stdout.flush()

    def speed(self, step: int, batch_size: int) -> str:
        """Record steps per second since the last call, to TensorBoard alone.

        Returns a text with the seconds since the start of the attempt and the rows per second.
        """
        now = time.perf_counter()
        before, first = self.last_speed
        rate = (step - first) / (now - before)
        self.last_speed = (now, step)
        self.board.call("scalars", step, {"train/steps_per_second": rate})
        return f"({now - self.began:.0f} s, {rate * batch_size:,.0f} rows/s)"

    def close(self) -> None:
        """Close TensorBoard's file."""
        self.board.close()
