"""Convert an adaptive softmax from and to PyTorch's AdaptiveLogSoftmaxWithLoss, as numpy arrays.

The head has the same order in both: the frequent words, then one entry for each cluster. These are
PyTorch's names, for matrices [outputs, inputs], and ours:

    head.weight, head.bias           kernel, bias; PyTorch's head has a bias with head_bias=True
    tail.i.0.weight                  projection_i
    tail.i.1.weight                  kernel_i; PyTorch's tails have no bias, so bias_i is zero

The cut-offs, and `factor` (div_value in PyTorch), are arguments of both modules.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..recurrent.state_dicts import (
    Arrays,
    Shapes,
    check_names,
    check_shapes,
    columns,
    read_arrays,
    rows,
)


def adaptive_from_torch(state_dict: Mapping[str, Any], prefix: str = "") -> Arrays:
    """Parameters of AdaptiveSoftmax from a state dict of torch.nn.AdaptiveLogSoftmaxWithLoss.

    prefix: only the names that begin with it are read. Raises ValueError for a name or shape that
    does not fit.
    """
    arrays = read_arrays(state_dict, prefix)
    clusters = sum(name.startswith("tail.") and name.endswith(".0.weight") for name in arrays)
    tails = [f"tail.{i}.{part}.weight" for i in range(clusters) for part in (0, 1)]
    head = ["head.weight", *(["head.bias"] if "head.bias" in arrays else [])]
    check_names(arrays, [*head, *tails])
    features, ids = columns(arrays, "head.weight"), rows(arrays, "head.weight")
    expected: Shapes = {"head.bias": (ids,)} if len(head) > 1 else {}
    params = {
        "kernel": arrays["head.weight"].T.copy(),
        "bias": arrays.get("head.bias", np.zeros(ids, arrays["head.weight"].dtype)).copy(),
    }
    for i in range(clusters):
        first, second = f"tail.{i}.0.weight", f"tail.{i}.1.weight"
        width, words = rows(arrays, first), rows(arrays, second)
        expected |= {first: (width, features), second: (words, width)}
        params[f"projection_{i}"] = arrays[first].T.copy()
        params[f"kernel_{i}"] = arrays[second].T.copy()
        params[f"bias_{i}"] = np.zeros(words, arrays[second].dtype)
    check_shapes(arrays, expected)
    return params


def adaptive_to_torch(params: Mapping[str, Any], prefix: str = "") -> Arrays:
    """State dict of torch.nn.AdaptiveLogSoftmaxWithLoss(head_bias=True); see adaptive_from_torch.

    prefix: what the names begin with. Raises ValueError for a name that does not fit, and for
    clusters whose bias is not zero, which PyTorch lacks.
    """
    arrays = read_arrays(params)
    clusters = sum(name.startswith("projection_") for name in arrays)
    parts = ("projection", "kernel", "bias")
    check_names(
        arrays, ["kernel", "bias", *(f"{part}_{i}" for i in range(clusters) for part in parts)]
    )
    state = {"head.weight": arrays["kernel"].T.copy(), "head.bias": arrays["bias"].copy()}
    for i in range(clusters):
        if np.any(arrays[f"bias_{i}"]):
            raise ValueError(f"bias_{i} is not zero, but PyTorch's clusters have no bias")
        state[f"tail.{i}.0.weight"] = arrays[f"projection_{i}"].T.copy()
        state[f"tail.{i}.1.weight"] = arrays[f"kernel_{i}"].T.copy()
    return {f"{prefix}{name}": array for name, array in state.items()}
