"""The language model: the lectures' equations, its parameters, and its state."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from nets.language.recurrent_lm import LanguageModel
from nets.recurrent.cells import CELLS, LSTMCell
from nets.recurrent.layers import RNN

V, H, E = 5, 4, 3
all_cells = pytest.mark.parametrize("cell", sorted(CELLS))


def noise_like(tree, seed, scale=0.7):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: rng.normal(0, scale, a.shape).astype(a.dtype), tree)


def apply(model, *args, **options):
    return jax.jit(partial(model.apply, **options))(*args)


def setting(batch=2, time=5, **options):
    """A model with random variables, tokens and carry."""
    model = LanguageModel(vocabulary=V, hidden=H, **options)
    tokens = np.random.default_rng(0).integers(0, V, (batch, time), np.int32)
    carry = model.initialize_carry(batch)
    shapes = jax.eval_shape(model.init, jax.random.key(0), tokens, carry)
    return model, noise_like(shapes, 1), tokens, noise_like(carry, 2)


def assert_close(actual, expected):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), actual, expected
    )


@pytest.mark.parametrize("layers", [1, 2])
def test_tanh_network_on_one_hot_symbols_matches_the_equation_of_the_lectures(layers):
    model, variables, tokens, carry = setting(cell="rnn", layers=layers)
    params = jax.tree.map(lambda p: np.asarray(p, np.float64), variables["params"])
    logits, after = apply(model, variables, tokens, carry)
    for row in range(2):
        h = [np.asarray(c[row], np.float64) for c in carry]
        for t in range(5):
            x = np.eye(V)[tokens[row, t]]
            for layer in range(layers):
                p = params[f"recurrent_{layer}"]["cell"]
                U, b, W = p["kernel"], p["bias"], p["recurrent_kernel"]
                x = h[layer] = np.tanh(x @ U + h[layer] @ W + b)
            output = params["output"]
            assert_close(logits[row, t], x @ output["kernel"] + output["bias"])
        assert_close([c[row] for c in after], h)


@all_cells
@pytest.mark.parametrize("embedding", [0, E])
@pytest.mark.parametrize("layers", [1, 3])
def test_number_of_parameters(cell, embedding, layers):
    model = LanguageModel(vocabulary=V, cell=cell, hidden=H, layers=layers, embedding=embedding)
    shapes = jax.eval_shape(
        model.init, jax.random.key(0), jnp.zeros((1, 1), jnp.int32), model.initialize_carry(1)
    )
    gates = {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    widths = [embedding or V] + [H] * (layers - 1)
    recurrent = sum(gates * (width * H + H * H + H) for width in widths)
    count = sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
    assert count == embedding * V + recurrent + H * V + V


@all_cells
def test_embedding_replaces_one_hot_vectors_by_its_rows(cell):
    model, variables, tokens, carry = setting(cell=cell, embedding=V)
    params = dict(variables["params"])
    table = params.pop("embed")["embedding"]
    assert table.shape == (V, V)
    logits, after = apply(model, variables, tokens, carry)
    assert logits.shape == (2, 5, V)

    # multiplying a one-hot vector by (table @ kernel) equals looking up its embedding first
    layer = params["recurrent_0"]["cell"]
    folded = {**layer, "kernel": table @ layer["kernel"]}
    params["recurrent_0"] = {"cell": folded}
    one_hot = LanguageModel(vocabulary=V, cell=cell, hidden=H)
    assert_close((logits, after), apply(one_hot, {"params": params}, tokens, carry))


@all_cells
def test_one_symbol_at_a_time_matches_the_whole_sequence(cell):
    model, variables, tokens, carry = setting(cell=cell, layers=2, embedding=E)
    resets = jnp.zeros((2, 5), jnp.int32).at[0, 2].set(1)
    whole = apply(model, variables, tokens, carry, resets)
    run = jax.jit(model.apply)
    logits = []
    for t in range(5):
        step, carry = run(variables, tokens[:, t : t + 1], carry, resets[:, t : t + 1])
        logits.append(step)
    assert_close((jnp.concatenate(logits, axis=1), carry), whole)


@all_cells
def test_a_reset_at_every_step_isolates_each_symbol(cell):
    model, variables, tokens, carry = setting(cell=cell, layers=2)
    logits, _ = apply(model, variables, tokens, carry, jnp.ones((2, 5), jnp.int32))
    alone, _ = apply(model, variables, tokens.reshape(10, 1), model.initialize_carry(10))
    assert_close(logits, alone.reshape(2, 5, V))


@all_cells
def test_initial_carry_is_zero_for_every_layer(cell):
    carry = LanguageModel(vocabulary=V, cell=cell, hidden=H, layers=3).initialize_carry(2)
    assert len(carry) == 3
    leaves = jax.tree.leaves(carry)
    assert len(leaves) == 3 * (2 if cell == "lstm" else 1)
    for leaf in leaves:
        assert leaf.dtype == jnp.float32
        np.testing.assert_array_equal(leaf, np.zeros((2, H)))


def test_dropout_applies_in_training_only():
    model, variables, tokens, carry = setting(layers=2, dropout=0.5)
    plain = LanguageModel(vocabulary=V, hidden=H, layers=2)
    expected = apply(plain, variables, tokens, carry)
    assert_close(apply(model, variables, tokens, carry), expected)
    assert_close(apply(plain, variables, tokens, carry, train=True), expected)

    @jax.jit
    def trained(seed):
        rngs = {"dropout": jax.random.key(seed)}
        return model.apply(variables, tokens, carry, train=True, rngs=rngs)[0]

    assert_close(trained(0), trained(0))
    assert np.abs(trained(0) - trained(1)).max() > 0.01
    assert np.abs(trained(0) - expected[0]).max() > 0.01


def test_dropout_applies_to_the_output_of_every_layer_and_not_to_input_or_state():
    model, variables, tokens, carry = setting(layers=2, embedding=E, dropout=1.0)
    logits, after = apply(
        model, variables, tokens, carry, train=True, rngs={"dropout": jax.random.key(0)}
    )
    # the rate is 1: everything subject to dropout is dropped
    bias = variables["params"]["output"]["bias"]
    assert_close(logits, jnp.broadcast_to(bias, logits.shape))
    _, expected = apply(model, variables, tokens, carry)
    assert_close(after[0], expected[0])
    assert np.abs(after[1].h - expected[1].h).max() > 0.01


def test_bfloat16_returns_float32():
    model, variables, tokens, carry = setting(cell="gru", dtype=jnp.bfloat16)
    logits, after = apply(model, variables, tokens, carry)
    assert {leaf.dtype for leaf in jax.tree.leaves((logits, after))} == {jnp.dtype("float32")}
    full, _ = apply(LanguageModel(vocabulary=V, cell="gru", hidden=H), variables, tokens, carry)
    # a bfloat16 product has a relative error of about 2**-8, never 0
    assert 0 < np.abs(logits - full).max() < 0.1


def test_input_scale_is_the_deviation_of_the_first_input_kernel_only():
    tokens = jnp.zeros((1, 2), jnp.int32)

    def deviations(**options):
        model = LanguageModel(vocabulary=400, hidden=50, layers=2, **options)
        carry = model.initialize_carry(1)
        params = jax.jit(model.init)(jax.random.key(0), tokens, carry)["params"]
        return [np.std(np.asarray(params[f"recurrent_{i}"]["cell"]["kernel"])) for i in range(2)]

    np.testing.assert_allclose(deviations(), [1 / 20, 50**-0.5], rtol=0.03)
    np.testing.assert_allclose(deviations(input_scale=0.3), [0.3, 50**-0.5], rtol=0.03)


@pytest.mark.parametrize(("layers", "embedding"), [(1, H), (2, H), (2, E), (3, E)])
def test_tied_output_is_the_embedding(layers, embedding):
    model, variables, tokens, carry = setting(layers=layers, embedding=embedding, tied=True)
    assert model.widths == [H] * (layers - 1) + [embedding]
    assert [c.h.shape[1] for c in carry] == model.widths
    logits, after = apply(model, variables, tokens, carry)
    params = variables["params"]
    x = params["embed"]["embedding"][tokens]
    for i, width in enumerate(model.widths):
        layer, cell = RNN(LSTMCell(width)), params[f"recurrent_{i}"]
        final, x = apply(layer, {"params": cell}, x, initial_carry=carry[i])
        assert_close(after[i], final)
    assert_close(logits, x @ params["embed"]["embedding"].T + params["bias"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "tied needs an embedding, got embedding 0"),
        ({"embedding": E}, f"one layer needs equal embedding and hidden, got {E} and {H}"),
    ],
)
def test_impossible_ties_are_rejected(options, message):
    with pytest.raises(ValueError, match=message):
        setting(tied=True, **options)


def test_init_range_bounds_kernels_and_embedding():
    model = LanguageModel(vocabulary=300, hidden=40, layers=2, embedding=30, init_range=0.05)
    tokens, carry = jnp.zeros((1, 1), jnp.int32), model.initialize_carry(1)
    params = jax.jit(model.init)(jax.random.key(0), tokens, carry)["params"]
    leaves = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 2]
    assert len(leaves) == 6
    for leaf in leaves:
        assert np.abs(leaf).max() <= 0.05
        assert np.std(leaf) == pytest.approx(0.05 / 3**0.5, rel=0.05)


def test_embedding_dropout_drops_features_of_the_input():
    model, variables, tokens, carry = setting(embedding=E, embedding_dropout=0.5)
    plain = LanguageModel(vocabulary=V, hidden=H, embedding=E)
    assert_close(apply(model, variables, tokens, carry), apply(plain, variables, tokens, carry))
    (dropped,) = outputs_of(model, variables, tokens, carry, name="drop_embeddings")
    doubled = 2 * variables["params"]["embed"]["embedding"][tokens]
    zero = dropped == 0
    assert 0 < zero.mean() < 1
    assert_close(dropped, np.where(zero, 0, doubled))


def trained(model, variables, tokens, carry, **options):
    """Outputs in training, and the sown values."""
    rngs = {"dropout": jax.random.key(0)}
    return apply(model, variables, tokens, carry, train=True, rngs=rngs, **options)


def outputs_of(*setting, name):
    """Outputs in training of the module with this name."""
    capture = {"capture_intermediates": lambda module, _: module.name == name}
    _, state = trained(*setting, **capture)
    return [np.asarray(x) for x in state["intermediates"][name]["__call__"]]


@pytest.mark.parametrize("variational", [False, True])
def test_variational_dropout_has_one_mask_for_all_steps(variational):
    options = {"dropout": 0.5, "embedding_dropout": 0.5, "variational": variational}
    setup = setting(layers=2, time=9, embedding=E, **options)
    for name in ("drop_embeddings", "drop"):
        for output in outputs_of(*setup, name=name):
            zero = output == 0
            assert 0 < zero.mean() < 1
            assert (zero == zero[:, :1]).all() == variational


def test_word_dropout_drops_a_symbol_everywhere():
    setup = setting(batch=4, time=30, embedding=E, word_dropout=0.5)
    model, variables, tokens, carry = setup
    plain = LanguageModel(vocabulary=V, hidden=H, embedding=E)
    assert_close(apply(*setup), apply(plain, *setup[1:]))

    @jax.jit
    def inputs_of_the_first_layer(variables):
        inputs = []

        def record(next_fun, args, kwargs, context):
            if context.module.name == "recurrent_0" and context.method_name == "__call__":
                inputs.append(args[0])
            return next_fun(*args, **kwargs)

        with nn.intercept_methods(record):
            model.apply(variables, tokens, carry, train=True, rngs={"dropout": jax.random.key(0)})
        return inputs[0]

    inputs = np.asarray(inputs_of_the_first_layer(variables))
    dropped = (inputs == 0).all(axis=-1)
    dropped_symbols = set(np.asarray(tokens)[dropped])
    assert 0 < len(dropped_symbols) < V
    assert set(np.asarray(tokens)[~dropped]).isdisjoint(dropped_symbols)
    doubled = 2 * variables["params"]["embed"]["embedding"][tokens]
    assert_close(inputs, np.where(dropped[..., None], 0, doubled))


def test_weight_drop_applies_to_the_recurrent_kernels_in_training():
    setup = setting(layers=2, weight_drop=0.5)
    model, variables, tokens, carry = setup
    plain = LanguageModel(vocabulary=V, hidden=H, layers=2)
    expected = apply(plain, variables, tokens, carry)
    assert_close(apply(*setup), expected)
    logits, _ = trained(*setup)
    assert np.abs(logits - expected[0]).max() > 0.01
    # the first step from a state of zeros does not depend on the recurrent kernels
    zeros = jax.tree.map(jnp.zeros_like, carry)
    first, _ = trained(model, variables, tokens[:, :1], zeros)
    assert_close(first, apply(plain, variables, tokens[:, :1], zeros)[0])


def test_penalties_match_the_formula():
    options = {"activation_penalty": 2.0, "change_penalty": 3.0}
    setup = setting(layers=2, dropout=0.5, **options)
    _, sown = trained(*setup, mutable=["penalties"])
    last = outputs_of(*setup, name="drop")[-1]
    (activation,) = sown["penalties"]["activation"]
    np.testing.assert_allclose(activation, 2 * np.mean(last**2), rtol=1e-5)
    (change,) = sown["penalties"]["change"]
    _, outputs = trained(*setup, capture_intermediates=lambda m, _: m.name == "recurrent_1")
    ((_, h),) = outputs["intermediates"]["recurrent_1"]["__call__"]
    np.testing.assert_allclose(change, 3 * np.mean(np.diff(h, axis=1) ** 2), rtol=1e-5)
    model, variables, tokens, carry = setup
    _, sown = trained(model, variables, tokens[:, :1], carry, mutable=["penalties"])
    assert list(sown["penalties"]) == ["activation"]  # one step has no change
    _, sown = apply(*setup, mutable=["penalties"])
    assert not sown
