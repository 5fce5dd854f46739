"""Arrays by name, as in PyTorch's state dicts: reading them, and checks of names and shapes."""

import difflib
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

Arrays = dict[str, np.ndarray]
Shapes = dict[str, tuple[int, ...]]


def read_arrays(state_dict: Mapping[str, Any], prefix: str = "") -> Arrays:
    """Arrays of the names that begin with a prefix, which is removed.

    state_dict: arrays or PyTorch's tensors. Tensors of bfloat16, which NumPy cannot read, become
    arrays of JAX's bfloat16. Raises ValueError if no name begins with the prefix.
    """
    found = {name: value for name, value in state_dict.items() if name.startswith(prefix)}
    if state_dict and not found:
        raise ValueError(f"no name begins with {prefix!r}, got {', '.join(state_dict)}")
    return {name[len(prefix) :]: _as_numpy(value) for name, value in found.items()}


def _as_numpy(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    if str(getattr(value, "dtype", "")) == "torch.bfloat16":
        return np.asarray(value.float()).astype(jnp.bfloat16)
    return np.asarray(value)


def columns(arrays: Arrays, name: str) -> int:
    """Number of columns of a matrix; raises ValueError for any other shape."""
    if arrays[name].ndim != 2:
        raise ValueError(f"{name} must be [rows, columns], got shape {arrays[name].shape}")
    return arrays[name].shape[1]


def rows(arrays: Arrays, name: str) -> int:
    """Number of rows of a matrix; raises ValueError for any other shape."""
    columns(arrays, name)
    return arrays[name].shape[0]


def check_names(arrays: Arrays, expected: list[str]) -> None:
    """Raise ValueError for an unknown or a missing name."""
    for name in arrays:
        if name not in expected:
            nearest = difflib.get_close_matches(name, expected, n=1, cutoff=0.0)
            raise ValueError(f"unknown parameter {name!r}; the nearest valid one is {nearest[0]!r}")
    if missing := [name for name in expected if name not in arrays]:
        raise ValueError(f"missing parameter {missing[0]!r}, got {', '.join(arrays) or 'none'}")


def check_shapes(arrays: Arrays, expected: Shapes) -> None:
    """Raise ValueError for an array of another shape than expected."""
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name} must have shape {shape}, got {arrays[name].shape}")
