"""Gradient health: ratios of gradients, against backpropagation by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from experiments import gradient_health


def test_log10_reach_is_the_median_ratio_of_gradient_norms():
    rng = np.random.default_rng(0)

    def draw(*shape):
        return rng.normal(0, 0.7, shape).astype(np.float32)

    cell = {"kernel": draw(2, 3), "recurrent_kernel": draw(3, 3), "bias": draw(3)}
    params = {"recurrent": {"cell": cell}, "answer": {"kernel": draw(3, 1), "bias": draw(1)}}
    x, h, states = draw(5, 6, 2), np.zeros((5, 3)), []
    for t in range(6):
        h = np.tanh(x[:, t] @ cell["kernel"] + h @ cell["recurrent_kernel"] + cell["bias"])
        states.append(h)
    slope = np.tile(params["answer"]["kernel"].T, (5, 1))
    norms = [np.linalg.norm(slope, axis=1)]
    for h in states[:0:-1]:
        slope = slope * (1 - h**2) @ cell["recurrent_kernel"].T
        norms.append(np.linalg.norm(slope, axis=1))
    expected = np.median(np.array(norms) / norms[0], axis=1)
    ratios = gradient_health.gradient_ratios("rnn", params, x)["state"]
    np.testing.assert_allclose(ratios, expected, rtol=1e-5)
    task = gradient_health.AddNumbers(gradient_health.Config(cell="rnn"), x)
    reach = task.scores(SimpleNamespace(variables={"params": params}), [])["log10_reach"]
    assert reach == pytest.approx(math.log10(expected[-1]), abs=1e-5)
