"""Bidirectional, Stacked, DeepRecurrent: merges, carries, residuals, padding, errors."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nets.recurrent.bidirectional import Bidirectional
from nets.recurrent.cells import ElmanCell, GRUCell, LSTMCell
from nets.recurrent.checks import check_inputs
from nets.recurrent.layers import RNN, Stacked
from nets.recurrent.stack import DeepRecurrent
from tests.nets.recurrent.networks import (
    B,
    D,
    H,
    T,
    assert_close,
    make_cell,
    make_network,
    noise_like,
    quick_jit,
    setting,
)

X = np.zeros((B, T, D), np.float32)
LENGTHS = np.array([4, 0, T])
REAL = np.arange(T) < LENGTHS[:, None]


def both(merge="concat", **options):
    return Bidirectional(RNN(make_cell("gru")), RNN(make_cell("gru")), merge=merge, **options)


def variables_of(net, x=X, seed=0):
    return noise_like(jax.eval_shape(net.init, jax.random.key(0), x), seed)


@cache
def directions():
    """Results of the two directions of `both`, each run alone."""
    variables, x, carry = setting("gru", "bidirectional")
    results = []
    for name, start in zip(("forward", "backward"), carry, strict=True):
        net = RNN(make_cell("gru"), reverse=name == "backward")
        params = {"params": variables["params"][name]}
        results.append(quick_jit(net.apply)(params, x, LENGTHS, initial_carry=start))
    return results


@pytest.mark.parametrize(
    ("merge", "expected"),
    [
        ("concat", lambda a, b: np.concatenate([a, b], -1)),
        ("sum", lambda a, b: a + b),
        ("mean", lambda a, b: (a + b) / 2),
        ("product", lambda a, b: a * b),
        (lambda a, b: jnp.cos(a - 2 * b), lambda a, b: np.cos(a - 2 * b) * REAL[..., None]),
        (lambda a, b: jnp.stack([a, b, a], -1).sum(-1)[..., :2], lambda a, b: (2 * a + b)[..., :2]),
    ],
)
def test_merges(merge, expected):
    variables, x, carry = setting("gru", "bidirectional")
    run = quick_jit(both(merge).apply)
    last, outputs = run(variables, x, LENGTHS, initial_carry=carry)
    (first, a), (second, b) = directions()
    assert_close(last, (first, second), 1e-6)
    assert_close(np.asarray(outputs), np.asarray(expected(np.asarray(a), np.asarray(b))))
    assert (outputs[~REAL] == 0).all()


def test_the_two_directions_may_differ():
    net = Bidirectional(RNN(LSTMCell(2)), RNN(ElmanCell(5)))
    variables = variables_of(net)
    (first, second), outputs = jax.eval_shape(net.apply, variables, X)
    assert (first.h.shape, second.shape, outputs.shape) == ((B, 2), (B, 5), (B, T, 7))
    params = jax.tree.map(np.shape, variables["params"])
    assert params["backward"]["cell"]["recurrent_kernel"] == (5, 5)
    assert set(params) == {"forward", "backward"}


def test_parameters_of_a_stack():
    net = Stacked([RNN(GRUCell(2)), both(), RNN(LSTMCell(3, projection=1))])
    shapes = jax.tree.map(np.shape, variables_of(net)["params"])
    assert set(shapes) == {"layers_0", "layers_1", "layers_2"}
    assert shapes["layers_1"]["backward"]["cell"]["kernel"] == (2, 3 * H)
    assert shapes["layers_2"]["cell"]["kernel"] == (2 * H, 12)
    carries, outputs = jax.eval_shape(net.apply, variables_of(net), X)
    assert len(carries) == 3
    assert outputs.shape == (B, T, 1)


def test_a_stack_equals_its_layers_in_sequence():
    layers = [RNN(GRUCell(5)), both(), RNN(LSTMCell(3), reverse=True)]
    net = Stacked(layers)
    x = np.random.default_rng(0).normal(size=X.shape).astype(np.float32)
    x = np.where(REAL[..., None], x, np.float32(np.nan))
    variables = variables_of(net)
    carries, outputs = quick_jit(net.apply)(variables, x, LENGTHS)
    for k, layer in enumerate(layers):
        params = {"params": variables["params"][f"layers_{k}"]}
        carry, x = quick_jit(layer.apply)(params, x, LENGTHS)
        assert_close(carries[k], carry, 1e-6)
    assert_close(outputs, x, 1e-6)


def test_residual_adds_the_input_of_every_layer_but_the_first():
    layers = [RNN(GRUCell(H)), RNN(LSTMCell(H)), RNN(ElmanCell(H))]
    net = Stacked(layers, residual=True)
    x = np.random.default_rng(0).normal(size=X.shape).astype(np.float32)
    variables = variables_of(net)
    _, outputs = quick_jit(net.apply)(variables, x, LENGTHS)
    expected = x
    for k, layer in enumerate(layers):
        params = {"params": variables["params"][f"layers_{k}"]}
        y = quick_jit(layer.apply)(params, expected, LENGTHS)[1]
        expected = y + expected if k else y
    assert_close(outputs, expected)
    assert (outputs[~REAL] == 0).all()


def test_dropout_between_the_layers_is_new_at_every_step_and_off_outside_of_training():
    """Two layers that output their input."""

    def identity_layer():
        return RNN(ElmanCell(H, activation=lambda a: a))

    eye = {"kernel": np.eye(H), "recurrent_kernel": np.zeros((H, H)), "bias": np.zeros(H)}
    net = Stacked([identity_layer(), identity_layer()], dropout=0.25)
    variables = {"params": {f"layers_{k}": {"cell": eye} for k in (0, 1)}}
    x = np.ones((40, 20, H), np.float32)
    _, still = quick_jit(net.apply)(variables, x)
    assert (still == 1).all()
    rngs = {"dropout": jax.random.key(0)}
    run = quick_jit(partial(net.apply, train=True))
    (first, _), outputs = run(variables, x, rngs=rngs)
    assert (first == 1).all()  # no dropout before the first layer
    outputs = np.asarray(outputs)
    assert set(np.unique(outputs)) == {0.0, np.float32(1 / 0.75)}
    assert abs((outputs == 0).mean() - 0.25) < 0.03
    assert (outputs != outputs[:, :1]).any(axis=(1, 2)).all()
    again = run(variables, x, rngs=rngs)[1]
    assert (again == outputs).all()


def test_a_deep_network_takes_what_its_layers_take_and_checks_it_once(monkeypatch):
    variables, x, carry = setting("gru", "deep")
    inside = {"params": {"stack": variables["params"]}}
    rng = np.random.default_rng(0)
    given = {"mask": rng.random((B, T)) < 0.7, "resets": rng.random((B, T)) < 0.3}
    checked = []
    monkeypatch.setattr(
        "nets.recurrent.layers.check_inputs", lambda *a: checked.append(a) or check_inputs(*a)
    )

    @quick_jit
    def run(variables, x, carry):
        return DeepRecurrent(H, layers=2, cell="gru").apply(
            variables, x, LENGTHS, initial_carry=carry, **given
        )

    results = run(inside, x, carry)
    assert len(checked) == 1
    expected = quick_jit(make_network("gru", "deep").apply)(
        variables, x, LENGTHS, initial_carry=carry, **given
    )
    assert_close(results, expected, 1e-6)


def refused(net, **options):
    with pytest.raises(ValueError, match=r".") as caught:
        jax.eval_shape(partial(net.init, **options), jax.random.key(0), X)
    return str(caught.value)


def test_a_layer_that_is_reversed_already_is_refused():
    reverse = RNN(make_cell("gru"), reverse=True)
    assert "reverse=False" in refused(Bidirectional(RNN(make_cell("gru")), reverse))
    assert "reverse=False" in refused(Bidirectional(reverse, RNN(make_cell("gru"))))


def test_a_layer_or_cell_used_twice_is_refused():
    layer, cell = RNN(GRUCell(H)), GRUCell(D)
    assert "twice" in refused(Bidirectional(layer, layer))
    assert "twice" in refused(Bidirectional(RNN(cell), RNN(cell)))
    assert "twice" in refused(Stacked([RNN(cell)] * 2))


def test_an_unknown_merge_is_refused_with_the_known_ones():
    message = refused(both("average"))
    assert all(word in message for word in ("concat", "sum", "mean", "product", "'average'"))


def test_a_wrong_number_of_carries_is_refused():
    zeros = np.zeros((B, H), np.float32)
    assert "two" in (message := refused(both(), initial_carry=(zeros,)))
    assert "got 1" in message
    message = refused(Stacked([RNN(GRUCell(H)), RNN(GRUCell(H))]), initial_carry=(zeros,) * 3)
    assert "2 layers" in message
    assert "got 3" in message


def test_the_carry_of_each_direction_is_checked():
    good, bad = np.zeros((B, H), np.float32), np.zeros((B, H + 1), np.float32)
    message = refused(both(), initial_carry=(good, bad))
    assert f"[{B}, {H}]" in message
    assert f"[{B}, {H + 1}]" in message


def test_a_residual_layer_of_another_width_is_refused_with_both_shapes():
    message = refused(Stacked([RNN(GRUCell(H)), RNN(GRUCell(H + 1))], residual=True))
    assert str((B, T, H)) in message
    assert str((B, T, H + 1)) in message


def test_stacks_in_both_directions():
    """Each direction may be a whole stack, as in Peters et al. 2018."""
    net = Bidirectional(*(Stacked([RNN(GRUCell(H)), RNN(ElmanCell(H))]) for _ in range(2)))
    variables, x = variables_of(net), setting("gru")[1]
    (forward, backward), outputs = quick_jit(net.apply)(variables, x, LENGTHS)
    for name, last, reverse, half in (
        ("forward", forward, False, outputs[..., :H]),
        ("backward", backward, True, outputs[..., H:]),
    ):
        alone = Stacked([RNN(cell(H), reverse=reverse) for cell in (GRUCell, ElmanCell)])
        params = {"params": variables["params"][name]}
        assert_close(quick_jit(alone.apply)(params, x, LENGTHS), (last, half), 1e-6)
