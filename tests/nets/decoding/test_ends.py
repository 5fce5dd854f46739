"""The end of every open hypothesis counts in a beam search, however improbable it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.decoding.beam import beam_search
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
