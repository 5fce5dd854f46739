"""Means with intervals, worked out by hand."""

import math

import numpy as np
import pytest

from experiments.report.intervals import mean_interval, paired_difference


def test_interval_is_that_of_students_t():
    mean, half = mean_interval([1.0, 2.0, 4.5])
    assert mean == 2.5
    # t(0.975, 2) = 4.302653, standard deviation of the three 1.8027756
    assert half == pytest.approx(4.302653 * 1.8027756 / np.sqrt(3), rel=1e-6)
    assert mean_interval([3.0]) == (3.0, None)
    assert mean_interval([2.0, 2.0, 2.0]) == (2.0, 0.0)
    mean, half = mean_interval([1.0, math.inf])
    assert mean == math.inf
    assert math.isnan(half)


def test_pairs_are_those_of_common_seeds():
    values = {0: 1.0, 1: 2.0, 2: 4.0, 5: 9.0}
    baseline = {2: 3.5, 0: 0.5, 1: 3.5, 4: 7.0}
    mean, half, count = paired_difference(values, baseline)
    # differences 0.5, -1.5, 0.5: mean -1/6, variance 4/3, t(0.975, 2) = 4.302653
    assert mean == pytest.approx(-1 / 6)
    assert half == pytest.approx(4.302653 * math.sqrt(4 / 3 / 3), rel=1e-6)
    assert count == 3


def test_pairing_removes_what_the_seeds_share():
    values = {seed: 10.0 * seed + 1 for seed in range(4)}
    baseline = {seed: 10.0 * seed for seed in range(4)}
    assert paired_difference(values, baseline) == (1.0, 0.0, 4)
    # unpaired: 1, 11, 21, 31 has variance 500 / 3, t(0.975, 3) = 3.182446
    half = mean_interval(list(values.values()))[1]
    assert half == pytest.approx(3.182446 * math.sqrt(500 / 3 / 4), rel=1e-6)


def test_pairs_without_a_common_seed_and_with_one():
    assert paired_difference({0: 1.0}, {1: 1.0}) == (None, None, 0)
    assert paired_difference({0: 1.0}, {}) == (None, None, 0)
    assert paired_difference({0: 1.0, 1: 5.0}, {0: 0.5}) == (0.5, None, 1)
    assert paired_difference({0: 1.0, 1: 5.0}, {0: 1.0, 1: 5.0}) == (0.0, 0.0, 2)
