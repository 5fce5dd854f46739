"""Metrics of a run: to metrics.jsonl, to TensorBoard and to the terminal."""

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorboardX
from tqdm import tqdm

if TYPE_CHECKING:
    from .tracking import Tracker


def read_metrics(workdir: Path) -> list[dict[str, float]]:
    """Lines of metrics.jsonl; an incomplete last line is left out."""
    path = workdir / "metrics.jsonl"
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def final_metrics(workdir: Path, step: int) -> dict[str, float]:
    """All metrics of `step` in one dict, without the step."""
    lines = [line for line in read_metrics(workdir) if line["step"] == step]
    return {name: value for line in lines for name, value in line.items() if name != "step"}


class Metrics:
    """Writer of one attempt at a run, from `step` on (-1: the start); later lines are removed.

    metrics.jsonl contains nothing that depends on the clock, so an interrupted run ends with the
    same bytes as an uninterrupted one. name: prefix of the printed lines of several runs.
    """

    def __init__(self, workdir: Path, step: int, name: str = "", tracker: "Tracker | None" = None):
        earlier = [line for line in read_metrics(workdir) if line["step"] <= step]
        self.path, temporary = workdir / "metrics.jsonl", workdir / "metrics.jsonl.part"
        temporary.write_text("".join(json.dumps(line) + "\n" for line in earlier), encoding="utf-8")
        temporary.replace(self.path)
        self.board = tensorboardX.SummaryWriter(str(workdir), purge_step=step + 1)
        self.name, self.tracker = name, tracker
        self.began = time.perf_counter()
        self.last_speed = (self.began, max(step, 0))

    def write(self, step: int, prefix: str, values: Mapping[str, float], note: str = "") -> None:
        """Record values under `prefix/`; the line is on disk when this returns.

        So no checkpoint is ahead of it. Names with a slash are not printed; note is only printed.
        """
        named = {f"{prefix}/{name}": value for name, value in values.items()}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **named}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        for name, value in named.items():
            self.board.add_scalar(name, value, step)
        if self.tracker:
            self.tracker.log(step, named)
        text = "  ".join(f"{prefix}/{x} {value:.4f}" for x, value in values.items() if "/" not in x)
        tqdm.write(f"{self.name and self.name + '  '}step {step:>6}  {text}{note and '  ' + note}")
        sys.stdout.flush()

    def speed(self, step: int, batch_size: int) -> str:
        """Record steps per second since the last call, to TensorBoard alone.

        Returns a text with the seconds since the start of the attempt and the rows per second.
        """
        now = time.perf_counter()
        before, first = self.last_speed
        rate = (step - first) / (now - before)
        self.last_speed = (now, step)
        self.board.add_scalar("train/steps_per_second", rate, step)
        return f"({now - self.began:.0f} s, {rate * batch_size:,.0f} rows/s)"

    def close(self) -> None:
        """Close TensorBoard's file."""
        self.board.close()


def save_figures(workdir: Path, step: int, figures: Mapping[str, Any]) -> None:
    """Write each Figure as figures/NAME-STEP.png and each text as figures/NAME-STEP.txt."""
    folder = workdir / "figures"
    folder.mkdir(exist_ok=True)
    for name, figure in figures.items():
        stem = f"{name}-{step:07d}"
        if isinstance(figure, str):
            (folder / f"{stem}.txt").write_text(figure, encoding="utf-8")
        else:
            figure.savefig(folder / f"{stem}.png", dpi=120)
