"""Writes small weight files in PyTorch's old form, without PyTorch."""

import pickle

import numpy as np

from data.forms.torch_file import MAGIC


def part(value):
    """Pickle of a value, to be put into another pickle."""
    return pickle.dumps(value, 2)[2:-1]  # without protocol and stop


def tensor(key, kind, first, shape, strides, *, gradient=None):
    """Pickle of a tensor, a view of the storage `key`; the values say how many they are."""
    name = b"ctorch\n" + kind.encode() + b"\n"
    storage = b"(" + part("storage") + name + part(key) + part("cpu") + part(0) + part(None)
    view = part(first) + part(shape) + part(strides)
    hooks = gradient or part(None)
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"tQ" + view + b"\x89" + hooks + b"tR"
    )


def write_torch(path, tensors, storages):
    """Write pickled tensors by name, and their storages [N] by key."""
    items = b"".join(part(name) + value + b"s" for name, value in tensors.items())
    pickles = [pickle.dumps(each, 2) for each in (MAGIC, 1001, {"little_endian": True})]
    pickles += [b"\x80\x02}" + items + b".", pickle.dumps(list(storages), 2)]
    values = b"".join(np.int64(len(x)).tobytes() + x.tobytes() for x in storages.values())
    path.write_bytes(b"".join(pickles) + values)
