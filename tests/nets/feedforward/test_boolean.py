"""Built networks compute their Boolean functions exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.tabular.boolean import all_inputs
from nets.feedforward.boolean import BooleanNetwork, boolean_network

evaluate = jax.jit(BooleanNetwork.__call__)


def test_all_functions_of_three_inputs():
    x = all_inputs(3)
    tables = np.where(np.arange(256)[:, None] >> np.arange(8) & 1, 1, -1)
    networks = [boolean_network(x, y) for y in tables]
    for units in range(9):  # networks of one shape
        rows = np.flatnonzero((tables > 0).sum(axis=1) == units)
        patterns = jnp.stack([networks[row].patterns for row in rows])
        assert patterns.shape[1:] == (units, 3)
        values = jax.vmap(evaluate, in_axes=(0, None))(BooleanNetwork(patterns), x)
        np.testing.assert_array_equal(values, tables[rows])


def test_200_random_functions_of_ten_inputs():
    x, rng = all_inputs(10), np.random.default_rng(0)
    for number in range(200):
        ones = (1, 100, 512, 900)[number % 4]  # few shapes, hence few compilations
        y = rng.permutation(np.repeat([1, -1], [ones, 1024 - ones]))
        np.testing.assert_array_equal(evaluate(boolean_network(x, y), x), y)


def test_no_sum_is_ever_zero():
    x = all_inputs(6)
    network = BooleanNetwork(jnp.asarray(x[::3]))
    sums = np.asarray(network.hidden_sums(x))
    differing = (x[:, None] != x[None, ::3]).sum(axis=-1)
    np.testing.assert_array_equal(sums, 1 - 2 * differing)
    assert ((sums > 0) == (differing == 0)).all()


def test_the_function_that_is_never_true_has_no_hidden_unit():
    x = all_inputs(4)
    network = boolean_network(x, np.full(16, -1))
    assert network.patterns.shape == (0, 4)
    np.testing.assert_array_equal(network(x), -1)


def test_unusable_tables_are_refused():
    with pytest.raises(ValueError, match=r"x \(4, 2\) and y \(3,\) must have the same length"):
        boolean_network(all_inputs(2), np.ones(3))
    with pytest.raises(ValueError, match=r"x \(5, 21\) may have at most 20 inputs"):
        boolean_network(np.ones((5, 21)), np.ones(5))
