"""Boolean functions as tables."""

import itertools
import math

import numpy as np
import pytest

from data.catalogue import DataError
from data.tabular.boolean import all_inputs, function_values


def test_all_inputs_are_in_the_order_of_binary_numbers():
    np.testing.assert_array_equal(all_inputs(3), list(itertools.product([-1, 1], repeat=3)))
    assert all_inputs(1).dtype == np.float32


@pytest.mark.parametrize("count", range(1, 9))
def test_functions_have_their_values(count):
    x = all_inputs(count)
    odd = [1 if list(row).count(1) % 2 else -1 for row in x]
    np.testing.assert_array_equal(function_values("parity", x, 0), odd)
    assert odd.count(1) == 2 ** (count - 1)  # the hidden units of the network that is built
    more = sum(math.comb(count, k) for k in range(count + 1) if 2 * k > count)
    majority = function_values("majority", x, 0)
    assert (majority > 0).sum() == more
    np.testing.assert_array_equal(majority, [1 if sum(row) > 0 else -1 for row in x])


def test_a_random_function_is_one_of_its_seed_and_a_table_is_itself():
    x = all_inputs(8)
    values = function_values("random", x, 3)
    np.testing.assert_array_equal(values, function_values("random", x, 3))
    assert not np.array_equal(values, function_values("random", x, 4))
    np.testing.assert_array_equal(function_values("0110", all_inputs(2), 0), [-1, 1, 1, -1])
    np.testing.assert_array_equal(function_values("00", all_inputs(1), 0), [-1, -1])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("partiy", r"no function 'partiy' \(did you mean parity\?\); available: .* 4 digits"),
        ("", "no function ''"),
        ("011", "of 2 inputs are 4 digits 0 and 1, got 3"),
    ],
)
def test_other_functions_are_refused(function, message):
    with pytest.raises(DataError, match=message):
        function_values(function, all_inputs(2), 0)
