"""Tests of differences: p-values against scipy, corrections against numbers worked out by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from experiments.report.significance import holm, p_value, verdicts
from experiments.report.tables import make_table


@pytest.mark.parametrize("pairs", [3, 5, 30])
def test_p_value_is_that_of_scipy(pairs):
    first, second = np.random.default_rng(pairs).normal([[0.0], [0.7]], size=(2, pairs))
    expected = stats.ttest_rel(first, second).pvalue
    assert p_value(list(first - second)) == pytest.approx(expected, rel=1e-12)
    assert p_value(list(second - first)) == pytest.approx(expected, rel=1e-12)


def test_correction_is_that_of_holm():
    # sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1 is 0.04, 0.06, 0.06, 0.04; none decreases
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.001, 0.5, 0.9]) == pytest.approx([0.003, 1.0, 1.0])
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_words_say_which_differences_are_significant():
    strong, weak = [-1.0, -1.1, -0.9, -1.05], [0.4, 0.5, 0.2, 0.1]
    alone = stats.ttest_1samp(weak, 0).pvalue
    assert verdicts([weak]) == [f"higher (p = {alone:.3f})"]
    assert 0.05 / 2 < alone < 0.05  # significant alone, but not as the larger one of three
    noise = [1.0, -1.0, 2.0, -2.0]
    assert verdicts([strong, weak, noise, [0.4, 0.5]]) == [
        "lower (p < 0.001)",
        f"no difference shown (p = {2 * alone:.3f})",
        "no difference shown (p = 1.000)",
        "too few pairs",  # and no comparison
    ]
    assert verdicts([]) == []


def test_differences_without_a_spread_or_a_mean_are_not_tested():
    assert verdicts([[0.0, 0.0, 0.0], [0.3 - 0.2, 0.2 - 0.1, 0.1], [math.inf, 1.0, 2.0]]) == [
        "all pairs differ equally",
        "all pairs differ equally",
        "not finite",
    ]


def test_table_has_the_words_of_each_row(run_of):
    from experiments.report.runs import group_runs

    losses = {"gru": (1.0, 1.5, 2.0), "rnn": (2.0, 2.6, 2.9), "lstm": (1.1, 1.3, 2.2)}
    made = [
        run_of(i, loss, cell=cell) for cell, own in losses.items() for i, loss in enumerate(own)
    ]
    groups = group_runs(made)
    words = [row[-2] for row in make_table(groups, "test/loss", groups[0]).rows]
    first, second = (
        stats.ttest_rel(losses[cell], losses["gru"]).pvalue for cell in ("rnn", "lstm")
    )
    assert words == [
        None,
        f"higher (p = {2 * first:.3f})",
        f"no difference shown (p = {second:.3f})",
    ]
