"""The reader of PyTorch's weight files."""

import pickle

import numpy as np
import pytest

from data.catalogue import DataError
from data.forms.torch_file import read_torch
from tests.data.forms.torch_form import part, tensor, write_torch


@pytest.mark.parametrize(
    ("kind", "dtype"), [("FloatStorage", "f4"), ("HalfStorage", "f2"), ("LongStorage", "i8")]
)
def test_tensors_are_read_with_their_shapes_and_strides(tmp_path, kind, dtype):
    values = np.arange(12, dtype=dtype)
    whole = tensor("a", kind, 0, (3, 4), (4, 1))
    turned = tensor("a", kind, 1, (2, 3), (1, 4))  # a transposed part of the same storage
    scalar = tensor("b", kind, 0, (), ())
    tensors = {"whole": whole, "turned": turned, "scalar": scalar}
    write_torch(tmp_path / "x.pth", tensors, {"a": values, "b": np.array([7], dtype)})
    found = read_torch(tmp_path / "x.pth")
    assert list(found) == ["whole", "turned", "scalar"]
    assert {array.dtype for array in found.values()} == {np.dtype(dtype)}
    np.testing.assert_array_equal(found["whole"], values.reshape(3, 4))
    np.testing.assert_array_equal(found["turned"], values.reshape(3, 4)[:, 1:3].T)
    assert found["scalar"].shape == ()
    assert found["scalar"] == 7


class Evil:
    """An object whose unpickling calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("place", ["first", "among the tensors", "in a tensor"])
def test_a_file_that_would_call_a_function_is_refused_and_nothing_is_run(tmp_path, place):
    path, trace = tmp_path / "x.pth", tmp_path / "trace"
    evil = part(Evil(exec, f"open({str(trace)!r}, 'w')"))
    bad = tensor("a", "FloatStorage", 0, (1,), (1,), gradient=evil)
    tensors = {"w": bad if place == "in a tensor" else evil}
    write_torch(path, tensors, {"a": np.ones(1, "f4")})
    if place == "first":
        path.write_bytes(pickle.dumps(Evil(exec, f"open({str(trace)!r}, 'w')"), 2))
    with pytest.raises(DataError, match=r"it would run \w+\.exec; nothing was run$") as caught:
        read_torch(path)
    assert "\n" not in str(caught.value)
    assert not trace.exists()


def test_damaged_and_other_files_are_refused(tmp_path):
    path = tmp_path / "x.pth"
    with pytest.raises(DataError, match="No such file"):
        read_torch(path)
    values = {"a": np.ones(6, "f4")}
    write_torch(path, {"w": tensor("a", "FloatStorage", 0, (2, 3), (3, 1))}, values)
    data = path.read_bytes()
    for damaged in (b"", b"PK\3\4", data[:40], data[:-3], pickle.dumps(5, 2)):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="not a file of weights in PyTorch's old form"):
            read_torch(path)
    for first, shape, strides in ((1, (2, 3), (3, 1)), (0, (2, 3), (3, -1)), (0, (2,), (9,))):
        write_torch(path, {"w": tensor("a", "FloatStorage", first, shape, strides)}, values)
        with pytest.raises(DataError, match="larger than its storage"):
            read_torch(path)
    write_torch(path, {"w": part("a text")}, values)
    with pytest.raises(DataError, match="values that are not tensors"):
        read_torch(path)
