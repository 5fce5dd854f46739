"""Initial values of kernels: their standard deviations."""

import jax
import numpy as np
import pytest

from nets.feedforward import INITIALIZERS

INPUTS, OUTPUTS = 300, 100
DEVIATIONS = {
    "zeros": 0,
    "small": 0.01,
    "large": 1,
    "lecun": (1 / INPUTS) ** 0.5,
    "glorot": (2 / (INPUTS + OUTPUTS)) ** 0.5,
    "he": (2 / INPUTS) ** 0.5,
}


@pytest.mark.parametrize("name", INITIALIZERS)
def test_standard_deviations(name):
    kernel = INITIALIZERS[name](jax.random.key(0), (INPUTS, OUTPUTS))
    np.testing.assert_allclose(np.std(kernel), DEVIATIONS[name], rtol=0.02)
    np.testing.assert_allclose(np.mean(kernel), 0, atol=0.03 * DEVIATIONS[name])
