"""Convert recurrent parameters from and to PyTorch and Flax's own cells, as numpy arrays.

    params = from_torch(lstm.state_dict(), "lstm")
    _, outputs = RNN(LSTMCell(hidden)).apply({"params": params}, x)

Correspondence, with our layers on the left (x [B, T, D]; PyTorch with batch_first=True):

    RNN(ElmanCell)                 torch.nn.RNN            flax.linen.SimpleCell
    RNN(LSTMCell)                  torch.nn.LSTM           LSTMCell, OptimizedLSTMCell
    RNN(GRUCell(reset_after=True)) torch.nn.GRU            GRUCell
    LSTMCell(projection=P)         proj_size=P
    Bidirectional, merge "concat"  bidirectional=True
    Stacked                        num_layers > 1

The arrays tell neither the activation of an Elman network (here: the field `activation`) nor
whether a SimpleCell is residual, which ours never is. Kernels are [inputs, gates * H] here and
transposed in PyTorch. The gate order is i, f, g, o and z, r, n here; PyTorch uses r, z, n. In all
three libraries, z = 1 keeps the state; `exchange_z` converts models that use the opposite
convention. PyTorch has two biases where one suffices: their sum is read, and the second one is
written as zero. Arrays keep their dtype and share no memory with the argument.

>>> from nets.recurrent import GRUCell
>>> import jax, jax.numpy as jnp
>>> cell, h, x = GRUCell(4, reset_after=True), jnp.zeros((1, 4)), jnp.zeros((1, 3))
>>> params = cell.init(jax.random.key(0), h, x)["params"]
>>> {name: array.shape for name, array in to_torch({"cell": params}, "gru").items()}
{'weight_ih_l0': (12, 3), 'weight_hh_l0': (12, 4), 'bias_ih_l0': (12,), 'bias_hh_l0': (12,)}
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from .state_dicts import Arrays, Shapes, check_names, check_shapes, columns, read_arrays, rows

Kind = Literal["rnn", "gru", "lstm"]

GATES = {"rnn": ("",), "gru": ("z", "r", "n"), "lstm": ("i", "f", "g", "o")}
# index of each of PyTorch's gate blocks in ours, and vice versa: each order is its own inverse
TORCH_ORDER = {"rnn": [0], "gru": [1, 0, 2], "lstm": [0, 1, 2, 3]}
TORCH_NAME = re.compile(r"(weight_ih|weight_hh|bias_ih|bias_hh|weight_hr)_l(\d+)(_reverse)?")


def from_torch(
    state_dict: Mapping[str, Any], kind: Kind, *, prefix: str = "", stack: str | None = None
) -> dict[str, Any]:
    """Parameters of RNN, Bidirectional or Stacked from a state dict of torch.nn.RNN, GRU or LSTM.

    state_dict: arrays, or tensors that numpy can read, by PyTorch's names (weight_ih_l0,
    weight_hh_l0_reverse, ...), from which the layers, directions and projection are inferred. One
    layer gives the tree of an RNN or Bidirectional, several layers that of Stacked. Biases are zero
    for a state dict without biases (bias=False). prefix: only the names that begin with it, such as
    "encoder.rnn.", are read. stack: the name of the layers in a network of ours, such as
    "recurrent" of a LanguageModel, whose parameters the result can then replace: the layers are
    called recurrent_0, recurrent_1, ..., even a single one. Raises ValueError for an unknown kind,
    and for a name or shape that does not fit.
    """
    _check_kind(kind)
    arrays = read_arrays(state_dict, prefix)
    matches = [match.groups() for name in arrays if (match := TORCH_NAME.fullmatch(name))]
    prefixes = {prefix for prefix, _, _ in matches}
    layers = max(1, len({layer for _, layer, _ in matches}))
    directions = 2 if any(reverse for _, _, reverse in matches) else 1
    biases = ("bias_ih", "bias_hh") if prefixes & {"bias_ih", "bias_hh"} else ()
    projected = ("weight_hr",) if kind == "lstm" and "weight_hr" in prefixes else ()
    used = ("weight_ih", "weight_hh", *biases, *projected)
    slots = list(_slots(layers, directions, layers > 1 or stack is not None))
    check_names(arrays, [f"{name}{suffix}" for _, suffix, _ in slots for name in used])

    output_name = "weight_hr_l0" if projected else "weight_hh_l0"
    size, hidden = columns(arrays, "weight_ih_l0"), columns(arrays, output_name)
    projection = arrays[output_name].shape[0] if projected else None
    expected: Shapes = {}
    for _, suffix, first in slots:
        inputs = size if first else directions * (projection or hidden)
        shapes = _torch_shapes(kind, inputs, hidden, projection)
        expected |= {f"{name}{suffix}": shapes[name] for name in used}
    check_shapes(arrays, expected)

    params: Arrays = {}
    for path, suffix, _ in slots:
        weights = _cell_from_torch({name: arrays[f"{name}{suffix}"] for name in used}, kind)
        named = path if stack is None else path.replace("layers_", f"{stack}_", 1)
        params |= {f"{named}{name}": value for name, value in weights.items()}
    return unflatten_dict(params, sep="/")


def to_torch(
    params: Mapping[str, Any], kind: Kind, *, prefix: str = "", stack: str | None = None
) -> Arrays:
    """State dict of torch.nn.RNN, GRU or LSTM from the parameters of RNN, Bidirectional or Stacked.

    The exact inverse of from_torch, except that a Stacked of one layer comes back as that layer.
    Biases are always written. prefix: what the names begin with. stack: the name of the layers in
    the parameters of a network, such as "recurrent" of a LanguageModel; all other parameters are
    left out. Raises ValueError for an unknown kind, for a name or shape that does not fit, and for
    variants that PyTorch lacks: peepholes, coupled gates, layer normalisation, layers of different
    widths, and a GRUCell without reset_after.
    """
    _check_kind(kind)
    arrays = _flat(params)
    if stack is not None:
        own = re.compile(rf"{re.escape(stack)}_(\d+/)")
        arrays = {own.sub(r"layers_\1", n): a for n, a in arrays.items() if own.match(n)}
    layers = max(1, len({name.split("/")[0] for name in arrays if name.startswith("layers_")}))
    stacked = any(name.startswith("layers_") for name in arrays)
    directions = 2 if any("forward/" in name or "backward/" in name for name in arrays) else 1
    slots = list(_slots(layers, directions, stacked))
    first = slots[0][0]
    projected = kind == "lstm" and f"{first}projection_kernel" in arrays
    used = list(_cell_shapes(kind, 1, 1, 1 if projected else None))
    _check_reset_after(arrays, kind)
    check_names(arrays, [f"{path}{name}" for path, _, _ in slots for name in used])

    size = rows(arrays, f"{first}kernel")
    outputs = rows(arrays, f"{first}recurrent_kernel")
    hidden = rows(arrays, f"{first}projection_kernel") if projected else outputs
    expected: Shapes = {}
    for path, _, is_first in slots:
        inputs = size if is_first else directions * outputs
        shapes = _cell_shapes(kind, inputs, hidden, outputs if projected else None)
        expected |= {f"{path}{name}": shape for name, shape in shapes.items()}
    check_shapes(arrays, expected)

    state_dict: Arrays = {}
    for path, suffix, _ in slots:
        state = _cell_to_torch({name: arrays[f"{path}{name}"] for name in used}, kind)
        state_dict |= {f"{prefix}{name}{suffix}": value for name, value in state.items()}
    return state_dict


def from_flax(params: Mapping[str, Any], kind: Kind) -> Arrays:
    """Parameters of ElmanCell, GRUCell(reset_after=True) or LSTMCell from those of Flax's cell.

    params: {"ii": {"kernel": [D, H]}, "hi": {"kernel": [H, H], "bias": [H]}, ...} of a SimpleCell,
    GRUCell, LSTMCell or OptimizedLSTMCell. The parameters of an RNN are {"cell": result}. Raises
    ValueError for an unknown kind, and for a name or shape that does not fit.
    """
    _check_kind(kind)
    arrays, gates = _flat(params), GATES[kind]
    check_names(arrays, list(_flax_shapes(kind, 1, 1)))
    size = rows(arrays, f"i{gates[0]}/kernel")
    check_shapes(arrays, _flax_shapes(kind, size, rows(arrays, f"h{gates[0]}/kernel")))

    def concatenated(side: str, leaf: str) -> np.ndarray:
        return np.concatenate([arrays[f"{side}{gate}/{leaf}"] for gate in gates], axis=-1)

    weights = {
        "kernel": concatenated("i", "kernel"),
        "bias": concatenated(_biased(kind), "bias"),
        "recurrent_kernel": concatenated("h", "kernel"),
    }
    return weights | ({"recurrent_bias": arrays["hn/bias"].copy()} if kind == "gru" else {})


def to_flax(params: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
    """Parameters of Flax's SimpleCell, GRUCell or LSTMCell from those of our cell; see from_flax.

    The exact inverse of from_flax. Raises ValueError for an unknown kind, for a name or shape that
    does not fit, and for variants that Flax lacks (peepholes, projection, ..., and a GRUCell
    without reset_after).
    """
    _check_kind(kind)
    arrays, gates = _flat(params), GATES[kind]
    _check_reset_after(arrays, kind)
    _check_cell(arrays, list(_cell_shapes(kind, 1, 1)), kind)
    flax_params: Arrays = {}
    for side, kernel in (("i", "kernel"), ("h", "recurrent_kernel")):
        for gate, block in zip(gates, np.split(arrays[kernel], len(gates), axis=1), strict=True):
            flax_params[f"{side}{gate}/kernel"] = block.copy()
    for gate, block in zip(gates, np.split(arrays["bias"], len(gates)), strict=True):
        flax_params[f"{_biased(kind)}{gate}/bias"] = block.copy()
    if kind == "gru":
        flax_params["hn/bias"] = arrays["recurrent_bias"].copy()
    return unflatten_dict(flax_params, sep="/")


def exchange_z(params: Mapping[str, Any]) -> Arrays:
    """Convert a GRUCell's parameters to or from the form h_t = (1 - z_t) h_{t-1} + z_t n_t.

    As 1 - sigmoid(a) = sigmoid(-a), the z block of both kernels and of the bias changes its sign.
    params: kernel [D, 3 H], bias [3 H], recurrent_kernel [H, 3 H] and with reset_after
    recurrent_bias [H], columns z, r, n. Raises ValueError for a name or shape that does not fit.
    """
    arrays = _flat(params)
    names = list(_cell_shapes("gru", 1, 1))
    _check_cell(arrays, [n for n in names if n != "recurrent_bias" or n in arrays], "gru")
    hidden = arrays["recurrent_kernel"].shape[0]
    weights = {name: array.copy() for name, array in arrays.items()}
    for name in ("kernel", "bias", "recurrent_kernel"):
        weights[name][..., :hidden] *= -1
    return weights


def _slots(layers: int, directions: int, stacked: bool) -> Iterator[tuple[str, str, bool]]:
    """Yield each cell's path here, its suffix in PyTorch, and whether it reads the inputs."""
    for layer in range(layers):
        for direction in range(directions):
            path = f"layers_{layer}/" if stacked else ""
            path += ("forward/", "backward/")[direction] if directions == 2 else ""
            yield f"{path}cell/", f"_l{layer}" + ("", "_reverse")[direction], layer == 0


def _cell_shapes(kind: Kind, size: int, hidden: int, projection: int | None = None) -> Shapes:
    """Shapes of the parameters of one of our cells."""
    columns = len(GATES[kind]) * hidden
    shapes: Shapes = {
        "kernel": (size, columns),
        "bias": (columns,),
        "recurrent_kernel": (projection or hidden, columns),
    }
    if kind == "gru":
        shapes["recurrent_bias"] = (hidden,)
    if projection:
        shapes["projection_kernel"] = (hidden, projection)
    return shapes


def _torch_shapes(kind: Kind, size: int, hidden: int, projection: int | None) -> Shapes:
    """Shapes of PyTorch's parameters for one layer and direction."""
    rows = len(GATES[kind]) * hidden
    return {
        "weight_ih": (rows, size),
        "weight_hh": (rows, projection or hidden),
        "bias_ih": (rows,),
        "bias_hh": (rows,),
        "weight_hr": (projection or 0, hidden),
    }


def _flax_shapes(kind: Kind, size: int, hidden: int) -> Shapes:
    """Shapes of the parameters of Flax's cell."""
    shapes: Shapes = {}
    for gate in GATES[kind]:
        shapes[f"i{gate}/kernel"] = (size, hidden)
        shapes[f"h{gate}/kernel"] = (hidden, hidden)
        shapes[f"{_biased(kind)}{gate}/bias"] = (hidden,)
    return shapes | ({"hn/bias": (hidden,)} if kind == "gru" else {})


def _biased(kind: Kind) -> str:
    """Which of Flax's products has the bias: that of the inputs, "i", or of the state, "h"."""
    return "h" if kind == "lstm" else "i"


def _reordered(rows: np.ndarray, kind: Kind) -> np.ndarray:
    """Reorder gate blocks of rows [gates * H, ...] from our order to PyTorch's or back, copied."""
    blocks = np.split(rows, len(TORCH_ORDER[kind]))
    return np.concatenate([blocks[k] for k in TORCH_ORDER[kind]])


def _cell_from_torch(state: Arrays, kind: Kind) -> Arrays:
    """Our cell's parameters from PyTorch's for one layer and direction."""
    weights = {
        "kernel": _reordered(state["weight_ih"], kind).T,
        "recurrent_kernel": _reordered(state["weight_hh"], kind).T,
    }
    zeros = np.zeros(state["weight_ih"].shape[0], state["weight_ih"].dtype)
    bias = _reordered(state.get("bias_ih", zeros), kind)
    second = _reordered(state.get("bias_hh", zeros), kind)
    if kind == "gru":
        # the second bias of n is multiplied by r and cannot be added to the first
        inner = slice(2 * len(bias) // 3, None)
        weights["recurrent_bias"] = second[inner].copy()
        second[inner] = 0
    # -0.0 + 0.0 is 0.0, which would change the sign bit in a round trip through to_torch
    weights["bias"] = np.where(second == 0, bias, bias + second)
    if "weight_hr" in state:
        weights["projection_kernel"] = state["weight_hr"].T.copy()
    return weights


def _cell_to_torch(weights: Arrays, kind: Kind) -> Arrays:
    """PyTorch's parameters for one layer and direction from our cell's."""
    second = np.zeros_like(weights["bias"])
    if kind == "gru":
        second[-len(weights["recurrent_bias"]) :] = weights["recurrent_bias"]
    state = {
        "weight_ih": _reordered(weights["kernel"].T, kind),
        "weight_hh": _reordered(weights["recurrent_kernel"].T, kind),
        "bias_ih": _reordered(weights["bias"], kind),
        "bias_hh": second,
    }
    if "projection_kernel" in weights:
        state["weight_hr"] = weights["projection_kernel"].T.copy()
    return state


def _flat(params: Mapping[str, Any]) -> Arrays:
    """Arrays of a tree by path."""
    return {path: np.asarray(leaf) for path, leaf in flatten_dict(params, sep="/").items()}


def _check_kind(kind: str) -> None:
    if kind not in GATES:
        raise ValueError(f"kind must be one of {', '.join(GATES)}, got {kind!r}")


def _check_reset_after(arrays: Arrays, kind: Kind) -> None:
    names = {path.split("/")[-1] for path in arrays}
    if kind == "gru" and "recurrent_kernel" in names and "recurrent_bias" not in names:
        raise ValueError(
            "recurrent_bias is missing: a GRUCell without reset_after has a different equation "
            "from the GRU of PyTorch and Flax"
        )


def _check_cell(arrays: Arrays, names: list[str], kind: Kind) -> None:
    """Check the names and shapes of the parameters of one of our cells."""
    check_names(arrays, names)
    shapes = _cell_shapes(kind, rows(arrays, "kernel"), rows(arrays, "recurrent_kernel"))
    check_shapes(arrays, {name: shapes[name] for name in names})
