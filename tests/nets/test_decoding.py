"""Sampling is held to the greedy loop and to the distribution that it draws from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from nets.decoding import sample

V = 4


def markov(table, tokens, carry):
    """Logits that depend on the last token alone: table [V, V]."""
    return table[tokens], carry


def counting(table, tokens, carry):
    """Logits that depend on the last token and on a carry that counts: table [3, V, V]."""
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
    drawn = sample(counting, table, (start, start * 0), first, jax.random.key(0), **options)
    assert drawn.shape == (3, 9)
    assert drawn.dtype == jnp.int32
    for row in range(3):
        token, steps, total = int(first[row]), row, 0
        for t in range(9):
            following = int(np.argmax(table[(steps + total) % 3, token]))
            steps, total, token = steps + 1, total + token, following
            assert drawn[row, t] == token


def test_at_temperature_zero_the_first_of_equals_is_taken():
    table, first = jnp.zeros((V, V)).at[:, 0].set(-1.0), jnp.zeros(100, jnp.int32)
    options = {"length": 2, "temperature": 0.0}
    drawn = sample(markov, table, (), first, jax.random.key(0), **options)
    np.testing.assert_array_equal(drawn, 1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_pairs_are_drawn_from_the_softmax_of_each_last_token(temperature):
    table, rows = random_table(V, V), 20_000
    first = jnp.full(rows, 2, jnp.int32)
    options = {"length": 2, "temperature": temperature}
    drawn = np.asarray(sample(markov, table, (), first, jax.random.key(1), **options))
    odds = softmax(np.asarray(table, np.float64) / temperature)
    expected = rows * odds[2][:, None] * odds
    counted = np.zeros((V, V))
    np.add.at(counted, (drawn[:, 0], drawn[:, 1]), 1)
    assert expected.min() > 1
    statistic = ((counted - expected) ** 2 / expected).sum()
    assert statistic < stats.chi2.ppf(0.999, V * V - 1)


def test_a_low_temperature_takes_the_most_probable():
    table = jnp.asarray([[0.0, 1.0, 0.2, 0.5]] * V)
    first = jnp.zeros(2000, jnp.int32)
    options = {"length": 2, "temperature": 0.01}
    drawn = sample(markov, table, (), first, jax.random.key(2), **options)
    np.testing.assert_array_equal(drawn, 1)


def test_the_key_decides():
    table, first = random_table(V, V), jnp.zeros(8, jnp.int32)
    a, again, b = (
        np.asarray(sample(markov, table, (), first, jax.random.key(seed), length=20))
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(a, again)
    assert (a != b).any()
    # every step and every row draws by itself
    assert len({row.tobytes() for row in a}) == 8
    assert len({column.tobytes() for column in a.T}) > 1


@pytest.mark.parametrize("temperature", [0.0, 1e-9, 1.0, 1e6])
def test_a_token_of_no_probability_is_never_drawn(temperature):
    banned = jnp.array([0, 2])
    table = random_table(V, V).at[:, banned].set(-jnp.inf)
    first = jnp.zeros(500, jnp.int32)
    options = {"length": 4, "temperature": temperature}
    drawn = np.asarray(sample(markov, table, (), first, jax.random.key(5), **options))
    assert set(np.unique(drawn)) <= {1, 3}
    if temperature >= 1:
        assert set(np.unique(drawn)) == {1, 3}
