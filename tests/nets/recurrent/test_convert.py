"""Parameters of PyTorch's and Flax's recurrent networks converted to ours and back."""

from functools import cache, partial
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from nets.recurrent import RNN, Bidirectional, Stacked
from nets.recurrent.cells import ElmanCell, GRUCell, LSTMCarry, LSTMCell
from nets.recurrent.convert import exchange_z, from_flax, from_torch, to_flax, to_torch

GOLDEN = dict(np.load(Path(__file__).parent / "golden" / "torch.npz"))
B, T, D = GOLDEN["x"].shape
H = 4
CELLS = {
    "rnn_tanh": ElmanCell(H),
    "rnn_relu": ElmanCell(H, activation=jax.nn.relu),
    "gru": GRUCell(H, reset_after=True),
    "lstm": LSTMCell(H),
    "lstm_projected": LSTMCell(H, projection=2),
}
networks = pytest.mark.parametrize("network", CELLS)
forms = pytest.mark.parametrize("form", ["single", "two_layers", "both_directions", "lengths"])
flax_cells = pytest.mark.parametrize(
    ("network", "other"),
    [
        ("rnn_tanh", nn.SimpleCell(H)),
        ("gru", nn.GRUCell(H)),
        ("lstm", nn.LSTMCell(H)),
        ("lstm", nn.OptimizedLSTMCell(H)),
    ],
)


def golden(network, form, part):
    start = f"{network}/{form}/{part}/"
    return {key.removeprefix(start): a for key, a in GOLDEN.items() if key.startswith(start)}


def kind_of(network):
    return network.split("_")[0]


def state_of(network, form):
    return golden(network, "both_directions" if form == "lengths" else form, "state")


def noise_like(tree, seed, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: rng.normal(0, 0.6, a.shape).astype(dtype), tree)


def assert_close(actual, expected, tolerance=1e-5):
    near = partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance)
    jax.tree.map(near, actual, expected)


def assert_same_bits(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


def assert_comes_back(params, there, back, kind):
    """The round trip is exact and shares no memory."""
    written = there(params, kind)
    read = back(written, kind)
    assert_same_bits(read, params)
    for a in jax.tree.leaves(written):
        assert not any(np.shares_memory(a, b) for b in jax.tree.leaves((params, read)))


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def one_step(network, w, c, h, x):
    """Return c and h of one row after one step, from the equations."""
    inputs, product = x @ w["kernel"] + w["bias"], h @ w["recurrent_kernel"]
    if network.startswith("rnn"):
        total = inputs + product
        return c, np.maximum(total, 0) if network == "rnn_relu" else np.tanh(total)
    if network == "gru":
        (uz, ur, un), (wz, wr, wn) = np.split(inputs, 3), np.split(product, 3)
        z, r = sigmoid(uz + wz), sigmoid(ur + wr)
        return c, z * h + (1 - z) * np.tanh(un + r * (wn + w["recurrent_bias"]))
    i, f, g, o = np.split(inputs + product, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return c, h @ w["projection_kernel"] if "projection_kernel" in w else h


def one_way(network, weights, x, lengths, reverse):
    """Return c and h after the last step read, [B, H], and the outputs [B, T, H]."""
    w = {name: a.astype(np.float64) for name, a in weights.items()}
    outputs = np.zeros((*x.shape[:2], w["recurrent_kernel"].shape[0]))
    finals = []
    for b, length in enumerate(lengths):
        c, h = np.zeros(H), np.zeros(outputs.shape[2])
        for t in reversed(range(length)) if reverse else range(length):
            c, h = one_step(network, w, c, h, x[b, t])
            outputs[b, t] = h
        finals.append((c, h))
    c, h = (np.stack(part) for part in zip(*finals, strict=True))
    return c, h, outputs


def oracle(network, params, x, lengths):
    """Return outputs and PyTorch's h_n and c_n [layers * directions, B, H]."""
    stacked, directions = "layers_0" in params, []
    for layer in [params[f"layers_{k}"] for k in range(len(params))] if stacked else [params]:
        both = [layer] if "cell" in layer else [layer["forward"], layer["backward"]]
        runs = [one_way(network, way["cell"], x, lengths, k == 1) for k, way in enumerate(both)]
        x = np.concatenate([outputs for *_, outputs in runs], axis=-1)
        directions += runs
    c_n, h_n = (np.stack([run[k] for run in directions]) for k in range(2))
    return {"outputs": x, "h_n": h_n, "c_n": c_n}


@networks
@forms
def test_equations_with_the_converted_parameters_are_pytorchs(network, form):
    params = from_torch(state_of(network, form), kind_of(network))
    lengths = GOLDEN["lengths"] if form == "lengths" else [T] * B
    results = oracle(network, params, GOLDEN["x"], lengths)
    for key in ("outputs", "h_n", "c_n") if "lstm" in network else ("outputs", "h_n"):
        assert_close(results[key], GOLDEN[f"{network}/{form}/{key}"], 1e-6)


@cache
def built(network, form):
    """Compiled gradient of our network for parameters and x, with carry and outputs."""

    def layer():
        one = [RNN(CELLS[network].clone()) for _ in range(2)]
        return Bidirectional(*one) if form == "both_directions" else one[0]

    ours = layer() if form == "single" else Stacked((layer(), layer()))

    def scalar(params, x, lengths):
        carry, outputs = ours.apply({"params": params}, x, lengths)
        return (outputs * GOLDEN["weights"][..., : outputs.shape[-1]]).sum(), (carry, outputs)

    return jax.jit(jax.grad(scalar, argnums=(0, 1), has_aux=True))


@networks
@forms
def test_our_networks_are_pytorchs_in_value_and_gradient(network, form):
    kind, params = kind_of(network), from_torch(state_of(network, form), kind_of(network))
    lengths = GOLDEN["lengths"] if form == "lengths" else np.full(B, T)
    x = np.where(np.arange(T)[:, None] < lengths[:, None, None], GOLDEN["x"], np.nan)
    run = built(network, "both_directions" if form == "lengths" else form)
    (for_params, for_x), (carry, outputs) = run(params, x, lengths)

    assert_close(outputs, GOLDEN[f"{network}/{form}/outputs"])
    finals = jax.tree.leaves(carry, is_leaf=lambda c: isinstance(c, LSTMCarry))
    if kind == "lstm":
        assert_close(np.stack([c.c for c in finals]), GOLDEN[f"{network}/{form}/c_n"])
        finals = [c.h for c in finals]
    assert_close(np.stack(finals), GOLDEN[f"{network}/{form}/h_n"])

    expected = golden(network, form, "gradient")
    assert_close(for_x, expected.pop("x"))
    gradient = to_torch(for_params, kind)
    for name in gradient:
        if name.startswith("bias_hh"):
            shared(gradient[name], kind)[:] = shared(gradient[name.replace("hh", "ih")], kind)
    assert_close(gradient, expected)


def shared(bias, kind):
    """The entries of a bias where PyTorch adds its two biases: all but the GRU's n."""
    return bias[: 2 * H] if kind == "gru" else bias


@networks
@forms
def test_to_torch_keeps_the_weights_and_the_sum_of_the_biases(network, form):
    kind, state = kind_of(network), state_of(network, form)
    written = to_torch(from_torch(state, kind), kind)
    assert written.keys() == state.keys()
    for name, array in written.items():
        other = name.replace("_ih_", "_hh_")
        if name.startswith("weight"):
            assert_same_bits(array, state[name])
        elif name.startswith("bias_ih"):
            np.testing.assert_array_equal(array + written[other], state[name] + state[other])
            np.testing.assert_array_equal(shared(written[other], kind), 0.0)


def random_params(network, form, dtype=np.float32):
    """Random parameters in our tree, with zeros of both signs in the biases."""
    params = noise_like(from_torch(state_of(network, form), kind_of(network)), 3, dtype)
    for leaf in jax.tree.leaves(params):
        if leaf.ndim == 1:
            leaf[:2] = -0.0, 0.0
    return params


@networks
@forms
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_round_trip_through_pytorchs_names_is_bit_for_bit(network, form, dtype):
    params = random_params(network, form, dtype)
    assert_comes_back(params, to_torch, from_torch, kind_of(network))


def test_many_layers_whatever_the_order_of_the_names():
    two = random_params("gru", "two_layers")
    tree = {"layers_0": two["layers_0"]}
    tree |= {f"layers_{k}": noise_like(two["layers_1"], k) for k in range(1, 12)}
    assert_same_bits(from_torch(dict(reversed(to_torch(tree, "gru").items())), "gru"), tree)


@networks
def test_a_state_without_biases_has_zeros(network):
    kind, params = kind_of(network), random_params(network, "both_directions")
    weights = {name: a for name, a in to_torch(params, kind).items() if name.startswith("weight")}
    expected = jax.tree.map(lambda a: np.zeros_like(a) if a.ndim == 1 else a, params)
    assert_same_bits(from_torch(weights, kind), expected)


def test_a_stack_of_one_layer_comes_back_as_that_layer():
    params = random_params("lstm", "both_directions")["layers_0"]
    state = to_torch({"layers_0": params}, "lstm")
    assert_same_bits(from_torch(state, "lstm"), params)


def with_gradient(rnn):
    def scalar(params):
        carry, outputs = rnn.apply({"params": params}, GOLDEN["x"])
        return (outputs * GOLDEN["weights"][..., :H]).sum(), (carry, outputs)

    return jax.jit(jax.grad(scalar, has_aux=True))


@cache
def flax_case(other):
    """Random parameters of Flax's RNN; gradient and (carry, outputs) with them."""
    rnn = nn.RNN(other, return_carry=True)
    params = noise_like(jax.eval_shape(rnn.init, jax.random.key(0), GOLDEN["x"])["params"], 4)
    return params, *with_gradient(rnn)(params)


@flax_cells
@pytest.mark.parametrize("driver", [RNN, partial(nn.RNN, return_carry=True)])
def test_our_cell_with_flaxs_parameters_is_flaxs(network, other, driver):
    kind = kind_of(network)
    flax_params, flax_gradient, flax_results = flax_case(other)
    ours = {"cell": from_flax(flax_params["cell"], kind)}
    gradient, results = with_gradient(driver(CELLS[network]))(ours)
    assert_close(jax.tree.leaves(results), jax.tree.leaves(flax_results))
    assert_close(to_flax(gradient["cell"], kind), flax_gradient["cell"])
    assert_comes_back(flax_params["cell"], from_flax, to_flax, kind)


@flax_cells
def test_flaxs_cell_runs_under_our_driver_and_with_our_parameters(network, other):
    params, *expected = flax_case(other)
    run = with_gradient(RNN(other))
    assert_close([*run(params)], expected)
    ours = random_params(network, "single")
    theirs = {"cell": to_flax(ours["cell"], kind_of(network))}
    _, (_, outputs) = run(theirs)
    assert_close(outputs, oracle(network, ours, GOLDEN["x"], [T] * B)["outputs"])
    assert_comes_back(ours["cell"], to_flax, from_flax, kind_of(network))


@pytest.mark.parametrize("reset_after", [False, True])
def test_exchange_z_converts_the_other_convention_into_ours(reset_after):
    def other_convention(w, h, x):
        (uz, ur, un) = np.split(x @ w["kernel"] + w["bias"], 3, axis=-1)
        (wz, wr, wn) = np.split(h @ w["recurrent_kernel"], 3, axis=-1)
        z, r = sigmoid(uz + wz), sigmoid(ur + wr)
        inner = r * (wn + w.get("recurrent_bias", 0))
        if not reset_after:
            inner = (r * h) @ w["recurrent_kernel"][:, 2 * H :]
        return (1 - z) * h + z * np.tanh(un + inner)

    weights = random_params("gru", "single")["cell"]
    if not reset_after:
        del weights["recurrent_bias"]
    h, x = noise_like((np.zeros((B, H)), np.zeros((B, D))), 6)
    converted = exchange_z(weights)
    _, ours = jax.jit(GRUCell(H, reset_after=reset_after).apply)({"params": converted}, h, x)
    assert_close(ours, other_convention(weights, h, x))
    assert_same_bits(exchange_z(converted), weights)


STACK, GRU = random_params("lstm", "two_layers"), random_params("gru", "single")
GIVEN = {
    (from_torch, "lstm"): to_torch(STACK, "lstm"),
    (from_torch, "gru"): to_torch(GRU, "gru"),
    (to_torch, "lstm"): STACK,
    (to_torch, "gru"): GRU,
    (from_flax, "gru"): to_flax(GRU["cell"], "gru"),
    (to_flax, "gru"): GRU["cell"],
    (exchange_z, None): GRU["cell"],
}
ERRORS = [
    # the parameter is replaced by zeros of the shape, or omitted if None
    (from_torch, "lstm", "weight_hh_l1", None, "missing parameter 'weight_hh_l1'"),
    (from_torch, "gru", "bias_hh_l0", None, "missing parameter 'bias_hh_l0'"),
    (from_torch, "lstm", "weight_ih_l0_reverse", (16, 3), "missing .*'weight_hh_l0_reverse'"),
    (from_torch, "lstm", "weight_hh_l3", (16, H), "unknown .*'weight_hh_l3'.*'weight_hh_l2'"),
    (from_torch, "lstm", "weights_hh_l0", (16, H), "nearest valid one is 'weight_hh_l0'"),
    (from_torch, "lstm", "weight_ih_l0", (16,), r"weight_ih_l0 must be \[.*\(16,\)"),
    (from_torch, "lstm", "weight_ih_l1", (16, 3), r"_l1 .*\(16, 4\), got \(16, 3\)"),
    (from_torch, "gru", "weight_hr_l0", (2, H), "unknown parameter 'weight_hr_l0'"),
    (to_torch, "lstm", "layers_1/cell/bias", None, "missing parameter 'layers_1/cell/bias'"),
    (to_torch, "lstm", "layers_0/cell/peephole_kernel", (3, H), "unknown .*peephole_kernel'"),
    (to_torch, "lstm", "layers_1/cell/kernel", (3, 16), r"_1.* \(4, 16\), got \(3, 16\)"),
    (to_torch, "lstm", "layers_1/forward/cell/bias", (16,), "unknown .*'layers_0/cell/.*'"),
    (to_torch, "gru", "cell/recurrent_bias", None, "a GRUCell without reset_after"),
    (from_flax, "gru", "hn/bias", None, "missing parameter 'hn/bias'"),
    (from_flax, "gru", "hz/bias", (H,), "unknown parameter 'hz/bias'"),
    (from_flax, "gru", "ir/bias", (3,), r"ir/bias must have shape \(4,\), got \(3,\)"),
    (to_flax, "gru", "recurrent_bias", None, "a GRUCell without reset_after"),
    (to_flax, "gru", "projection_kernel", (H, 2), "unknown parameter 'projection_kernel'"),
    (to_flax, "gru", "kernel", (3, 11), r"kernel must have shape \(3, 12\), got \(3, 11\)"),
    (exchange_z, None, "bias", None, "missing parameter 'bias'"),
    (exchange_z, None, "bias", (8,), r"bias must have shape \(12,\), got \(8,\)"),
]


@pytest.mark.parametrize(("function", "kind", "path", "shape", "message"), ERRORS)
def test_errors_name_the_parameter_and_both_shapes(function, kind, path, shape, message):
    changed = flatten_dict(GIVEN[function, kind], sep="/")
    changed.pop(path, None)
    changed |= {path: np.zeros(shape)} if shape else {}
    with pytest.raises(ValueError, match=message):
        function(unflatten_dict(changed, sep="/"), *([kind] if kind else []))


@pytest.mark.parametrize("function", [from_torch, to_torch, from_flax, to_flax])
def test_errors_for_an_unknown_kind_and_for_no_parameters(function):
    with pytest.raises(ValueError, match="one of rnn, gru, lstm, got 'ltsm'"):
        function({}, "ltsm")
    with pytest.raises(ValueError, match="missing parameter"):
        function({}, "rnn")


def test_another_kinds_parameters_do_not_fit():
    with pytest.raises(ValueError, match=r"weight_ih_l0 .*\(12, 3\), got \(16, 3\)"):
        from_torch(to_torch(STACK, "lstm"), "gru")
