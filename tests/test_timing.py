"""Alternating timing of benchmarks."""

import pytest

from bench import timing


@pytest.fixture
def run_and_clock(monkeypatch):
    """Function from durations to a run that takes them in turn, and its clock."""
    monkeypatch.setattr(timing, "PAUSE", 0.0)
    now = [0.0]

    def make(*durations):
        left = iter(durations)

        def run():
            now[0] += next(left)

        return {"run": run}, lambda: now[0]

    return make


def test_the_first_two_rounds_are_not_counted(run_and_clock):
    runs, clock = run_and_clock(50, 7, 1, 1.25, 1.5)
    assert timing.in_turn(runs, 3, clock) == {"run": [1, 1.25, 1.5]}


def test_noisy_times_are_measured_again(run_and_clock):
    runs, clock = run_and_clock(1, 1, 1, 8, 9, 2, 2, 2, 2, 2)
    assert timing.in_turn(runs, 3, clock) == {"run": [2, 2, 2]}


def test_the_calmest_times_are_returned(run_and_clock):
    runs, clock = run_and_clock(1, 1, 1, 8, 9, 1, 1, 2, 4, 4, 1, 1, 1, 9, 99)
    assert timing.in_turn(runs, 3, clock) == {"run": [2, 4, 4]}


def test_noise_is_the_largest_ratio_of_the_quartiles():
    assert timing.noise({"a": [1, 1, 1], "b": [1, 2, 3]}) == pytest.approx(2.5 / 1.5)
    assert timing.quartiles([4.0]) == (4.0, 4.0, 4.0)
    assert timing.spread([2, 4, 6], [1, 1, 1]) == "4.00 (3.00 to 5.00)"
