"""Accuracy on delayed series: --mode=shift."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from data.catalogue import DataError
from data.series.labelled import EvaluationSeries, TimeSeries
from experiments.common.output import save_to
from train.drawing import MARKERS, line_style
from train.evaluate import Predictor
from train.output import Output

NUMBER_OF_OFFSETS = 9


def accuracy_by_offset(predict: Predictor, test: TimeSeries) -> dict[int, float]:
    """Accuracy on test series delayed by steps of rest, by the number of these steps.

    The offsets go up to two fifths of T. Only series that are short enough for all of them count;
    their number is printed. Raises DataError if there are none.
    """
    steps = test.x.shape[1]
    offsets = np.unique(np.linspace(0, steps * 2 // 5, NUMBER_OF_OFFSETS).astype(int))
    fits = test.lengths + offsets[-1] <= steps
    if not fits.any():
        raise DataError(f"no test series has {offsets[-1]} of its {steps} steps free for a delay")
    test, accuracies = test.subset(fits), {}
    count = len(test.labels)
    print(f"{count} of {len(fits)} test series leave room for a delay of {offsets[-1]} steps")
    for offset in offsets.tolist():
        (batch,) = EvaluationSeries(test.delayed(np.full(count, offset)), count)
        accuracies[offset] = float((np.argmax(predict(batch)[0], axis=1) == test.labels).mean())
    return accuracies


def report_shift(runs: Mapping[str, Mapping[int, float]], picture: Output) -> None:
    """Print the accuracies by offset of each run, and draw them into a file."""
    for name, accuracies in runs.items():
        print(name)
        for offset, accuracy in accuracies.items():
            print(f"{offset:4}  {accuracy:.4f}")
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axis = figure.subplots()
    for i, (name, accuracies) in enumerate(runs.items()):
        style = {**line_style(i), "marker": MARKERS[i % len(MARKERS)], "clip_on": False}
        axis.plot(list(accuracies), list(accuracies.values()), **style, ms=4, label=name)
    axis.set_title("single runs on delayed test series")
    axis.set_ylim(0, 1)
    axis.set_xlabel("delay of the series, in steps")
    axis.set_ylabel("accuracy")
    axis.grid(alpha=0.3)
    figure.legend(loc="outside upper center", frameon=False, handlelength=3.5)
    print(f"picture: {save_to(picture, figure)}")
