"""Exact search agrees with enumeration, and proves its result."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nets.decoding.beam import beam_search
from nets.decoding.exact import exact_search
from tests.nets.decoding.automata import (
    EOS,
    V,
    attending,
    automaton,
    best_of_all,
    lengths,
    plain,
    run,
    seeds,
    starts,
    walk,
)

quick = settings(deadline=None, derandomize=True, max_examples=20)
OPTIONS = {"bos_id": 1, "eos_id": EOS, "max_length": 4}


def check(result, model, state, expected):
    """Check that the result is the best hypothesis, with its score and log p, and proven."""
    value, tokens = expected[0]
    assert result.optimal
    assert tuple(result.tokens.tolist()) == tokens
    np.testing.assert_allclose(result.score, value, rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(result.log_probs, walk(model, state, 1, tokens)[0], atol=1e-5)


@quick
@given(seed=seeds, rule=lengths, spread=st.sampled_from([0.3, 2.0, 6.0]))
def test_it_finds_the_best_hypothesis(seed, rule, spread):
    model, carry = automaton(seed, spread=spread), starts(seed, 1)
    result = run(exact_search, plain, model, carry, **OPTIONS, **rule)
    check(result, model, carry[0][0], best_of_all(model, carry[0][0], 1, 4, {}, **rule))
    assert result.nodes <= 1 + 2 + 4 + 8


@quick
@given(seed=seeds, rule=lengths, beta=st.floats(0.125, 2, width=16), ban=st.integers(0, V - 1))
def test_it_finds_the_best_allowed_hypothesis(seed, rule, beta, ban):
    model, carry = automaton(seed), starts(seed, 1)
    random = np.random.default_rng(seed)
    prefix = np.where(random.random((1, 2)) < 0.5, random.integers(0, V, (1, 2)), -1)
    limits = {"min_length": int(random.integers(1, 5)), "no_repeat_ngram": 2, "banned": (ban,)}
    rule = rule | {"coverage_penalty": beta}
    result = run(exact_search, attending, model, carry, **OPTIONS, **limits, **rule, prefix=prefix)
    expected = best_of_all(model, carry[0][0], 1, 4, limits | {"prefix": prefix[0]}, **rule)
    if expected:
        check(result, model, carry[0][0], expected)
    else:
        assert result.score == -np.inf
        assert result.optimal
        assert not result.tokens.size


LONGER = {"bos_id": 1, "eos_id": EOS, "max_length": 7}


@pytest.mark.parametrize("rule", [{}, {"normalize": "average"}, {"length_penalty": 0.8}])
def test_beam_search_finds_no_better_hypothesis(rule):
    model, carry = automaton(0, 5), starts(0, 15)
    result = jax.device_get(run(beam_search, plain, model, carry, beam_size=1, **LONGER, **rule))
    missed = 0
    for row in range(15):
        alone = (carry[0][row : row + 1], carry[1][row : row + 1])
        best = run(exact_search, plain, model, alone, **LONGER, **rule)
        assert best.optimal
        assert best.score >= result.scores[row, 0] - 1e-6
        missed += best.score > result.scores[row, 0] + 1e-5
    assert 0 < missed < 15


def test_with_a_limit_of_nodes_the_result_is_not_proven():
    model, carry = automaton(1, 5, 0.3), starts(1, 1)
    options = LONGER | {"normalize": "average"}
    whole = run(exact_search, plain, model, carry, **options)
    assert whole.optimal
    assert whole.nodes > 10
    some = run(exact_search, plain, model, carry, **options, max_nodes=10)
    assert some.nodes == 10
    assert not some.optimal
    assert -np.inf < some.score <= whole.score
    enough = run(exact_search, plain, model, carry, **options, max_nodes=whole.nodes)
    assert enough.optimal
    assert enough.nodes == whole.nodes


def test_the_bound_prunes_most_of_a_confident_model():
    model, carry = automaton(2, 5, 8.0), starts(2, 1)
    result = run(exact_search, plain, model, carry, **LONGER, length_penalty=0.6)
    assert result.optimal
    assert result.nodes < 4**6 / 50


def test_logits_of_nan_have_no_hypothesis():
    model, carry = automaton(3), starts(3, 1)
    model["logits"][:] = np.nan
    result = run(exact_search, plain, model, carry, **OPTIONS)
    assert (result.score, result.optimal, result.nodes) == (-np.inf, True, 1)
    assert not result.log_probs.size


def test_invalid_options_are_refused():
    model = automaton(0)
    with pytest.raises(ValueError, match="exact_search takes one row at a time, got 2"):
        run(exact_search, plain, model, starts(0, 2), **OPTIONS)
    with pytest.raises(ValueError, match="max_nodes is 0"):
        run(exact_search, plain, model, starts(0, 1), **OPTIONS, max_nodes=0)
    with pytest.raises(ValueError, match="need a step_fn with attention"):
        run(exact_search, plain, model, starts(0, 1), **OPTIONS, coverage_penalty=0.2)
