"""Networks that are built for a Boolean function: their size, and trained ones beside them."""

from typing import NamedTuple

import jax
import numpy as np
from matplotlib.figure import Figure

from data.tabular.boolean import FUNCTIONS, all_inputs, function_values
from experiments.common.output import picture_of, save_to
from nets.feedforward.boolean import BooleanNetwork, boolean_network
from train.drawing import MARKERS, legend_below, line_style
from train.trained import TrainedRun

CHECKED = 12  # inputs of a network of at most 4,096 hidden units, which is evaluated on all inputs
TABLE = 10  # inputs of the largest network of the table


evaluate = jax.jit(BooleanNetwork.__call__)


class Built(NamedTuple):
    """Number of hidden units, and the values float32 [2^D]; None if it is too large to evaluate."""

    units: int
    values: np.ndarray | None


def built_network(x: np.ndarray, y: np.ndarray) -> Built:
    """Build the network of a function with values y [2^D] for all inputs x [2^D, D]."""
    network = boolean_network(x, y)
    values = np.asarray(evaluate(network, x)) if x.shape[1] <= CHECKED else None
    return Built(len(network.patterns), values)


def describe(x: np.ndarray, y: np.ndarray) -> str:
    """One line on the network that is built for a function."""
    built = built_network(x, y)
    text = f"built network: {built.units} hidden units for {x.shape[1]} inputs"
    if built.values is None:
        return f"{text}, too large to be evaluated on all {len(x)} inputs"
    return f"{text}, right on {(built.values == y).sum()} of {len(x)} inputs"


def tables_picture(tables: dict[str, np.ndarray], inputs: int) -> Figure:
    """Draw values [2^inputs] by name; the first half of the inputs selects the row."""
    figure = Figure(figsize=(3.2 * len(tables) + 0.6, 3.6), layout="constrained")
    axes = figure.subplots(1, len(tables), squeeze=False)[0]
    rows = 2 ** (inputs // 2)
    for axis, (name, values) in zip(axes, tables.items(), strict=True):
        image = axis.imshow(values.reshape(rows, -1), cmap="cividis", vmin=-1, vmax=1)
        axis.set(title=name, xticks=(), yticks=())
        axis.set_xlabel(f"last {inputs - inputs // 2} inputs, {len(values) // rows} columns")
        axis.set_ylabel(f"first {inputs // 2} inputs, {rows} rows")
    figure.colorbar(image, ax=axes, label="value", shrink=0.8)
    return figure


def units_picture(units: dict[str, list[int]]) -> Figure:
    """Draw the hidden units for 1, 2, ... inputs by the name of a function, on a log scale."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axis = figure.subplots()
    for i, (name, counts) in enumerate(units.items()):
        style = {**line_style(i), "marker": MARKERS[i]}
        axis.plot(range(1, len(counts) + 1), counts, **style, label=name)
    axis.set(yscale="log", xlabel="inputs D", ylabel="hidden units")
    axis.set_title("hidden units of the network that is built for a function")
    axis.grid(alpha=0.3)
    legend_below(axis, ncols=len(units))
    return figure


def construction(run: TrainedRun) -> None:
    """Print and draw the number of hidden units of built networks, beside the trained network."""
    config = run.config
    output = picture_of(run, "construction")
    units: dict[str, list[int]] = {name: [] for name in FUNCTIONS}
    print(f"{'inputs':>6}" + "".join(f"{name:>10}" for name in FUNCTIONS) + "  hidden units")
    for count in range(1, TABLE + 1):
        x = all_inputs(count)
        for name in FUNCTIONS:
            y = function_values(name, x, config.seed)
            built = built_network(x, y)
            if built.values is None or (built.values != y).any():
                raise ArithmeticError(f"the network built for {name} of {count} inputs is wrong")
            units[name].append(built.units)
        print(f"{count:>6}" + "".join(f"{units[name][-1]:>10}" for name in FUNCTIONS))
    print("every network above is right on all of its inputs")
    x, y = all_inputs(config.inputs), run.task.values
    print(f"{config.dataset}: {describe(x, y)}")
    outputs = np.asarray(run.predict({"x": x, "t": y})[0])[:, 0]
    right = int((outputs * y > 0).sum())
    print(f"trained network: {config.hidden} hidden units, right on {right} of {len(x)} inputs")
    print(f"picture: {save_to(output, units_picture(units))}")
