"""The code of the identity network: --mode=code, and its history, --mode=history."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.common.output import picture_of, save_to
from train.drawing import legend_below, line_style
from train.metrics import read_metrics
from train.trained import TrainedRun

PANELS = {  # by the names of the recorded numbers: title, axis, and what the lines are
    "error": (
        "squared error of each output unit",
        "sum of squared errors over the patterns",
        "output unit",
    ),
    "hidden": ("hidden code of the input 01000000", "activity", "hidden unit"),
    "weight": ("weights into hidden unit 1", "weight", "from input"),
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
    path = save_to(picture_of(run, "history"), draw_history(lines))
    complete = [int(line["step"]) for line in lines if line["patterns/reproduced"] == 8]
    first = f"first at step {complete[0]:,}" if complete else "at no evaluation"
    print(f"all patterns reproduced {first}")
    print(f"wrote {path}")


def draw_history(lines: Sequence[Mapping[str, float]]) -> Figure:
    """Draw the three panels of PANELS from the lines of evaluations."""
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    panels = zip(figure.subplots(1, 3), PANELS.items(), strict=True)
    for axis, (name, (title, label, lines_are)) in panels:
        prefix = f"patterns/{name}/"
        names = sorted(key for key in lines[-1] if key.startswith(prefix))
        draw_curves(axis, lines, names, lines_are)
        axis.set_title(title, fontsize=10)
        axis.set_ylabel(label)
    return figure


def draw_curves(
    axis: Axes, lines: Sequence[Mapping[str, float]], names: Sequence[str], title: str
) -> None:
    """Draw each of some numbers against the step, with its number in a legend with a title."""
    steps = [line["step"] for line in lines]
    for i, name in enumerate(names):
        number = name.rpartition("/")[2]
        label = "bias" if name.endswith("weight/0") else number
        axis.plot(steps, [line[name] for line in lines], **line_style(i), lw=1.4, label=label)
    axis.set_xlabel("gradient steps (one pattern each)")
    axis.xaxis.set_major_formatter("{x:,.0f}")
    legend_below(axis, title=title, fontsize=8, title_fontsize=8, ncols=5)
    axis.grid(alpha=0.3)
