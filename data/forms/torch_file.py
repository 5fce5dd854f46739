"""Weight files of PyTorch, in the form of its versions before 1.6, read without PyTorch.

Such a file is a sequence of pickles: a magic number, a version, facts of the machine, a dict of
tensors, and a list of storage names; the values of the storages follow, in the order of that list.
A pickle can call any function; this reader knows only dicts and tensors, and refuses all else.
"""

import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..catalogue import DataError
from .content import check_no_pipe

MAGIC = 0x1950A86A20F9469CFC6C
DTYPES: dict[str, np.dtype] = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "IntStorage": np.dtype("<i4"),
    "LongStorage": np.dtype("<i8"),
}


class Refused(pickle.UnpicklingError):
    """The file has something other than dicts and tensors."""


@dataclass(frozen=True)
class Stored:
    """A tensor whose values follow: strides and first value in elements of a named storage."""

    storage: str
    dtype: np.dtype
    first: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def tensor(storage: Any, first: int, shape: Any, strides: Any, *rest: Any) -> Stored:
    """Make a tensor from the arguments that PyTorch pickles; the rest is about training."""
    _, dtype, key, *_ = storage
    return Stored(str(key), DTYPES[dtype], int(first), tuple(shape), tuple(strides))


class Restricted(pickle.Unpickler):
    """Unpickler of dicts and tensors."""

    def find_class(self, module: str, name: str) -> Callable[..., Any] | str:
        """Return what a name in the file stands for; raises Refused for names not needed."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return tensor
        if module == "torch" and name in DTYPES:
            return name
        raise Refused(f"it would run {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        """Return the description of a storage, whose values follow the pickles."""
        return pid


def read_torch(path: Path) -> dict[str, np.ndarray]:
    """Arrays by name of a file that PyTorch wrote, with the dtypes and shapes of its tensors.

    Raises DataError when the file cannot be read, or has anything other than tensors by name;
    nothing in it is run.
    """
    check_no_pipe(path)
    try:
        with open(path, "rb") as file:
            return _read(file)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except Refused as error:
        raise DataError(
            f"{path} is not a file of weights alone: {error}; nothing was run"
        ) from None
    except Exception as error:  # a damaged pickle can raise any type
        raise DataError(f"{path} is not a file of weights in PyTorch's old form: {error}") from None


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    if Restricted(file).load() != MAGIC:
        raise ValueError("its first number is another one")
    _, _, tensors, keys = (Restricted(file).load() for _ in range(4))
    stored = {name: value for name, value in tensors.items() if isinstance(value, Stored)}
    if len(stored) < len(tensors):
        raise Refused("it has values that are not tensors")
    dtypes = {each.storage: each.dtype for each in stored.values()}
    storages = {}
    for key in keys:
        (count,) = np.frombuffer(file.read(8), "<i8")
        storages[key] = np.frombuffer(file.read(int(count) * dtypes[key].itemsize), dtypes[key])
        if len(storages[key]) != count:
            raise ValueError("it ends early")
    return {name: _array(storages[each.storage], each) for name, each in stored.items()}


def _array(values: np.ndarray, stored: Stored) -> np.ndarray:
    """Array of a tensor; raises ValueError when it reaches beyond its storage."""
    places = np.array(stored.first)
    for length, stride in zip(stored.shape, stored.strides, strict=True):
        places = places[..., None] + np.arange(length) * stride
    if places.size and not 0 <= places.min() <= places.max() < len(values):
        raise ValueError("a tensor is larger than its storage")
    return values[places]
