"""Accuracy when every series begins later: printed and drawn by --mode=shift."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from data.catalogue import DataError
from data.series.labelled import EvaluationSeries, TimeSeries
from experiments.common.pictures import save
from train.evaluate import Predictor

NUMBER_OF_OFFSETS = 9


def accuracy_by_offset(predict: Predictor, test: TimeSeries) -> dict[int, float]:
    """Share of the series named right when all begin so many steps later, after rest.

    The offsets go up to two fifths of T; only series that fit at each of them count, and their
    number is printed. Raises DataError when none does.
    """
    steps = test.x.shape[1]
    offsets = np.unique(np.linspace(0, steps * 2 // 5, NUMBER_OF_OFFSETS).astype(int))
    fits = test.lengths + offsets[-1] <= steps
    if not fits.any():
        raise DataError(f"no series of the test leaves {offsets[-1]} of {steps} steps free")
    test, found = test.subset(fits), {}
    count = len(test.labels)
    print(f"{count} of {len(fits)} series of the test fit after {offsets[-1]} steps of rest")
    for offset in offsets.tolist():
        (batch,) = EvaluationSeries(test.delayed(np.full(count, offset)), count)
        found[offset] = float((np.argmax(predict(batch)[0], axis=1) == test.labels).mean())
    return found


def show_shift(lines: Mapping[str, Mapping[int, float]], picture: str) -> None:
    """Print accuracies by offset of each run by its name, and draw them into a file."""
    for name, found in lines.items():
        print(name)
        for offset, accuracy in found.items():
            print(f"{offset:4}  {accuracy:.4f}")
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axis = figure.subplots()
    for name, found in lines.items():
        axis.plot(list(found), list(found.values()), ".-", label=name)
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("steps of rest before the series")
    axis.set_ylabel("accuracy")
    axis.grid(alpha=0.3)
    figure.legend(loc="outside upper center", frameon=False)
    save(figure, picture)
