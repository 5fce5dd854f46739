"""cuDNN's calling convention, with JAX's reference LSTM instead of cuDNN; needs no GPU."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn

from nets.recurrent.cells import ElmanCell, GRUCell, LSTMCell
from nets.recurrent.cudnn import check_cudnn, flip, run_cudnn
from nets.recurrent.layers import RNN
from tests.nets.recurrent.networks import (
    B,
    D,
    H,
    T,
    assert_close,
    make_cell,
    quick_jit,
    scalar,
    setting,
)

LENGTHS = [[T, T, T], [4, 0, 1], [0, 0, 0]]


def reference(x, h, c, vector, lengths, **options):
    """Compute what `jax.experimental.rnn.lstm` does on a GPU: unpack the vector, run the loop."""
    assert all(array.dtype == jnp.float32 for array in (x, h, c, vector))
    dropout = options.pop("dropout")
    kernels = rnn.unpack_lstm_weights(vector, **options)
    return rnn.lstm_ref(
        x,
        h,
        c,
        *kernels,
        lengths,
        options["input_size"],
        options["hidden_size"],
        options["num_layers"],
        dropout,
        options["bidirectional"],
    )


def graded(reverse, through):
    """(variables, x, carry, lengths) -> (gradients, results), by the stand-in or the scan."""

    def run(variables, x, carry, lengths):
        if through == "scan":
            net = RNN(make_cell("lstm"), reverse=reverse)
            results = net.apply(variables, x, lengths, initial_carry=carry)
        else:
            weights = variables["params"]["cell"]
            results = run_cudnn(weights, carry, x, lengths, reverse=reverse, lstm=reference)
        return scalar(jax.tree.leaves(results)), results

    return quick_jit(jax.grad(run, (0, 1, 2), has_aux=True))


@pytest.mark.parametrize("reverse", [False, True])
def test_cudnn_gives_what_the_scan_gives(reverse):
    variables, x, carry = setting("lstm")
    ours, scan = graded(reverse, "cudnn"), graded(reverse, "scan")
    for lengths in map(np.array, LENGTHS):
        zeroed = x * (np.arange(T) < lengths[:, None])[..., None]
        arguments = (variables, zeroed, carry, lengths)
        assert_close(ours(*arguments), scan(*arguments))
    # inside jit the lengths are not checked, but clipped
    wild, near = np.array([T + 3, -2, 2]), np.array([T, 0, 2])
    assert_close(ours(variables, x, carry, wild), ours(variables, x, carry, near), 0)


def test_arguments_of_cudnn():
    """Rows without steps get one step; half precision is converted to float32."""
    variables, x, carry = setting("lstm")
    calls = []

    def spy(x, h, c, vector, lengths, **options):
        calls.append((x.dtype, h.shape, vector.shape, lengths.dtype, lengths.tolist(), options))
        return reference(x, h, c, vector, lengths, **options)

    weights, half = variables["params"]["cell"], jnp.asarray(x, jnp.bfloat16)
    run_cudnn(weights, carry, half, jnp.array([4, 0, 1]), reverse=False, lstm=spy)
    size = 4 * H * (D + H + 2)
    options = {
        "input_size": D,
        "hidden_size": H,
        "num_layers": 1,
        "dropout": 0.0,
        "bidirectional": False,
    }
    assert calls == [("float32", (1, B, H), (size,), "int32", [4, 1, 1], options)]


def test_the_layer_passes_its_arguments_on(monkeypatch):
    """Two leading axes, NaN in the padding, an initial carry; only the GPU is simulated."""
    variables, x, carry = setting("lstm", lead=(2, 2))
    lengths = np.array([[T, 0], [3, 1]])
    real = np.arange(T) < lengths[..., None]
    x = np.where(real[..., None], x, np.float32(np.nan))
    monkeypatch.setattr("nets.recurrent.cudnn.check_cudnn", lambda cell: None)
    monkeypatch.setattr(run_cudnn, "__kwdefaults__", {"lstm": reference})
    for reverse in (False, True):
        nets = [RNN(LSTMCell(H), reverse=reverse, backend=name) for name in ("cudnn", "scan")]
        for given in ({"lengths": lengths}, {}):
            rows = x if given else np.nan_to_num(x)
            runs = [quick_jit(net.apply) for net in nets]
            assert_close(*(run(variables, rows, initial_carry=carry, **given) for run in runs))


@pytest.mark.parametrize("name", ["mask", "resets"])
def test_mask_and_resets_are_refused_with_cudnn(name, monkeypatch):
    monkeypatch.setattr("nets.recurrent.cudnn.check_cudnn", lambda cell: None)
    with pytest.raises(ValueError, match=r"cudnn.* neither mask nor resets"):
        RNN(LSTMCell(H), backend="cudnn").init(
            jax.random.key(0), jnp.zeros((B, T, D)), **{name: np.ones((B, T))}
        )


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (GRUCell(H), "LSTMCell without options, got GRUCell"),
        (ElmanCell(H), "LSTMCell without options, got ElmanCell"),
        (LSTMCell(H, peephole="diagonal"), "without options"),
        (LSTMCell(H, dtype=jnp.bfloat16), "needs float32, .*bfloat16"),
        (LSTMCell(H), "needs an NVIDIA GPU, got cpu"),
    ],
)
def test_cells_that_cudnn_cannot_run_are_refused(cell, words):
    with pytest.raises(ValueError, match=words):
        check_cudnn(cell)
    with pytest.raises(ValueError, match=words):
        RNN(cell, backend="cudnn").init(jax.random.key(0), jnp.zeros((B, T, D)))


@pytest.mark.parametrize(
    "options", [{"zoneout": 0.1}, {"dropout": 0.1}, {"remat_chunk": 2}, {"truncate": 2}], ids=str
)
def test_options_that_cudnn_lacks_are_refused(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"{name} needs backend='scan'"):
        RNN(LSTMCell(H), backend="cudnn", **options).init(jax.random.key(0), jnp.zeros((B, T, D)))


def test_flip_by_enumeration():
    x = jnp.arange(12.0).reshape(3, 4, 1)
    expected = [[2, 1, 0, 3], [4, 5, 6, 7], [11, 10, 9, 8]]
    assert (flip(x, jnp.array([3, 0, 4]))[..., 0] == np.array(expected)).all()
