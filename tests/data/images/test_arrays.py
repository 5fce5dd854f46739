"""IDX files, byte by byte, and .npz files of images."""

import gzip
import io

import numpy as np
import pytest

from data.catalogue import DataError
from data.images.arrays import read_idx_file
from data.images.labelled import checksum, load_images

RNG = np.random.default_rng(0)
IMAGES = {
    "train": RNG.integers(0, 256, (60, 5, 4), np.uint8),
    "t10k": RNG.integers(0, 9, (7, 5, 4), np.uint8),
}
LABELS = {"train": np.arange(60, dtype=np.uint8) % 3, "t10k": np.arange(7, dtype=np.uint8) % 2}
TYPES = {"u1": 8, "i1": 9, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}


def idx(array, dtype="u1"):
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, TYPES[dtype], array.ndim]) + sizes + array.astype(dtype).tobytes()


def write(folder, form="{}-{}-idx{}-ubyte", compress=False):
    folder.mkdir(exist_ok=True)
    for split in IMAGES:
        for kind, arrays in (("images", IMAGES), ("labels", LABELS)):
            content = idx(arrays[split])
            name = form.format(split, kind, arrays[split].ndim)
            (folder / name).write_bytes(gzip.compress(content) if compress else content)
    return folder


def refused(name):
    with pytest.raises(DataError) as caught:
        load_images(name, "", 5)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_of_an_idx_file(tmp_path, dtype):
    values = np.arange(24).reshape(2, 3, 4) - 5 * (dtype != "u1")
    (tmp_path / "a").write_bytes(idx(values, dtype))
    np.testing.assert_array_equal(read_idx_file(tmp_path / "a"), values)


@pytest.mark.parametrize(
    ("form", "compress"),
    [
        ("{}-{}-idx{}-ubyte", False),
        ("{}-{}-idx{}-ubyte.gz", True),
        ("{}-{}.idx{}-ubyte", False),
        ("emnist-digits-{}-{}-idx{}-ubyte.gz", True),
    ],
)
def test_mnists_four_files(tmp_path, form, compress):
    splits = load_images(f"idx:{write(tmp_path / 'ü x', form, compress)}", "", 5)
    assert splits["test"].labels.tolist() == LABELS["t10k"].tolist()
    assert splits["test"].classes == ("0", "1", "2")
    brightest = IMAGES["train"].max()
    padded = np.pad(IMAGES["t10k"] / brightest, [(0, 0), (0, 0), (0, 1)])
    np.testing.assert_allclose(splits["test"].images[..., 0], padded, rtol=1e-6)
    assert len(splits["train"]) + len(splits["validation"]) == 60
    assert len(splits["validation"]) > 0


def test_npz_and_idx_are_the_same_images(tmp_path):
    arrays = {"x_train": IMAGES["train"], "y_train": LABELS["train"][:, None]}
    arrays |= {"x_test": IMAGES["t10k"][..., None], "y_test": LABELS["t10k"].astype(np.int64)}
    np.savez(tmp_path / "m n.npz", **arrays)
    names = f"idx:{write(tmp_path / 'idx')}", f"npz:{tmp_path / 'm n.npz'}"
    digests = [checksum(*load_images(name, "", 5).values()) for name in names]
    assert digests[0] == digests[1]
    arrays["x_train"] = arrays["x_train"].copy()
    arrays["x_train"][3, 2, 1] ^= 1
    np.savez(tmp_path / "m n.npz", **arrays)
    assert checksum(*load_images(names[1], "", 5).values()) != digests[0]


def test_faulty_idx_folders_are_refused_in_one_line(tmp_path):
    assert refused(f"idx:{tmp_path / 'none'}").startswith("there is no folder")
    folder = write(tmp_path / "idx")
    labels = folder / "t10k-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1])
    assert refused(f"idx:{folder}") == f"{labels} has 14 bytes, but its header needs 15"
    labels.write_bytes(b"\0\0\x08")
    assert "t10k-labels-idx1-ubyte is not an IDX file: it begins with 00 00 08" in refused(
        f"idx:{folder}"
    )
    labels.write_bytes(gzip.compress(b"x" * 99)[:-9])
    assert f"cannot read {labels}" in refused(f"idx:{folder}")
    labels.write_bytes(idx(np.array([0, 1, 2, 9, 0, 1, 2])))
    assert f"{labels} has the label 9; the classes are 0 to 2" in refused(f"idx:{folder}")
    labels.write_bytes(idx(np.array([0, 1])))
    assert "not a whole number for each of the 7 images" in refused(f"idx:{folder}")
    labels.rename(folder / "labels")
    message = refused(f"idx:{folder}")
    assert "needs one file of the test labels; has labels, t10k-images-idx3-ubyte, train" in message


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"x_test": None}, "needs x_train, y_train, x_test, y_test"),
        ({"x_test": np.ones((7, 5, 4, 2))}, "has shape (7, 5, 4, 2), not N x height x width"),
        ({"x_test": np.ones((7, 4, 4))}, "differ in shape"),
        ({"x_test": np.full((7, 5, 4), np.nan)}, "values that are no brightness"),
        ({"x_test": np.zeros((7, 5, 4))}, "is black everywhere"),
        ({"y_test": np.zeros(7)}, "has shape (7,) and type float64, not a whole number"),
        ({"x_test": np.array([object()])}, "cannot read"),
    ],
)
def test_faulty_npz_files_are_refused_in_one_line(tmp_path, change, part):
    arrays = {"x_train": IMAGES["train"], "y_train": LABELS["train"]}
    arrays |= {"x_test": IMAGES["t10k"], "y_test": LABELS["t10k"]} | change
    path = tmp_path / "a.npz"
    np.savez(path, **{key: array for key, array in arrays.items() if array is not None})
    message = refused(f"npz:{path}")
    assert part in message
    assert str(path) in message


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04broken", b"text"])
def test_other_files_are_no_npz(tmp_path, content):
    path = tmp_path / "a.npz"
    assert refused(f"npz:{path}").startswith("there is no file")
    path.write_bytes(content)
    assert f"cannot read {path} as .npz" in refused(f"npz:{path}")
    file = io.BytesIO()
    np.save(file, np.ones(3))
    path.write_bytes(file.getvalue())
    assert "it is a single array" in refused(f"npz:{path}")
