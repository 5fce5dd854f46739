"""Required and banned phrases agree with enumeration and a search on lists."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nets.decoding.beam import beam_search
from nets.decoding.exact import exact_search
from nets.decoding.phrases import make_phrases, parse_phrases
from tests.nets.decoding.automata import (
    EOS,
    V,
    allowed,
    attending,
    automaton,
    best_of_all,
    enumerate_all,
    lacking,
    plain,
    run,
    slow_beam_search,
    starts,
)
from tests.nets.decoding.test_search_limits import hypotheses, same

LONGEST = 5
SMALL = {"beam_size": 1, "max_length": 4}
phrases = st.lists(st.sampled_from([0, 1]), min_size=1, max_size=3).map(tuple)
lists = st.lists(phrases, max_size=3)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    required=lists,
    banned=lists,
    prefix=st.lists(st.sampled_from([-1, -1, 0, 1, EOS]), min_size=LONGEST, max_size=LONGEST),
    length=st.integers(3, LONGEST),
    min_length=st.integers(0, 3),
    token=st.sampled_from([V, V, 0, EOS]),
)
def test_a_token_may_follow_if_as_few_phrases_as_possible_are_missing(
    required, banned, prefix, length, **options
):
    mask, min_length = np.arange(V)[None] == options["token"], options["min_length"]
    limits = {
        "prefix": prefix[:length],
        "banned": np.flatnonzero(mask),
        "banned_phrases": banned,
        "min_length": min_length,
    }
    try:
        table = make_phrases(
            [required],
            [banned],
            lengths=np.array([length]),
            prefix=np.array([prefix]),
            banned_tokens=mask,
            min_length=min_length,
            eos_id=EOS,
        )
    except ValueError:
        free = limits | {"prefix": (), "min_length": 0}
        every = [t for t in enumerate_all(V, length - 1) if allowed(t, length - 1, **free)]
        assert all(lacking(tokens, required) for tokens in every)
        return
    table = jax.device_get(table)
    every = [tokens for tokens in enumerate_all(V, length) if allowed(tokens, length, **limits)]
    if not every:
        return
    fewest = min(lacking(tokens, required) for tokens in every)
    best = [tokens for tokens in every if lacking(tokens, required) == fewest]
    columns = {token: column for column, token in enumerate(table.tokens[0].tolist(), 1)}
    open_states = {(): 0}
    for position in range(length):
        following = {}
        for tokens, state in open_states.items():
            kept, forced = table.fewest[0, position, state], prefix[position]
            assert kept == fewest
            assert table.missing[0, state] == lacking(tokens, required)
            for token in range(V):
                if token == EOS:
                    may_follow = table.missing[0, state] == kept and (
                        position + 1 >= min_length and not mask[0, EOS]
                    )
                    after = None
                else:
                    column = columns.get(token, 0)
                    after = int(table.following[0, state, column])
                    may_follow = table.fewest[0, position + 1, after] == kept
                    may_follow &= not table.blocked[0, state, column] and not mask[0, token]
                may_follow = token == forced if forced >= 0 else may_follow
                whole = (*tokens, token)
                assert may_follow == any(t[: position + 1] == whole for t in best)
                if may_follow and after is not None:
                    following[whole] = after
        open_states = following


ROWS = [[(0, 1), (1, 0)], [(1, 1, 0)], [(0, 1, 0), (0,), (0,)]]  # "0 1 0" contains the first two
LIMITS = {"min_length": 4, "banned_phrases": [(0, 0), (1, 1, 1)]}


@pytest.fixture(scope="module", params=[0, 1])
def searched(request):
    """Seed, and a search with a full beam of rows with other phrases and lengths."""
    model, carry = automaton(request.param), starts(request.param, 3)
    rule = {"length_penalty": 0.7, "coverage_penalty": 0.5}
    limits = LIMITS | {"required_phrases": ROWS, "max_lengths": [5, 4, 5]}
    options = {"beam_size": 40, "max_length": 5}
    result = run(beam_search, attending, model, carry, **options, **limits, **rule)
    return model, carry, rule, jax.device_get(result)


def test_a_full_beam_finds_the_best_with_the_required_phrases(searched):
    model, carry, rule, result = searched
    for row, most in enumerate([5, 4, 5]):
        limits = LIMITS | {"required": ROWS[row]}
        expected = best_of_all(model, carry[0][row], 1, most, limits, **rule)
        assert len(expected) > 1
        assert all(lacking(tokens, ROWS[row]) == 0 for _, tokens in expected)
        same(hypotheses(result, row), expected)


def test_the_exact_search_finds_the_best_with_the_required_phrases(searched):
    model, carry, rule, result = searched
    alone = jax.tree.map(lambda leaf: leaf[:1], carry)
    options = {"max_length": 5, "required_phrases": np.array(ROWS[0]), **LIMITS, **rule}
    best = run(exact_search, attending, model, alone, **options)
    assert best.optimal
    same([(best.score, tuple(best.tokens.tolist()))], hypotheses(result, 0)[:1])


def test_groups_allocate_their_beams_as_the_search_on_lists():
    required, banned = ((0, 1, 4), (3,), (3,)), ((1, 1), (4, 0))
    options = {"groups": 2, "diversity": 0.5, "beam_size": 6, "length_penalty": 0.5}
    for seed in range(4):
        model, carry = automaton(seed, 5), starts(seed, 3)
        limits = {"banned_phrases": banned, "required_phrases": required[:1], "required": [3, 3]}
        result = run(beam_search, plain, model, carry, max_length=6, **options, **limits)
        result = jax.device_get(result)
        for row in range(3):
            mine = {"banned_phrases": banned, "required": required}
            expected = slow_beam_search(model, carry[0][row], 1, 6, mine, **options)
            same(hypotheses(result, row), expected)


def test_one_beam_has_all_phrases_even_where_a_likely_token_bans_them():
    # the model repeats 4, and after 4 the phrase 0 1 is banned
    model, carry = automaton(0, 5), starts(0, 2)
    model["logits"][:] = np.log([0.01, 0.01, 0.01, 0.01, 0.96])
    limits = {"required_phrases": [(0, 1), (1, 3)], "banned_phrases": [(4, 0)]}
    result = run(beam_search, plain, model, carry, beam_size=1, max_length=8, **limits)
    result = jax.device_get(result)
    for row in range(2):
        ((_, tokens),) = hypotheses(result, row)
        assert lacking(tokens, limits["required_phrases"]) == 0
        assert (4, 0) not in itertools.pairwise(tokens)


def test_a_token_is_a_phrase_of_length_one():
    model, carry = automaton(3, 5), starts(3, 3)
    tokens = np.array([[0, 3], [1, 1], [4, -1]])
    options = {"beam_size": 4, "max_length": 6}
    a = run(beam_search, plain, model, carry, **options, required=tokens)
    b = run(beam_search, plain, model, carry, **options, required_phrases=tokens[..., None])
    for one, other in zip(a[:4], b[:4], strict=True):
        np.testing.assert_array_equal(one, other)


def test_phrases_are_constants_inside_jit():
    model, carry = jax.tree.map(jnp.asarray, automaton(13, 5)), starts(13, 3)
    options = {"beam_size": 1, "max_length": 6, "banned": (4,), "prefix": np.full((3, 1), 3)}

    def decode(carry, required_phrases=((0, 1),), **limits):
        limits = {"required_phrases": required_phrases} | limits
        return run(beam_search, plain, model, carry, **options, **limits).tokens

    for tokens in jax.jit(decode)(carry)[:, 0].tolist():
        assert tokens[0] == 3
        assert (0, 1) in itertools.pairwise(tokens)
    with pytest.raises(ValueError, match="required_phrases must have values"):
        jax.jit(decode)(carry, ((0, 1),))
    with pytest.raises(ValueError, match="limits with phrases must have values"):
        jax.jit(lambda most: decode(carry, max_lengths=most))(np.array([5, 5, 5]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"required_phrases": [0, 1]}, "must be a sequence of phrases, not of tokens"),
        ({"required_phrases": [[[0]], [[1]], [[1]]]}, "has phrases of 3 rows; there are 2"),
        ({"required_phrases": [[0, 3]]}, "required_phrases token 3 is outside the vocabulary of 3"),
        ({"banned_phrases": [[0, EOS]]}, "banned_phrases contains 2, the end"),
        (
            {"required_phrases": [[0, 0, 1], [1, 1]]},
            "row 0 has required phrases of 4 tokens; 4",
        ),
        (
            {"required_phrases": [[[0]], [[0, 1]]], "banned": np.eye(3, dtype=bool)[:2]},
            "row 0: no hypothesis has all required phrases and no banned phrase or token",
        ),
        ({"required_phrases": [[0, 1, 1]], "banned_phrases": [[1, 1]]}, "row 0: no hypothesis"),
        (
            {"required_phrases": [[0, 1]] * 256, "max_length": 600},
            "256 required phrases and tokens are too many: .* may be 8 different ones",
        ),
    ],
)
def test_phrases_that_no_hypothesis_satisfies_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        run(beam_search, plain, automaton(0), starts(0, 2), **SMALL | options)


def test_phrases_may_be_ragged_or_padded_for_all_rows_or_each():
    both = [(0, 1), (3,)]
    padded = np.array([[0, 1, -1], [3, -1, -1], [-1, -1, -1]])
    for given_phrases in (both, padded, [np.array([0, 1]), [3, -1]], [both, padded]):
        assert parse_phrases("required", given_phrases, 2, 5, EOS) == [both, both]
