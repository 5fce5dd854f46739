"""Beam search agrees with enumeration, and with a beam search on plain lists."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nets.decoding.beam import BeamResult, beam_search
from nets.decoding.constraints import Limits
from nets.decoding.sampling import greedy
from nets.decoding.scores import Score
from nets.decoding.step_model import StepModel
from tests.nets.decoding.automata import (
    EOS,
    SOURCE,
    V,
    attending,
    automaton,
    best_of_all,
    lengths,
    plain,
    run,
    search,
    seeds,
    slow_beam_search,
    starts,
    walk,
)

quick = settings(deadline=None, derandomize=True, max_examples=12)
FULL = {"bos_id": 1, "eos_id": EOS, "beam_size": V**4, "max_length": 4}
SMALL = {"bos_id": 1, "eos_id": EOS, "beam_size": 3, "max_length": 7}
ROWS = 3  # most tests share these shapes, so they compile once


def same(result: BeamResult, row: int, expected, model, state):
    """Check hypotheses, scores and log p of a row against the expected ones, in order."""
    count = len(result.scores[row])
    for k, (value, tokens) in enumerate(expected[:count]):
        length = len(tokens)
        assert result.lengths[row, k] == length
        assert tuple(result.tokens[row, k, :length].tolist()) == tokens
        np.testing.assert_allclose(result.scores[row, k], value, rtol=2e-5, atol=1e-5)
        log_probs, attention = walk(model, state, 1, tokens)
        np.testing.assert_allclose(result.log_probs[row, k, :length], log_probs, atol=1e-5)
        if result.attention is not None:
            np.testing.assert_allclose(result.attention[row, k, :length], attention, atol=1e-6)
            assert not result.attention[row, k, length:].any()
        assert not result.tokens[row, k, length:].any()
        assert not result.log_probs[row, k, length:].any()
    missing = slice(len(expected), None)
    assert (result.scores[row, missing] == -np.inf).all()
    assert not result.lengths[row, missing].any()
    assert not result.tokens[row, missing].any()


@quick
@given(seed=seeds, rule=lengths, spread=st.sampled_from([0.3, 2.0, 6.0]))
def test_a_full_beam_finds_the_best_hypotheses(seed, rule, spread):
    model, carry = automaton(seed, spread=spread), starts(seed, 2)
    result = search(plain, model, carry, **FULL, **rule)
    for row in range(2):
        expected = best_of_all(model, carry[0][row], 1, 4, {}, **rule)
        assert len(expected) == 1 + 2 + 4 + 8 * 3
        same(result, row, expected, model, carry[0][row])


@quick
@given(seed=seeds, rule=lengths, beta=st.floats(0.125, 2, width=16), ban=st.integers(0, V - 1))
def test_a_full_beam_finds_the_best_allowed_hypotheses(seed, rule, beta, ban):
    model, carry = automaton(seed), starts(seed, 2)
    random = np.random.default_rng(seed)
    prefix = np.where(random.random((2, 2)) < 0.5, random.integers(0, V, (2, 2)), -1)
    banned = np.eye(V, dtype=bool)[[ban, (ban + 1) % V]]
    limits = {"min_length": int(random.integers(1, 5)), "no_repeat_ngram": 2}
    rule = rule | {"coverage_penalty": beta}
    options = {"prefix": prefix, "banned": banned, "return_attention": True, **limits, **rule}
    result = search(attending, model, carry, **FULL, **options)
    for row in range(2):
        mine = limits | {"prefix": prefix[row], "banned": np.flatnonzero(banned[row])}
        expected = best_of_all(model, carry[0][row], 1, 4, mine, **rule)
        same(result, row, expected, model, carry[0][row])


@quick
@given(seed=seeds, rule=lengths, spread=st.sampled_from([0.3, 2.0, 6.0]))
def test_it_agrees_with_the_search_on_lists(seed, rule, spread):
    model, carry = automaton(seed, 5, spread), starts(seed, 3)
    result = search(plain, model, carry, **SMALL, **rule)
    for row in range(3):
        expected = slow_beam_search(model, carry[0][row], 1, 7, {}, beam_size=3, **rule)
        same(result, row, expected, model, carry[0][row])


@quick
@given(seed=seeds, rule=lengths, beta=st.floats(0.125, 2, width=16), n=st.just(2))
def test_with_all_options_it_agrees_with_the_search_on_lists(seed, rule, beta, n):
    model, carry = automaton(seed, 5), starts(seed, 3)
    random = np.random.default_rng(seed)
    prefix = np.where(random.random((3, 4)) < 0.4, random.integers(0, 5, (3, 4)), -1)
    limits = {"min_length": int(random.integers(1, 7)), "no_repeat_ngram": n}
    rule = rule | {"coverage_penalty": beta}
    options = {"banned": (int(random.integers(0, 5)),), **limits}
    given_options = options | rule | {"prefix": prefix, "return_attention": True}
    result = search(attending, model, carry, **SMALL, **given_options)
    for row in range(3):
        mine = options | {"prefix": prefix[row]}
        expected = slow_beam_search(model, carry[0][row], 1, 7, mine, beam_size=3, **rule)
        same(result, row, expected, model, carry[0][row])


@quick
@given(seed=seeds, rule=lengths, diversity=st.sampled_from([0.0, 0.5, 3.0, 100.0]))
def test_groups_are_searched_one_after_the_other(seed, rule, diversity):
    model, carry = automaton(seed, 5), starts(seed, 2)
    options = {"beam_size": 6, "groups": 3, "diversity": diversity, **rule}
    result = search(plain, model, carry, **SMALL | options)
    for row in range(2):
        expected = slow_beam_search(model, carry[0][row], 1, 7, {}, **options)
        if diversity == 0:
            # the groups are equal: every hypothesis occurs three times
            np.testing.assert_array_equal(result.tokens[row, ::3], result.tokens[row, 2::3])
        same(result, row, expected, model, carry[0][row])


@pytest.mark.parametrize(
    ("rule", "best"),
    [
        ({"normalize": "none"}, (EOS,)),
        ({"length_penalty": -1.0}, (EOS,)),
        ({"normalize": "average"}, (1,) * 7),
        ({"length_penalty": 2.0}, (1,) * 7),
    ],
)
def test_a_long_hypothesis_may_overtake_at_the_last_step(rule, best):
    model, carry = automaton(0, 5), starts(0, ROWS)
    first, second, later = (0, 0.48, 0.52, 0, 0), (0.1, 0.5, 0.4, 0, 0), (0, 0.94, 0.06, 0, 0)
    odds = np.array([first, second, *[later] * 10], np.float32) + np.float32(1e-6)
    model["logits"][:] = np.log(odds)[:, None]
    result = search(plain, model, carry, **SMALL | {"beam_size": 1}, **rule)
    assert tuple(result.tokens[0, 0, : result.lengths[0, 0]].tolist()) == best


@quick
@given(seed=seeds)
def test_one_beam_without_penalty_is_the_greedy_loop(seed):
    model, carry = automaton(seed, 5), starts(seed, ROWS)
    bos = np.array([0, 1, 3], np.int32)
    result = search(plain, model, carry, bos_id=bos, beam_size=1, max_length=7)
    one = jax.device_get(greedy(StepModel(plain, model, carry, bos, EOS), max_length=7))
    np.testing.assert_array_equal(result.tokens[:, 0], one.tokens)
    np.testing.assert_array_equal(result.lengths[:, 0], one.lengths)
    np.testing.assert_allclose(result.log_probs[:, 0], one.log_probs, atol=1e-6)
    np.testing.assert_allclose(result.scores[:, 0], one.log_probs.sum(axis=1), atol=1e-5)


def counted(calls):
    """A model with a memory that records the number of tokens of each call."""

    def step(model, tokens, carry, memory):
        jax.debug.callback(lambda tokens: calls.append(len(tokens)), tokens)
        logits, carry = plain(model, tokens, carry)
        late = carry[1] > jnp.repeat(memory, len(tokens) // len(memory))
        return jnp.where(late[:, None], jnp.array([0.0, 0.0, 20.0, 0.0, 0.0]), logits), carry

    return step


def test_rows_stop_independently_and_then_cost_nothing():
    model, calls, parts = automaton(3, 5, 0.3), [], jax.device_count()
    model["logits"][..., EOS] = -20.0
    step = counted(calls)
    # each part of the batch, which a device may have, drops its own rows
    carry = tuple(np.tile(leaf, parts) for leaf in starts(3, 16))
    ends = np.tile(np.array([1, 9, 2, 3] + [2] * 12, np.int32), parts)
    options = {"bos_id": 1, "eos_id": EOS, "max_length": 12, "beam_size": 2}
    result = search(step, model, carry, memory=ends, **options)
    jax.effects_barrier()
    np.testing.assert_array_equal(result.lengths[:, 0], ends + 1)
    # one row searches another step for its second hypothesis; from step 3 on 8 rows suffice
    assert calls.count(2 * 16 * parts) in {3, 4}
    assert set(calls) == {2 * 16 * parts, 2 * 8 * parts}
    assert 10 <= len(calls) < 12
    for row in (0, 1, 7):
        state = (carry[0][row : row + 1], carry[1][row : row + 1])
        alone = search(step, model, state, memory=ends[row : row + 1], **options)
        for name in ("tokens", "scores", "log_probs", "lengths"):
            whole, single = getattr(result, name)[row], getattr(alone, name)[0]
            np.testing.assert_array_equal(whole, single, err_msg=name)


@pytest.mark.parametrize(
    "more",
    [{"normalize": "average"}, {"length_penalty": 1.5}, {"groups": 2, "diversity": 1.0}],
)
def test_n_best_does_not_change_the_first_hypotheses(more):
    model, carry = automaton(5, 5), starts(5, 30)
    options = SMALL | {"beam_size": 4} | more
    every = search(plain, model, carry, **options)
    for count in (1, 2):
        best = run(beam_search, plain, model, carry, **options, n_best=count)
        for complete, first in zip(every[:4], best[:4], strict=True):
            np.testing.assert_array_equal(complete[:, :count], first)
        assert best.attention is None


def test_a_search_for_one_hypothesis_stops_once_it_is_proven():
    model, carry = automaton(3, 5, 0.3), starts(3, 1)
    model["logits"][..., EOS] = -20.0
    options = {"bos_id": 1, "eos_id": EOS, "max_length": 12, "beam_size": 3}
    steps = {}
    for count in (1, 3):
        calls = []
        ends = jnp.zeros(1, jnp.int32)  # the end comes first, and its probability is nearly 1
        run(beam_search, counted(calls), model, carry, memory=ends, **options, n_best=count)
        jax.effects_barrier()
        steps[count] = len(calls)
    assert steps[1] == 1 < steps[3]


COVERING = SMALL | {"coverage_penalty": 0.7, "return_attention": True}


def test_source_padding_changes_nothing():
    model, carry = automaton(7, 5), starts(7, ROWS)
    short = np.ones((ROWS, 2), bool)
    padded = np.arange(SOURCE) < np.full((ROWS, 1), 2)
    a = search(attending, model, carry, memory=short, source_valid=short, **COVERING)
    b = search(attending, model, carry, memory=padded, source_valid=padded, **COVERING)
    for bare, wide in zip(a[:4], b[:4], strict=True):
        np.testing.assert_allclose(bare, wide, rtol=1e-6)
    np.testing.assert_allclose(a.attention, b.attention[..., :2], atol=1e-7)
    assert not b.attention[..., 2:].any()
    # without the mask, padding is a position that was never attended to
    c = search(attending, model, carry, memory=padded, **COVERING)
    assert np.isfinite(c.scores).all()
    assert (c.scores < b.scores - 10).all()


def test_a_source_that_is_covered_twice_costs_nothing():
    model, carry = automaton(8, 5), starts(8, ROWS)
    model["logits"][..., EOS] = -20.0
    memory = jnp.ones((ROWS, SOURCE), bool)
    some = search(attending, model, carry, memory=memory, **COVERING)
    # seven tokens attend equally to four positions: each is covered
    model = {**model, "keys": np.zeros_like(model["keys"])}
    covered = search(attending, model, carry, memory=memory, **COVERING)
    without = run(beam_search, plain, model, carry, **SMALL)
    np.testing.assert_array_equal(covered.lengths, 7)
    np.testing.assert_allclose(covered.scores, without.scores, rtol=1e-6)
    assert (some.scores <= covered.scores + 1e-6).all()
    assert some.scores.sum() < covered.scores.sum() - 1


def test_a_model_that_never_ends_stops_at_max_length():
    model, carry = automaton(9, 5), starts(9, ROWS)
    model["logits"][..., EOS] = -np.inf
    result = search(plain, model, carry, **SMALL, length_penalty=1.0)
    assert (result.lengths == 7).all()
    assert (result.tokens != EOS).all()
    assert np.isfinite(result.scores).all()


@pytest.mark.parametrize("bad", [np.nan, -np.inf, np.inf])
def test_logits_without_a_distribution_end_a_hypothesis(bad):
    model = automaton(0, 5)
    model["following"][:] = np.arange(len(model["following"]))[:, None]
    model["logits"][:] = np.log([0.19, 0.3, 0.5, 0.005, 0.005])
    model["logits"][:2, :, EOS] = -np.inf
    model["logits"][2:, 1] = bad
    carry = (np.arange(ROWS, dtype=np.int32), np.zeros(ROWS, np.int32))
    result = search(plain, model, carry, **SMALL)
    assert np.isfinite(result.scores[::2]).all()
    assert (result.scores[1] == -np.inf).all()
    for nothing in (result.tokens[1], result.log_probs[1], result.lengths[1]):
        assert not nothing.any()
    model["logits"][1, :, EOS] = 0.0
    ended = run(beam_search, plain, model, carry, **SMALL)
    np.testing.assert_array_equal(ended.tokens[1, 0], [1, EOS, 0, 0, 0, 0, 0])


def test_it_is_compiled_once_for_other_values():
    traces = []

    def step(model, tokens, carry):
        traces.append(len(tokens))
        return plain(model, tokens, carry)

    for seed in range(3):
        model, carry = automaton(seed, 5), starts(seed, 2)
        rule = {"length_penalty": 0.3 * seed, "min_length": 1 + seed}
        bos = jnp.full(2, seed)
        options = {"eos_id": EOS, "beam_size": 2, "max_length": 7, "groups": 2}
        prefix = np.full((2, seed + 1), -1)
        limits = {"prefix": prefix, "banned": (seed,), "diversity": 0.5 + seed}
        run(beam_search, step, model, carry, bos_id=bos, **options, **rule, **limits)
        if seed == 0:
            first = len(traces)
    assert first == len(traces) <= 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_size": 0}, "beam_size is 0"),
        ({"max_length": 0}, "max_length is 0"),
        ({"groups": 0}, "groups is 0"),
        ({"n_best": 4}, "n_best is 4; it must be at most beam_size, 3"),
        ({"n_best": 0}, "n_best is 0"),
        ({"groups": 2}, "beam_size 3 does not divide into 2 groups"),
        ({"diversity": 1.0}, "diversity is 1.0"),
        ({"min_length": 8}, "min_length is 8; it must be 0 to max_length, 7"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram is -1"),
        ({"normalize": "gmnt"}, "unknown normalize 'gmnt'; the nearest is 'gnmt'"),
        ({"normalize": "average", "length_penalty": 1.0}, r"only 'gnmt' and .* is 'average'"),
        ({"coverage_penalty": -1.0}, "coverage_penalty is -1.0"),
        ({"coverage_penalty": 1.0}, "need a step_fn with attention"),
        ({"return_attention": True}, "need a step_fn with attention"),
        ({"prefix": np.zeros((2, 8), int)}, r"prefix has shape \(2, 8\); it must be \(2, 7\)"),
        ({"prefix": np.zeros((1, 2), int)}, r"prefix has shape \(1, 2\)"),
        ({"prefix": np.full((2, 2), 5)}, "prefix token 5 is outside the vocabulary of 3 tokens"),
        ({"banned": (3,)}, "banned token 3 is outside the vocabulary of 3 tokens"),
        ({"banned": np.zeros(4, bool)}, r"banned has shape \(4,\); it must be \(3,\) or \(2, 3\)"),
        ({"bos_id": jnp.zeros(3, jnp.int32)}, "must agree in their first axis"),
        ({"memory": jnp.zeros(())}, "must agree in their first axis"),
        ({"eos_id": None}, "a search needs a token that ends a sequence"),
    ],
)
def test_invalid_options_are_refused(options, message):
    model, carry = automaton(0), starts(0, 2)
    with pytest.raises(ValueError, match=message):
        run(beam_search, plain, model, carry, **SMALL | options)


def test_it_works_inside_jit():
    model, carry = jax.tree.map(jnp.asarray, automaton(13, 5)), starts(13, ROWS)
    options = {"beam_size": 3, "max_length": 7}

    def decode(model, score, limits):
        return beam_search(model, score=score, limits=limits, **options)

    given = StepModel(plain, model, carry, 1, EOS)
    score = Score(length_penalty=0.7)
    # under jit the penalty, the prefix and the mask have no values when they are checked
    limits = Limits(prefix=np.full((ROWS, 2), -1), banned=np.zeros(5, bool))
    alone, inside = decode(given, score, Limits()), jax.jit(decode)(given, score, limits)
    for a, b in zip(alone[:4], inside[:4], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
