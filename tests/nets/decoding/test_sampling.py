"""Sampling agrees with greedy decoding and with the distribution of the model, in numpy."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from nets.decoding.sampling import (
    greedy,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    sample,
    sample_steps,
)
from nets.decoding.step_model import StepModel, ensemble
from tests.nets.decoding import automata

V = 4
ROWS = 20_000  # tests of one step function share this shape, so they compile once


def markov(table, tokens, carry):
    """Step function that depends only on the last token: table [V, V]."""
    return table[tokens], carry


def counting(table, tokens, carry):
    """Step function that depends on the last token and on counters: table [3, V, V]."""
    steps, total = carry
    return table[(steps + total) % 3, tokens], (steps + 1, total + tokens)


def random_table(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(0, 1.0, shape), jnp.float32)


def softmax(logits):
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


def test_temperature_zero_is_the_greedy_loop():
    table = random_table(3, V, V)
    first = jnp.array([0, 3, 1], jnp.int32)
    start = jnp.array([0, 1, 2], jnp.int32)
    options = {"length": 9, "temperature": 0.0}
    drawn = sample(
        StepModel(counting, table, (start, start * 0), first), jax.random.key(0), **options
    )
    assert drawn.shape == (3, 9)
    assert drawn.dtype == jnp.int32
    table = np.asarray(table)
    for row in range(3):
        token, steps, total = int(first[row]), row, 0
        for t in range(9):
            following = int(np.argmax(table[(steps + total) % 3, token]))
            steps, total, token = steps + 1, total + token, following
            assert drawn[row, t] == token


def test_at_temperature_zero_ties_go_to_the_lowest_id():
    table, first = jnp.zeros((V, V)).at[:, 0].set(-1.0), jnp.zeros(ROWS, jnp.int32)
    options = {"length": 2, "temperature": 0.0}
    drawn = sample(StepModel(markov, table, (), first), jax.random.key(0), **options)
    np.testing.assert_array_equal(drawn, 1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_pairs_are_drawn_from_the_softmax_of_each_last_token(temperature):
    table, first = random_table(V, V), jnp.full(ROWS, 2, jnp.int32)
    options = {"length": 2, "temperature": temperature}
    drawn = np.asarray(sample(StepModel(markov, table, (), first), jax.random.key(1), **options))
    odds = softmax(np.asarray(table, np.float64) / temperature)
    expected = ROWS * odds[2][:, None] * odds
    counted = np.zeros((V, V))
    np.add.at(counted, (drawn[:, 0], drawn[:, 1]), 1)
    assert expected.min() > 1
    statistic = ((counted - expected) ** 2 / expected).sum()
    assert statistic < stats.chi2.ppf(0.999, V * V - 1)


def test_a_low_temperature_takes_the_most_probable():
    table = jnp.asarray([[0.0, 1.0, 0.2, 0.5]] * V)
    first = jnp.zeros(ROWS, jnp.int32)
    options = {"length": 2, "temperature": 0.01}
    drawn = sample(StepModel(markov, table, (), first), jax.random.key(2), **options)
    np.testing.assert_array_equal(drawn, 1)


def test_samples_depend_on_the_key():
    table, first = random_table(V, V), jnp.zeros(8, jnp.int32)
    a, again, b = (
        np.asarray(sample(StepModel(markov, table, (), first), jax.random.key(seed), length=20))
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(a, again)
    assert (a != b).any()
    # steps and rows are sampled independently
    assert len({row.tobytes() for row in a}) == 8
    assert len({column.tobytes() for column in a.T}) > 1


@pytest.mark.parametrize("temperature", [0.0, 1e-9, 1.0, 1e6])
def test_a_token_of_no_probability_is_never_drawn(temperature):
    banned = jnp.array([0, 2])
    table = random_table(V, V).at[:, banned].set(-jnp.inf)
    first = jnp.zeros(ROWS, jnp.int32)
    options = {"length": 2, "temperature": temperature}
    drawn = np.asarray(sample(StepModel(markov, table, (), first), jax.random.key(5), **options))
    assert set(np.unique(drawn)) <= {1, 3}
    if temperature >= 1:
        assert set(np.unique(drawn)) == {1, 3}


def test_the_greedy_loop_takes_the_most_probable_until_the_end():
    model, carry = automata.automaton(4, 5, 1.0), automata.starts(4, 20)
    first = np.arange(20, dtype=np.int32) % 5
    result = greedy(StepModel(automata.plain, model, carry, first, 2), max_length=8)
    result = jax.device_get(result)
    for row in range(20):
        state, tokens = carry[0][row], [int(first[row])]
        while len(tokens) <= 8 and (len(tokens) == 1 or tokens[-1] != 2):
            state = model["following"][state, tokens[-1]]
            tokens.append(int(np.argmax(model["logits"][len(tokens) - 1, state])))
        length, tokens = len(tokens) - 1, tuple(tokens[1:])
        assert result.lengths[row] == length
        np.testing.assert_array_equal(result.tokens[row], [*tokens, *[0] * (8 - length)])
        log_probs, _ = automata.walk(model, carry[0][row], first[row], tokens)
        np.testing.assert_allclose(result.log_probs[row, :length], log_probs, atol=1e-5)
        assert not result.log_probs[row, length:].any()
    assert len(set(result.lengths.tolist())) > 1
    assert result.tokens.dtype == result.lengths.dtype == jnp.int32


def test_the_greedy_loop_ends_with_its_last_row():
    calls = []

    def step(ends, tokens, carry, memory):
        jax.debug.callback(lambda _: calls.append(1), tokens)
        return jnp.where(carry[:, None] == memory[:, None], ends[0], ends[1]), carry + 1

    ends = jnp.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    carry, memory = jnp.zeros(3, jnp.int32), jnp.array([0, 4, 2])
    model = StepModel(step, ends, carry, carry, 2, memory)
    result = greedy(model, max_length=9)
    jax.effects_barrier()
    np.testing.assert_array_equal(result.lengths, [1, 5, 3])
    assert len(calls) == 5
    with pytest.raises(ValueError, match="max_length is 0"):
        greedy(model, max_length=0)
    with pytest.raises(ValueError, match="a search needs a token that ends a sequence"):
        greedy(StepModel(step, ends, carry, carry, memory=memory), max_length=9)


def test_nan_logits_give_nan_log_probs():
    table, first = random_table(V, V).at[3].set(jnp.nan), jnp.array([3], jnp.int32)
    result = greedy(StepModel(markov, table, (), first, 2), max_length=1)
    assert np.isnan(result.log_probs).all()


def kept_top_k(logits, k):
    """Mask of the k largest."""
    return logits >= np.sort(logits)[-min(k, len(logits))]


def kept_top_p(logits, p):
    """Mask of the smallest set with probability p."""
    kept, total = np.zeros(len(logits), bool), 0.0
    for token in np.argsort(-logits):
        if total < p:
            kept[token] = True
            total += softmax(np.float64(logits))[token]
    return kept


def kept_min_p(logits, p):
    """Mask of the tokens with at least p times the largest probability."""
    odds = softmax(np.float64(logits))
    return odds >= p * odds.max()


@pytest.mark.parametrize(
    ("keep", "oracle", "values"),
    [
        (keep_top_k, kept_top_k, [1, 3, 11, 50]),
        (keep_top_p, kept_top_p, [1e-9, 0.3, 0.9, 0.999]),
        (keep_min_p, kept_min_p, [1e-6, 0.05, 0.5, 0.97]),
    ],
)
def test_filters_agree_with_numpy(keep, oracle, values):
    logits = np.random.default_rng(2).normal(0, 2, (4, 3, 11)).astype(np.float32)
    logits[0, :, 5] = -np.inf
    results = jax.jit(lambda logits: [keep(logits, value) for value in values])(logits)
    for value, result in zip(values, jax.device_get(results), strict=True):
        for row in np.ndindex(4, 3):
            kept = oracle(logits[row], value) & np.isfinite(logits[row])
            np.testing.assert_array_equal(result[row], np.where(kept, logits[row], -np.inf))


@pytest.mark.parametrize(("keep", "value"), [(keep_top_k, 2), (keep_top_p, 0.5), (keep_min_p, 0.9)])
def test_filters_keep_ties(keep, value):
    logits = jnp.array([1.0, 0.0, 1.0, 1.0])
    kept = jax.jit(lambda logits: keep(logits, value))(logits)
    np.testing.assert_array_equal(kept, [1, -np.inf, 1, 1])


def test_top_p_of_one_keeps_every_token():
    logits = jnp.asarray(np.random.default_rng(3).normal(0, 1, (50, 30)), jnp.float32)
    np.testing.assert_array_equal(jax.jit(lambda a: keep_top_p(a, 1.0))(logits), logits)


FILTERS = [{"top_k": 3}, {"top_p": 0.7}, {"min_p": 0.3}, {"top_k": 4, "top_p": 0.8, "min_p": 0.2}]


@pytest.mark.parametrize("filters", FILTERS)
def test_tokens_are_drawn_from_the_filtered_distribution(filters):
    logits = np.random.default_rng(6).normal(0, 1, 7).astype(np.float32)
    temperature = 0.8
    scaled = np.float64(logits) / temperature
    for name, oracle in (("top_k", kept_top_k), ("top_p", kept_top_p), ("min_p", kept_min_p)):
        if name in filters:
            scaled = np.where(oracle(scaled, filters[name]), scaled, -np.inf)
    expected = ROWS * softmax(scaled)
    assert 1 < np.count_nonzero(expected) < 7
    options = {"length": 1, "temperature": temperature, **filters}
    table, first = jnp.asarray(logits)[None], jnp.zeros(ROWS, jnp.int32)
    drawn = sample(StepModel(markov, table, (), first), jax.random.key(7), **options)
    counts = np.bincount(np.asarray(drawn)[:, 0], minlength=7)
    inside = expected > 0
    assert not counts[~inside].any()
    statistic = ((counts - expected)[inside] ** 2 / expected[inside]).sum()
    assert statistic < stats.chi2.ppf(0.999, inside.sum() - 1)


def test_a_row_that_has_ended_is_padded():
    table, first = random_table(V, V), jnp.zeros(64, jnp.int32)
    free, ended = (
        np.asarray(sample(StepModel(markov, table, (), first, eos), jax.random.key(8), length=12))
        for eos in (None, 2)
    )
    ends = 0
    for whole, row in zip(free, ended, strict=True):
        positions = np.flatnonzero(whole == 2)
        length = positions[0] + 1 if positions.size else 12
        np.testing.assert_array_equal(row[:length], whole[:length])
        assert not row[length:].any()
        ends += length < 12
    assert ends > 0


@pytest.mark.parametrize(
    ("eos", "options"), [(None, {}), (2, {"top_k": 3, "top_p": 0.9, "min_p": 0.01})]
)
def test_tokens_drawn_step_by_step_are_those_drawn_at_once(eos, options):
    table, first = random_table(3, V, V), jnp.arange(8, dtype=jnp.int32) % V
    start = jnp.arange(8, dtype=jnp.int32) % 3
    inputs = StepModel(counting, table, (start, start * 0), first, eos), jax.random.key(9)
    options = {"length": 10, "temperature": 1.5, **options}
    steps = list(sample_steps(*inputs, **options))
    assert len(steps) == 10
    np.testing.assert_array_equal(np.stack(steps, axis=1), sample(*inputs, **options))
    with pytest.raises(ValueError, match="top_k is 0"):
        next(sample_steps(*inputs, **options | {"top_k": 0}))


def test_sampling_reads_the_memory():
    def step(table, tokens, carry, memory):
        return table[tokens] + memory, carry

    memory = jnp.full((3, V), -jnp.inf).at[jnp.arange(3), jnp.array([2, 0, 3])].set(0.0)
    first = jnp.zeros(3, jnp.int32)
    model = StepModel(step, random_table(V, V), (), first, memory=memory)
    drawn = sample(model, jax.random.key(0), length=2)
    np.testing.assert_array_equal(drawn, [[2, 2], [0, 0], [3, 3]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 0}, "top_k is 0"),
        ({"top_p": 0.0}, "top_p is 0.0; it must be above 0"),
        ({"top_p": 1.1}, "top_p is 1.1"),
        ({"min_p": -0.1}, "min_p is -0.1"),
    ],
)
def test_filters_that_keep_nothing_are_refused(options, message):
    first = jnp.zeros(3, jnp.int32)
    with pytest.raises(ValueError, match=message):
        sample(
            StepModel(markov, random_table(V, V), (), first), jax.random.key(0), length=1, **options
        )


one_step = jax.jit(lambda model, tokens: model.step(tokens, model.carry))


def test_an_ensemble_of_one_is_the_model():
    model, carry = automata.automaton(4, 5, 1.0), automata.starts(4, 20)
    tokens = jnp.arange(20, dtype=jnp.int32) % 5
    alone = greedy(StepModel(automata.plain, model, carry, tokens, 2), max_length=8)
    one = ensemble([StepModel(automata.attending, model, carry, tokens, 2)])
    for a, b in zip(alone, greedy(one, max_length=8), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    memory = jnp.ones((20, automata.SOURCE), bool).at[::2, 1:].set(False)
    logits, state, attention = jax.jit(automata.attending)(model, tokens, carry, memory)
    one = ensemble([StepModel(automata.attending, model, carry, tokens, 2, memory)])
    result = one_step(one, tokens)
    np.testing.assert_allclose(result[0], jax.nn.log_softmax(logits), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(result[1][0][0], state[0])
    np.testing.assert_array_equal(result[2], attention)


def test_an_ensemble_takes_the_geometric_mean():
    parameters = [automata.automaton(seed, 5) for seed in range(3)]
    carries = [automata.starts(seed, 4) for seed in range(3)]
    tokens = jnp.array([0, 3, 1, 4])
    models = [
        StepModel(automata.attending, p, c, tokens, 2)
        for p, c in zip(parameters, carries, strict=True)
    ]
    steps = [one_step(model, tokens) for model in models]
    together = ensemble(models)
    logits, carry, attention = one_step(together, tokens)
    odds = np.prod([softmax(np.float64(s[0])) for s in steps], axis=0) ** (1 / 3)
    np.testing.assert_allclose(np.exp(logits), odds / odds.sum(axis=1, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(attention, np.mean([s[2] for s in steps], axis=0), rtol=1e-6)
    for mine, step in zip(carry, steps, strict=True):
        np.testing.assert_array_equal(mine[0], step[1][0])
    mixed = ensemble([models[0], replace(models[1], step_fn=automata.plain)])
    assert one_step.eval_shape(mixed, tokens)[2] is None
    # ensembles of equal step functions share a compiled program
    assert hash(together.step_fn) == hash(ensemble(models).step_fn)
    assert together.step_fn == ensemble(models).step_fn


def test_models_that_do_not_fit_together_are_refused():
    models = [StepModel(markov, random_table(V, V), (), jnp.zeros(3, jnp.int32), 2)] * 2
    with pytest.raises(ValueError, match="at least one model"):
        ensemble([])
    with pytest.raises(ValueError, match="must have the same bos_id and eos_id"):
        ensemble([*models, replace(models[0], eos_id=3)])
    with pytest.raises(ValueError, match="must have the same bos_id and eos_id"):
        ensemble([*models, replace(models[0], bos_id=jnp.ones(3, jnp.int32))])
