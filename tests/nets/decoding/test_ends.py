"""Ends of hypotheses in a beam search, however improbable; scalars in the carry of a model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.decoding.beam import beam_search
from nets.decoding.exact import exact_search
from nets.decoding.sampling import greedy, sample
from nets.decoding.step_model import StepModel
from tests.nets.decoding.automata import EOS, automaton, plain, run, slow_beam_search, starts

SMALL = {"bos_id": 1, "eos_id": EOS, "max_length": 3}
ROWS = 3


def test_an_end_outside_the_best_continuations_counts():
    """P(end) = 0.30 at first, below two tokens whose continuations are all improbable."""
    model, carry = automaton(0, 5), starts(0, ROWS)
    first, later = (0.35, 0.35, 0.3, 0, 0), (0.31, 0.31, 0.02, 0.31, 0.05)
    odds = np.array([first, *[later] * 11], np.float32) + np.float32(1e-6)
    model["logits"][:] = np.log(odds)[:, None]
    result = run(beam_search, plain, model, carry, **SMALL | {"beam_size": 2})
    assert result.tokens[0, 0].tolist() == [EOS, 0, 0]
    np.testing.assert_allclose(np.exp(result.scores[0]), [0.3, 0.35 * 0.31**2], rtol=1e-4)


@pytest.mark.parametrize("beam_size", [1, 2, 4])
def test_no_score_is_below_that_of_a_search_that_only_ends_among_the_best(beam_size):
    found = 0
    for seed in range(5):
        model, carry = automaton(seed, 5, 0.3), (jnp.arange(20), jnp.zeros(20, jnp.int32))
        options = SMALL | {"beam_size": beam_size}
        result = jax.device_get(run(beam_search, plain, model, carry, **options))
        for row in range(20):
            before = slow_beam_search(model, row, 1, 3, {}, beam_size=beam_size, all_ends=False)
            assert result.scores[row, 0] >= before[0][0] - 1e-5
            found += result.scores[row, 0] > before[0][0] + 1e-5
    assert found > 0 or beam_size == 1


@pytest.mark.parametrize("search", [beam_search, exact_search, greedy, sample])
def test_a_scalar_of_the_carry_is_shared_by_all_rows_and_hypotheses(search):
    rows = 1 if search is exact_search else 16
    model, (states, steps) = automaton(3, 5), starts(3, rows)
    options = {"max_length": 6} | ({"beam_size": 2} if search is beam_search else {})
    if search is sample:
        options = {"key": jax.random.key(0), "length": 6}
    results = [
        search(StepModel(plain, model, (states, step), 1, EOS), **options)
        for step in (steps, jnp.int32(0))
    ]
    for a, b in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_array_equal(a, b)
