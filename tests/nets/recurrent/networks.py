"""Networks for the tests: cells by name, layers around them, random variables and inputs."""

import contextlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from nets.recurrent.bidirectional import Bidirectional
from nets.recurrent.cells import ElmanCell, GRUCell, LSTMCell
from nets.recurrent.layers import RNN, Stacked
from nets.recurrent.linear_cells import MinGRUCell, MinLSTMCell
from tests.nets.recurrent import oracle

B, T, D, H = 3, 6, 3, 4


def identity(a):
    return a


# each with its implementation in numpy
CELLS = {
    "elman": (ElmanCell, {}, oracle.elman),
    "elman_relu": (
        ElmanCell,
        {"activation": jax.nn.relu},
        partial(oracle.elman, activation=oracle.relu),
    ),
    "lstm": (LSTMCell, {}, oracle.lstm),
    "lstm_diagonal": (
        LSTMCell,
        {"peephole": "diagonal"},
        partial(oracle.lstm, peephole="diagonal"),
    ),
    "lstm_full": (LSTMCell, {"peephole": "full"}, partial(oracle.lstm, peephole="full")),
    "lstm_no_tanh": (
        LSTMCell,
        {"output_activation": identity},
        partial(oracle.lstm, outer=identity),
    ),
    "lstm_projection": (LSTMCell, {"projection": 2}, oracle.lstm),
    "lstm_layer_norm": (LSTMCell, {"layer_norm": True}, oracle.lstm),
    "lstm_coupled": (LSTMCell, {"coupled": True}, partial(oracle.lstm, coupled=True)),
    "lstm_all_options": (
        LSTMCell,
        {"peephole": "full", "projection": 2, "layer_norm": True, "coupled": True},
        partial(oracle.lstm, peephole="full", coupled=True),
    ),
    "gru": (GRUCell, {}, oracle.gru),
    "gru_reset_after": (GRUCell, {"reset_after": True}, partial(oracle.gru, reset_after=True)),
    "min_gru": (MinGRUCell, {}, oracle.min_gru),
    "min_lstm": (MinLSTMCell, {}, oracle.min_lstm),
}
FORMS = ("forward", "reversed", "bidirectional", "stacked", "deep")
STANDARD = ("elman", "lstm", "gru", "gru_reset_after")
PRECISIONS = {"float32": contextlib.nullcontext, "float64": partial(jax.enable_x64, True)}

# tests/conftest.py sets the options for quick compilation
quick_jit = jax.jit


def make_cell(name, dtype="float32", **options):
    kind, fixed, _ = CELLS[name]
    return kind(H, param_dtype=jnp.dtype(dtype), **fixed, **options)


def make_network(name, form, dtype="float32", **options):
    """Return RNN, Bidirectional or Stacked, with `options` in every RNN."""

    def one(**more):
        return RNN(make_cell(name, dtype), **options, **more)

    def both():
        return Bidirectional(one(), one())

    if form == "stacked":
        return Stacked([one(), one()])
    if form == "deep":
        return Stacked([both(), both()])
    return both() if form == "bidirectional" else one(reverse=form == "reversed")


def noise_like(tree, seed, scale=0.6):
    """Normally distributed arrays with the shapes and dtypes of the tree's leaves."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: rng.normal(0, scale, a.shape).astype(a.dtype), tree)


def parameters(name, form, dtype, size=D):
    """Shapes of a network's parameters, as `init` returns them, without tracing its loops."""
    if form in ("forward", "reversed"):
        shapes = {part: shape for part, (_, shape) in make_cell(name).parameters(size).items()}
        return {"cell": {k: jax.ShapeDtypeStruct(shape, dtype) for k, shape in shapes.items()}}
    if form == "bidirectional":
        one = parameters(name, "forward", dtype, size)
        return {"forward": one, "backward": one}
    layer, width = ("bidirectional", 2) if form == "deep" else ("forward", 1)
    sizes = (size, width * make_cell(name).outputs)
    return {f"layers_{k}": parameters(name, layer, dtype, n) for k, n in enumerate(sizes)}


def zero_carry(name, form, dtype, lead):
    """Carry of a network: a pair for two directions or for two layers."""
    if form in ("forward", "reversed"):
        return make_cell(name, dtype).initialize_carry(jax.random.key(0), (*lead, D))
    part = "bidirectional" if form == "deep" else "forward"
    return (zero_carry(name, part, dtype, lead),) * 2


def setting(name, form="forward", dtype="float32", *, lead=(B,), time=T, seed=0):
    """Random variables, x and initial carry, as numpy arrays."""
    variables = {"params": parameters(name, form, dtype)}
    x = np.random.default_rng(seed + 7).normal(0, 1, (*lead, time, D)).astype(dtype)
    return noise_like(variables, seed), x, noise_like(zero_carry(name, form, dtype, lead), seed + 3)


def scalar(leaves):
    """A scalar to differentiate, in which each entry of each leaf has a different weight."""
    flat = [leaf.ravel() for leaf in leaves]
    return sum(leaf @ np.cos(1 + k + np.arange(leaf.size)) for k, leaf in enumerate(flat))


def assert_close(actual, expected, tolerance=1e-5, message=""):
    """Compare leaf by leaf, with the tolerance relative to the expected value or absolute."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    pairs = zip(jax.tree_util.tree_leaves_with_path(actual), jax.tree.leaves(expected), strict=True)
    for (path, a), b in pairs:
        where = f"{message} {jax.tree_util.keystr(path)}"
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=where)
