"""The safetensors file format: eight bytes with the length of a header, the header, the arrays.

The header is a JSON object with the dtype, the shape and the place of each array by its name. All
integers and arrays are little-endian. Reading such a file executes nothing in it.
"""

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(jnp.bfloat16),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
LENGTH = struct.Struct("<Q")


def write_arrays(path: Path, arrays: Mapping[str, ArrayLike]) -> None:
    """Write arrays by name; raises ValueError for a dtype that the format does not have."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    header, parts, offset = {}, [], 0
    for name, array in arrays.items():
        values = np.asarray(array)
        if values.dtype not in names:
            raise ValueError(f"safetensors has no dtype {values.dtype}, that of {name}")
        end = offset + values.nbytes
        header[name] = {
            "dtype": names[values.dtype],
            "shape": list(values.shape),
            "data_offsets": [offset, end],
        }
        parts.append(values.tobytes())
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that the arrays are aligned
    path.write_bytes(b"".join([LENGTH.pack(len(text)), text, *parts]))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read arrays by name; raises ValueError when the file is malformed or truncated."""
    content = path.read_bytes()
    if len(content) < LENGTH.size:
        raise ValueError(f"{len(content)} bytes are no safetensors file")
    (length,) = LENGTH.unpack_from(content)
    start = LENGTH.size + length
    if start > len(content):
        raise ValueError(f"its header of {length} bytes is longer than the file")
    header = json.loads(content[LENGTH.size : start])
    header.pop("__metadata__", None)
    arrays = {}
    for name, entry in header.items():
        dtype, shape = DTYPES.get(entry["dtype"]), entry["shape"]
        begin, end = (start + offset for offset in entry["data_offsets"])
        if dtype is None:
            raise ValueError(f"{name} has the unknown dtype {entry['dtype']}")
        if end > len(content) or end - begin != dtype.itemsize * math.prod(shape):
            raise ValueError(f"{name} of shape {shape} is truncated")
        arrays[name] = np.frombuffer(content[begin:end], dtype).reshape(shape)
    return arrays
