"""Means with intervals, over seeds and over differences on the same seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import stdtrit  # the quantile of Student's t; scipy.stats loads slowly


def mean_interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and half its 95 % interval (Student's t), which is None for fewer than two values."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None
    with np.errstate(invalid="ignore"):  # an infinite perplexity has interval NaN
        error = float(np.std(values, ddof=1)) / len(values) ** 0.5
    return mean, float(stdtrit(len(values) - 1, 0.975)) * error


def differences(values: Mapping[int, float], baseline: Mapping[int, float]) -> list[float]:
    """Return values - baseline at each common seed."""
    return [values[seed] - baseline[seed] for seed in values if seed in baseline]


def paired_difference(
    values: Mapping[int, float], baseline: Mapping[int, float]
) -> tuple[float | None, float | None, int]:
    """Mean of values - baseline over common seeds, half its 95 % interval, and their number.

    The mean is None without common seeds, the interval (Student's t) with fewer than two.
    """
    pairs = differences(values, baseline)
    return (*mean_interval(pairs), len(pairs)) if pairs else (None, None, 0)


def mean_seconds(results: Sequence[dict[str, Any]]) -> float | None:
    """Mean time of a run in seconds; None if a run was killed, which makes its time unknown."""
    seconds = [result["seconds"] for result in results]
    return None if None in seconds else float(np.mean(seconds))
