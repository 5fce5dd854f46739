"""Required tokens and length limits per row agree with enumeration and a search on lists."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nets.decoding.beam import beam_search
from nets.decoding.exact import exact_search
from nets.decoding.scores import Score, scoring, upper_bound
from tests.nets.decoding.automata import (
    EOS,
    V,
    attending,
    automaton,
    best_of_all,
    divisor,
    lacking,
    lengths,
    plain,
    run,
    seeds,
    slow_beam_search,
    starts,
)

quick = settings(deadline=None, derandomize=True, max_examples=8)
FULL = {"bos_id": 1, "eos_id": EOS, "beam_size": V**4, "max_length": 4}
SMALL = {"bos_id": 1, "eos_id": EOS, "beam_size": 4, "max_length": 7}
ONE = SMALL | {"beam_size": 1}
ROWS = 3
penalties = st.tuples(lengths, st.floats(0.125, 2, width=16)).map(
    lambda both: both[0] | {"coverage_penalty": both[1]}
)


def hypotheses(result, row):
    """Hypotheses of a row: (score, tokens), best first."""
    written = [
        tuple(tokens[:length].tolist())
        for tokens, length in zip(result.tokens[row], result.lengths[row], strict=True)
    ]
    return [(value, t) for value, t in zip(result.scores[row], written, strict=True) if t]


def same(result, expected):
    """Check that hypotheses, order and scores are the same."""
    assert [tokens for _, tokens in result] == [tokens for _, tokens in expected]
    values = [[value for value, _ in some] for some in (result, expected)]
    np.testing.assert_allclose(*values, rtol=2e-5, atol=1e-5)


def some_tokens(random, shape, vocabulary):
    """Random tokens other than the end, and -1."""
    others = [token for token in range(-1, vocabulary) if token != EOS]
    return random.choice(others, shape)


@quick
@given(seed=seeds, rule=lengths, spread=st.sampled_from([0.3, 2.0, 6.0]))
def test_a_full_beam_finds_the_best_with_the_required_tokens(seed, rule, spread):
    model, carry = automaton(seed, spread=spread), starts(seed, ROWS)
    required = some_tokens(np.random.default_rng(seed), (ROWS, 2), V)
    required[0] = seed % 2  # the same token twice
    result = jax.device_get(
        run(beam_search, plain, model, carry, **FULL, **rule, required=required)
    )
    for row in range(ROWS):
        limits = {"required": required[row]}
        expected = best_of_all(model, carry[0][row], 1, 4, limits, **rule)
        assert all(lacking(tokens, required[row]) == 0 for _, tokens in expected)
        same(hypotheses(result, row), expected)


@quick
@given(seed=seeds, rule=lengths, spread=st.sampled_from([0.3, 2.0, 6.0]))
def test_a_full_beam_finds_the_best_within_the_limit_of_each_row(seed, rule, spread):
    model, carry = automaton(seed, spread=spread), starts(seed, ROWS)
    most = np.random.default_rng(seed).integers(1, 5, ROWS)
    result = jax.device_get(run(beam_search, plain, model, carry, **FULL, **rule, max_lengths=most))
    for row in range(ROWS):
        expected = best_of_all(model, carry[0][row], 1, int(most[row]), {}, **rule)
        same(hypotheses(result, row), expected)


@settings(quick, max_examples=30)
@given(seed=seeds, rule=penalties)
def test_a_prefix_takes_precedence_over_required_tokens(seed, rule):
    model, carry = automaton(seed), starts(seed, ROWS)
    random = np.random.default_rng(seed)
    required = some_tokens(random, (ROWS, 2), V)
    prefix = np.where(random.random((ROWS, 4)) < 0.5, random.integers(0, V, (ROWS, 4)), -1)
    options = {"required": required, "prefix": prefix, "max_lengths": random.integers(3, 5, ROWS)}
    result = jax.device_get(run(beam_search, attending, model, carry, **FULL, **rule, **options))
    for row in range(ROWS):
        most, limits = int(options["max_lengths"][row]), {"prefix": prefix[row]}
        anything = best_of_all(model, carry[0][row], 1, most, limits, **rule)
        fewest = min(lacking(tokens, required[row]) for _, tokens in anything)
        # with all required tokens, or as many as the prefix leaves room for
        expected = [h for h in anything if lacking(h[1], required[row]) == fewest]
        same(hypotheses(result, row), expected)


@quick
@given(seed=seeds, rule=lengths, diversity=st.sampled_from([0.0, 0.5, 3.0]))
def test_groups_allocate_their_beams_as_the_search_on_lists(seed, rule, diversity):
    # more tokens than a group of two extends each hypothesis by
    model, carry = automaton(seed, 9), starts(seed, ROWS)
    random = np.random.default_rng(seed)
    required, most = some_tokens(random, (ROWS, 3), 9), random.integers(4, 8, ROWS)
    limits = {"no_repeat_ngram": 2, "min_length": 2}
    options = {"groups": 2, "diversity": diversity, "beam_size": 4, **rule}
    rows = {"required": required, "max_lengths": most}
    result = jax.device_get(
        run(beam_search, plain, model, carry, **SMALL | options | limits | rows)
    )
    for row in range(ROWS):
        mine = limits | {"required": required[row]}
        expected = slow_beam_search(model, carry[0][row], 1, int(most[row]), mine, **options)
        same(hypotheses(result, row), expected)


@settings(quick, max_examples=4)
@given(seed=seeds, rule=penalties)
def test_a_row_is_searched_as_if_it_were_alone(seed, rule):
    model, carry = automaton(seed, 5), starts(seed, ROWS)
    random = np.random.default_rng(seed)
    required, most = some_tokens(random, (ROWS, 1), 5), random.permutation([4, 4, 7])
    options = SMALL | rule | {"beam_size": 2, "return_attention": True}
    rows = {"required": required, "max_lengths": most}
    result = jax.device_get(run(beam_search, attending, model, carry, **options, **rows))
    for row in np.flatnonzero(most == 4):
        mine = slice(row, row + 1)
        limits = {"required": required[mine], "max_length": 4}
        state = jax.tree.map(lambda leaf, mine=mine: leaf[mine], carry)
        alone = jax.device_get(run(beam_search, attending, model, state, **options | limits))
        np.testing.assert_array_equal(result.lengths[row], alone.lengths[0])
        np.testing.assert_allclose(result.scores[row], alone.scores[0], rtol=1e-6)
        for name in ("tokens", "log_probs", "attention"):
            wide, bare = getattr(result, name)[row], getattr(alone, name)[0]
            np.testing.assert_allclose(wide[:, :4], bare, rtol=1e-5, atol=1e-7)
            assert not wide[:, 4:].any()


@quick
@given(seed=seeds, spread=st.sampled_from([0.3, 2.0, 6.0]))
def test_one_beam_has_all_required_tokens(seed, spread):
    model, carry = automaton(seed, 5, spread), starts(seed, ROWS)
    required = some_tokens(np.random.default_rng(seed), (ROWS, 3), 5)
    result = jax.device_get(run(beam_search, plain, model, carry, **ONE, required=required))
    for row in range(ROWS):
        ((_, tokens),) = hypotheses(result, row)
        assert lacking(tokens, required[row]) == 0


def test_a_required_token_comes_where_it_costs_little():
    model, carry = automaton(0, 5), starts(0, ROWS)
    model["following"][:] = np.arange(5)
    # without a beam of its own the token would come last, after the likely zeros
    model["logits"][:] = np.log([0.96, 0.01, 0.01, 0.01, 0.01])
    model["logits"][:, 3] = np.log([0.01, 0.01, 0.96, 0.01, 0.01])
    result = run(beam_search, plain, model, carry, **ONE, required=[[3, -1, -1]] * ROWS)
    np.testing.assert_array_equal(result.tokens[:, 0], [[3, EOS, 0, 0, 0, 0, 0]] * ROWS)


@quick
@given(seed=seeds, rule=penalties)
def test_the_exact_search_finds_the_best_with_the_required_tokens(seed, rule):
    model, carry = automaton(seed), starts(seed, 1)
    random = np.random.default_rng(seed)
    required = some_tokens(random, (1, 2), V)
    limits = {"no_repeat_ngram": 2, "min_length": int(random.integers(1, 5))}
    options = {"bos_id": 1, "eos_id": EOS, "max_length": 4, "required": required}
    result = run(exact_search, attending, model, carry, **options, **limits, **rule)
    mine = limits | {"required": required[0]}
    expected = best_of_all(model, carry[0][0], 1, 4, mine, **rule)
    assert result.optimal
    same([(result.score, tuple(result.tokens.tolist()))], expected[:1])


def test_limits_work_inside_jit():
    model, carry = jax.tree.map(jnp.asarray, automaton(13, 5)), starts(13, ROWS)
    required, most = np.array([[0, 3], [1, -1], [-1, -1]]), np.array([5, 3, 7])

    def decode(required, max_lengths):
        limits = {"required": required, "max_lengths": max_lengths, "banned": (4,)}
        return run(beam_search, plain, model, carry, **ONE, **limits)

    alone, inside = decode(required, most), jax.jit(decode)(required, most)
    for a, b in zip(alone[:4], inside[:4], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@quick
@given(rule=lengths, most=st.lists(st.integers(1, 60), min_size=3, max_size=3))
def test_the_bound_is_tight_for_the_best_length_within_the_limit(rule, most):
    name, alpha = rule["normalize"], rule.get("length_penalty", 0)
    table = scoring(Score(normalize=name, length_penalty=alpha), 60)
    steps = np.diff(table.divisors[1:])
    assert (steps >= 0).all() or (steps <= 0).all()
    for length in range(0, max(most), 9):
        bound = upper_bound(table, jnp.full((3, 1), -2.0), length, jnp.asarray(most))[:, 0]
        for limit, result in zip(most, bound.tolist(), strict=True):
            later = [divisor(name, alpha, m) for m in range(length + 1, limit + 1)]
            if later:
                np.testing.assert_allclose(result, -2.0 / max(later), rtol=1e-5)


def test_a_row_stops_by_the_bound_of_its_own_limit():
    model, carry, calls = automaton(0, 101), starts(0, 1), []
    model["logits"][:] = np.log(0.45 / 100)
    model["logits"][..., EOS] = np.log(0.55)

    def step(model, tokens, carry):
        jax.debug.callback(calls.append, tokens)
        return plain(model, tokens, carry)

    # after one token: log .0045 / 6 is below log .55, and log .0045 / 12 above it
    options = {"bos_id": 1, "eos_id": EOS, "beam_size": 1, "max_length": 12}
    run(beam_search, step, model, carry, **options, normalize="average", max_lengths=[6])
    jax.effects_barrier()
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"required": 1}, r"required has shape \(\); it must be \(R,\) or \(2, R\)"),
        ({"required": np.zeros((3, 1), int)}, r"required has shape \(3, 1\)"),
        ({"required": [3]}, "required token 3 is outside the vocabulary of 3 tokens"),
        ({"required": [-2]}, "required token -2 is outside the vocabulary of 3 tokens"),
        ({"required": [0, EOS]}, "required token 2 is the end"),
        ({"required": [0] * 7}, "row 0 has 7 required tokens; 7 tokens .* leave room for 6"),
        (
            {"required": [[0, -1], [0, 1]], "max_lengths": [2, 2]},
            "row 1 has 2 required tokens; 2 tokens .* leave room for 1",
        ),
        ({"required": [0, 1], "banned": (1,)}, "token 1 is both banned and required"),
        ({"max_lengths": [1, 2, 3]}, r"max_lengths has shape \(3,\); it must be \(2,\)"),
        ({"max_lengths": [0, 2]}, r"max_lengths is \[0, 2\]; all must be from 1"),
        ({"max_lengths": [7, 8]}, r"max_lengths is \[7, 8\]; .* to max_length, 7"),
        ({"max_lengths": [3, 5], "min_length": 4}, "from 1 and min_length, 4, to max_length, 7"),
    ],
)
def test_limits_that_no_hypothesis_satisfies_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        run(beam_search, plain, automaton(0), starts(0, 2), **SMALL | options)


def test_a_mask_of_another_source_is_refused():
    model, carry = automaton(0), starts(0, 2)
    options = SMALL | {"coverage_penalty": 1.0}
    with pytest.raises(ValueError, match=r"source_valid has shape \(2, 3\); .* \(2, 4\)"):
        run(beam_search, attending, model, carry, source_valid=np.ones((2, 3), bool), **options)
