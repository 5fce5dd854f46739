"""The scan over time is held to the plain loop over time, in value and in gradient."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nets.cells import ElmanCell, GRUCell, LSTMCarry, LSTMCell
from nets.recurrent import RNN

B, T, D, H = 3, 6, 2, 4
all_cells = pytest.mark.parametrize("cell_type", [ElmanCell, LSTMCell, GRUCell])
quick = settings(deadline=None, derandomize=True, max_examples=15)


def noise_like(tree, seed, scale=0.7):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(0, scale, a.shape), a.dtype), tree)


def zero_carry(cell_type):
    return cell_type(H).initialize_carry(jax.random.key(0), (B, D))


@cache
def setting(cell_type):
    """Return random variables of RNN(cell), an input [B, T, D] and a carry."""
    x = noise_like(jnp.zeros((B, T, D)), 0, 1.0)
    variables = noise_like(jax.eval_shape(RNN(cell_type(H)).init, jax.random.key(0), x), 1)
    return variables, x, noise_like(zero_carry(cell_type), 2)


@cache
def scanned(cell_type):
    return jax.jit(RNN(cell_type(H)).apply)


@cache
def looped(cell_type):
    cell = cell_type(H)

    @jax.jit
    def run(variables, x, carry, resets):
        outputs = []
        for t in range(x.shape[1]):
            fresh = resets[:, t, None] != 0
            carry = jax.tree.map(partial(jnp.where, fresh, 0.0), carry)
            carry, y = cell.apply({"params": variables["params"]["cell"]}, carry, x[:, t])
            outputs.append(y)
        return carry, jnp.stack(outputs, axis=1)

    return run


@cache
def gradient(run):
    """Gradient of a random linear function of all that `run` returns."""

    def scalar(variables, x, carry, resets):
        results = run(variables, x, carry, resets)
        weighted = jax.tree.map(lambda a, w: (a * w).sum(), results, noise_like(results, 5, 0.3))
        return sum(jax.tree.leaves(weighted))

    return jax.jit(jax.grad(scalar, argnums=(0, 1, 2)))


def assert_close(actual, expected):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), actual, expected
    )


@all_cells
@quick
@given(seed=st.integers(0, 999), share=st.sampled_from([0.0, 0.2, 0.6, 1.0]))
def test_equals_the_loop_in_value_and_gradient(cell_type, seed, share):
    variables, _, _ = setting(cell_type)
    x = noise_like(jnp.zeros((B, T, D)), seed, 1.0)
    carry = noise_like(zero_carry(cell_type), seed + 1)
    resets = jnp.asarray(np.random.default_rng(seed).random((B, T)) < share, jnp.int32)
    ours, loop = scanned(cell_type), looped(cell_type)
    assert_close(ours(variables, x, carry, resets), loop(variables, x, carry, resets))
    assert_close(
        gradient(ours)(variables, x, carry, resets), gradient(loop)(variables, x, carry, resets)
    )


@all_cells
def test_without_a_carry_it_starts_from_zeros(cell_type):
    variables, x, _ = setting(cell_type)
    none = jnp.zeros((B, T), jnp.int32)
    expected = looped(cell_type)(variables, x, zero_carry(cell_type), none)
    assert_close(scanned(cell_type)(variables, x), expected)


@all_cells
def test_two_halves_with_the_carry_passed_on_are_the_whole(cell_type):
    variables, x, carry = setting(cell_type)
    resets = jnp.zeros((B, T), jnp.int32).at[0, 1].set(1).at[1, 3].set(1).at[2, 5].set(1)
    run = scanned(cell_type)
    whole = run(variables, x, carry, resets)
    middle, first = run(variables, x[:, : T // 2], carry, resets[:, : T // 2])
    final, second = run(variables, x[:, T // 2 :], middle, resets[:, T // 2 :])
    assert_close((final, jnp.concatenate([first, second], axis=1)), whole)


@all_cells
def test_a_reset_is_a_fresh_run_from_there(cell_type):
    variables, x, carry = setting(cell_type)
    run = scanned(cell_type)
    for t in range(T):
        _, outputs = run(variables, x, carry, jnp.zeros((B, T)).at[:, t].set(1.0))
        # what a causal run has not read yet may be anything, which saves a compilation for each t
        later = jnp.pad(x[:, t:], [(0, 0), (0, t), (0, 0)], constant_values=jnp.nan)
        _, fresh = run(variables, later)
        assert_close(outputs[:, t:], fresh[:, : T - t])


@all_cells
def test_a_reset_forgets_even_nan_in_value_and_gradient(cell_type):
    variables, x, carry = setting(cell_type)
    resets = jnp.zeros((B, T), jnp.int32).at[:, 0].set(1)
    broken = jax.tree.map(lambda c: jnp.full_like(c, jnp.nan), carry)
    run = scanned(cell_type)
    expected = run(variables, x, zero_carry(cell_type), resets)
    assert np.isfinite(expected[1]).all()
    assert_close(run(variables, x, broken, resets), expected)
    for_params, for_x, for_carry = gradient(run)(variables, x, broken, resets)
    clean = gradient(run)(variables, x, zero_carry(cell_type), resets)
    assert_close((for_params, for_x), clean[:2])
    for leaf in jax.tree.leaves(for_carry):
        np.testing.assert_array_equal(leaf, 0.0)


def test_what_came_before_a_reset_may_be_nan():
    variables, x, carry = setting(LSTMCell)
    resets = jnp.zeros((B, T), jnp.int32).at[1, 3].set(1)
    expected = scanned(LSTMCell)(variables, x, carry, resets)
    actual = scanned(LSTMCell)(variables, x.at[1, :3].set(jnp.nan), carry, resets)
    assert np.isnan(actual[1][1, :3]).all()
    assert_close((actual[0], actual[1][1, 3:]), (expected[0], expected[1][1, 3:]))
    assert_close(actual[1][jnp.array([0, 2])], expected[1][jnp.array([0, 2])])


def test_any_non_zero_value_resets():
    variables, x, carry = setting(GRUCell)
    ones = jnp.zeros((B, T), jnp.int32).at[0, 2].set(1).at[2, 4].set(1)
    expected = scanned(GRUCell)(variables, x, carry, ones)
    for resets in (ones * 7, ones != 0, ones * -0.5):
        assert_close(scanned(GRUCell)(variables, x, carry, resets), expected)


@all_cells
def test_one_step_is_the_cell(cell_type):
    variables, x, carry = setting(cell_type)
    after, outputs = scanned(cell_type)(variables, x[:, :1], carry)
    cell = {"params": variables["params"]["cell"]}
    assert_close((after, outputs[:, 0]), cell_type(H).apply(cell, carry, x[:, 0]))


def test_no_step_returns_the_carry_it_was_given():
    variables, x, carry = setting(LSTMCell)
    after, outputs = scanned(LSTMCell)(variables, x[:, :0], carry)
    assert_close(after, carry)
    assert outputs.shape == (B, 0, H)


def test_a_batch_is_its_rows():
    variables, x, carry = setting(GRUCell)
    resets = jnp.zeros((B, T), jnp.int32).at[1, 3].set(1)
    _, outputs = scanned(GRUCell)(variables, x, carry, resets)
    rows = [
        scanned(GRUCell)(variables, x[b : b + 1], carry[b : b + 1], resets[b : b + 1])[1]
        for b in range(B)
    ]
    assert_close(outputs, jnp.concatenate(rows))


def test_x_of_another_rank_is_refused_with_its_shape():
    with pytest.raises(ValueError, match=r"\(3, 2\)"):
        RNN(ElmanCell(H)).init(jax.random.key(0), jnp.zeros((B, D)))


@pytest.mark.parametrize("shape", [(T, B), (B, T + 1), (B,), (B, T, 1)])
def test_resets_of_another_shape_are_refused_with_both_shapes(shape):
    with pytest.raises(ValueError, match="resets") as caught:
        RNN(ElmanCell(H)).init(
            jax.random.key(0), jnp.zeros((B, T, D)), None, jnp.zeros(shape, jnp.int32)
        )
    assert str(shape) in str(caught.value)
    assert str((B, T, D)) in str(caught.value)


def test_wrong_initial_carry_raises_with_both_shapes():
    rnn = RNN(LSTMCell(3))
    x = jnp.zeros((2, 4, 5))
    wrong = LSTMCarry(jnp.zeros((1, 3)), jnp.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(1, 3\)"):
        rnn.init(jax.random.key(0), x, wrong)
