"""Thresholds that are found by timing, with a clock that prefers every other program."""

from functools import partial

import jax
import numpy as np

from bench import tuning
from nets.choices import VARIABLE, Choices, chosen
from nets.recurrent.cells import LSTMCell
from nets.recurrent.layers import RNN


def test_a_threshold_is_changed_where_another_program_is_faster(monkeypatch, tmp_path, capsys):
    timed = []

    def in_turn(runs, rounds):
        timed.append(rounds)
        jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), *(f() for f in runs.values()))
        return {"now": [2.0], "other": [1.0]}

    monkeypatch.setattr(tuning, "in_turn", in_turn)
    monkeypatch.setattr(
        tuning, "ALTERNATIVES", {"large_kernel": (tuning.OFF, 1), "band_taps": (9,)}
    )
    layers = {"lstm": (RNN(LSTMCell(4)), (16, 2, 3))}
    path = tmp_path / "new" / "choices.json"
    tuning.tune(layers, 3, path)
    # the small kernel is below both values but 1; nothing is timed twice, or for a convolution
    assert timed == [3, 3]
    said = f"changed: large_kernel {2**18} > 1\nto use: export {VARIABLE}={path}\n"
    assert capsys.readouterr().out == said
    monkeypatch.setenv(VARIABLE, str(path))
    assert chosen() == Choices(large_kernel=1)
