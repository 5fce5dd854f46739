"""The code of the identity network: --mode=code, and its history, --mode=history."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.common.pictures import save
from train.metrics import read_metrics
from train.trained import TrainedRun

STYLES = ("-", "--", "-.", ":")
PANELS = {  # by the names of the recorded numbers
    "error": ("squared error of each output unit", "sum of squared errors over the patterns"),
    "hidden": ("hidden code of the input 01000000", "activity of the hidden unit"),
    "weight": ("weights into hidden unit 1", "weight"),
}


def bits(values: np.ndarray) -> str:
    """Rounded activities as a text of 0 and 1."""
    return "".join("1" if value > 0.5 else "0" for value in values)


def code_table(hidden: np.ndarray, outputs: np.ndarray) -> str:
    """Return a line for each pattern: input, hidden activities [H], their code, and outputs [8]."""
    lines = [
        f"{bits(pattern)}  {' '.join(f'{value:.2f}' for value in h)}  {bits(h)}  {bits(o)}"
        for pattern, h, o in zip(np.eye(len(outputs)), hidden, outputs, strict=True)
    ]
    return "\n".join(lines) + "\n"


def print_code(run: TrainedRun) -> None:
    """Print the input, hidden activities, code and rounded outputs of each pattern."""
    print(code_table(*run.task.activities(run.predict)), end="", flush=True)


def history(run: TrainedRun) -> None:
    """Draw errors, hidden activities and weights against steps, as recorded in training."""
    lines = [line for line in read_metrics(run.workdir) if "patterns/loss" in line]
    save(draw_history(lines), run.config.picture)
    complete = [int(line["step"]) for line in lines if line["patterns/reproduced"] == 8]
    first = f"first at step {complete[0]:,}" if complete else "at no evaluation"
    print(f"all patterns reproduced {first}")
    print(f"wrote {run.config.picture}")


def draw_history(lines: Sequence[Mapping[str, float]]) -> Figure:
    """Draw the three panels of PANELS from the lines of evaluations."""
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    for axis, (name, (title, label)) in zip(figure.subplots(1, 3), PANELS.items(), strict=True):
        prefix = f"patterns/{name}/"
        draw_curves(axis, lines, sorted(key for key in lines[-1] if key.startswith(prefix)))
        axis.set_title(title, fontsize=10)
        axis.set_ylabel(label)
    return figure


def draw_curves(axis: Axes, lines: Sequence[Mapping[str, float]], names: Sequence[str]) -> None:
    """Draw each of some numbers against the step, with its number in the legend."""
    steps = [line["step"] for line in lines]
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(names)))
    for i, (name, colour) in enumerate(zip(names, colours, strict=True)):
        number = name.rpartition("/")[2]
        label = "bias" if name.endswith("weight/0") else number
        axis.plot(
            steps, [line[name] for line in lines], STYLES[i % 4], color=colour, lw=1.4, label=label
        )
    axis.set_xlabel("gradient steps (one pattern each)")
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.legend(fontsize=8, ncols=5, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.13))
    axis.grid(alpha=0.3)
