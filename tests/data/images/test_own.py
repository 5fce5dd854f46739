"""Users' own images: files in a folder per class, and encoded images in tables."""

import io
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from data.catalogue import DataError
from data.forms.splits import set_of
from data.images.augment import resample
from data.images.decode import common_shape, decode_image
from data.images.labelled import checksum, load_images
from data.images.photos import are_photos, load_photos, photo_provenance

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def encoded(height=8, width=8, mode="RGB", suffix="PNG", red=None):
    channels = len(mode)
    pixels = RNG.integers(0, 256, (height, width, channels), np.uint8)
    if red is not None:
        pixels[:] = red
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze() if channels == 1 else pixels).save(file, suffix)
    return file.getvalue()


def write(root, names, make=encoded):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(make())
    return root


def refused(name):
    with pytest.raises(DataError) as caught:
        load_images(name, "", 8)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_per_class_with_spaces_and_unicode(tmp_path, capsys):
    root = tmp_path / "ü b" / "c d"
    names = [
        f"{label}/{i}, {j}.PNG" for label in ("größe", "a b") for i in range(6) for j in range(5)
    ]
    write(root, names)
    (root / "a b" / "notes.txt").write_text("x")
    for name in (".hidden.png", "._0, 0.PNG", "Thumbs.db", ".thumbs/x.png", "@eaDir/y.png"):
        write(root / "a b", [name], lambda: b"x")
    write(root, [".git/x.png", "__MACOSX/x.png"], lambda: b"x")
    splits = load_images(f"folder:{root}", "", 8)
    assert capsys.readouterr().out.startswith("skipped 1 files that are no images")
    assert list(splits) == ["train", "validation", "test"]
    assert splits["train"].classes == ("a b", "größe")
    for split, images in splits.items():
        own = sorted(name for name in names if set_of(name) == split)
        assert len(images) == len(own) > 0
        assert images.images.shape == (len(own), 8, 8, 3)
        for pixels, label, name in zip(images.images, images.labels, own, strict=True):
            assert splits["train"].classes[label] == name.partition("/")[0]
            stored = np.asarray(Image.open(root / name), np.float32)
            np.testing.assert_allclose(pixels, stored / 255, atol=2e-2)


def test_the_set_of_a_file_depends_on_its_composed_name_alone(tmp_path):
    names = [f"{label}/é{i}.png" for label in "ab" for i in range(30)]
    write(tmp_path / "composed", names)
    write(tmp_path / "decomposed", [unicodedata.normalize("NFD", name) for name in names])
    sizes = [
        [len(part) for part in load_images(f"folder:{tmp_path / name}", "", 8).values()]
        for name in ("composed", "decomposed")
    ]
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("held_out", ["val", "Validation", "dev", "test"])
def test_sub_folders_are_the_sets(tmp_path, held_out):
    write(tmp_path, [f"train/{label}/{i}.png" for label in "xy" for i in range(20)])
    write(tmp_path, [f"{held_out}/{label}/sub/{i}.png" for label in "xy" for i in range(2)])
    splits = load_images(f"folder:{tmp_path}", "", 8)
    assert splits["test"].labels.tolist() == [0, 0, 1, 1]
    assert len(splits["train"]) + len(splits["validation"]) == 40
    write(tmp_path, [f"{'valid' if held_out == 'test' else 'test'}/x/a.png"])
    assert sorted(map(len, load_images(f"folder:{tmp_path}", "", 8).values())) == [1, 4, 40]


def test_images_of_several_sizes_are_resized_without_aliasing(tmp_path):
    def make():
        height = int(RNG.integers(16, 60))
        pixels = np.zeros((height, 32), np.uint8)
        pixels[:, ::2] = 200  # its mean is 100 wherever it is resized
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue()

    write(tmp_path, [f"{label}/{i}.png" for label in "ab" for i in range(30)], make)
    splits = load_images(f"folder:{tmp_path}", "", 8)
    assert splits["train"].images.shape[1:] == (8, 8, 1)
    inner = splits["train"].images[:, :, 1:-1]
    np.testing.assert_allclose(inner, inner.mean(), atol=0.03)


def test_small_images_of_one_size_are_resampled_as_others_are(tmp_path):
    write(tmp_path, [f"{label}/{i}.png" for label in "ab" for i in range(30)])
    small = load_images(f"folder:{tmp_path}", "", 8)["train"].images
    large = load_images(f"folder:{tmp_path}", "", 32)["train"].images
    np.testing.assert_array_equal(large, resample(small, 32))


def test_modes_are_grey_or_red_green_blue(tmp_path):
    grey16 = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    path = tmp_path / "a.png"
    Image.fromarray(grey16).save(path)
    np.testing.assert_array_equal(decode_image(path, 1, 0, "a")[..., 0], grey16 >> 8)
    palette = Image.new("P", (4, 3), 1)
    palette.putpalette([9, 9, 9, 10, 20, 30])
    palette.save(path)
    assert decode_image(path, 3, 0, "a").tolist() == [[[10, 20, 30]] * 4] * 3
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    Image.new("RGB", (4, 3)).save(tmp_path / "a.jpg", exif=exif)
    assert decode_image(tmp_path / "a.jpg", 3, 0, "a").shape == (4, 3, 3)
    assert common_shape([tmp_path / "a.jpg"], ["a"]) == (4, 3, 3)
    Image.new("RGB", (4, 3)).save(tmp_path / "a.tif", exif=exif)
    assert common_shape([tmp_path / "a.tif"], ["a"]) == (4, 3, 3)
    assert decode_image(tmp_path / "a.tif", 3, 0, "a").shape == (4, 3, 3)
    Image.fromarray(grey16).save(tmp_path / "a.pgm")
    np.testing.assert_array_equal(decode_image(tmp_path / "a.pgm", 1, 0, "a")[..., 0], grey16 >> 8)
    assert common_shape([tmp_path / "a.pgm"], ["a"]) == (8, 8, 1)
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match="cannot read this: its pixels have 32 bits"):
        decode_image(tmp_path / "a.tif", 3, 0, "this")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB", "L", "1", "I;16"])
def test_transparent_pixels_are_white_paper(tmp_path, mode):
    """A row of opaque ink, and a row that is clear, or half clear where the format has halves."""
    ink, alpha, options = (10, 20, 30), [255, 0], {}
    if mode in ("RGBA", "LA"):
        alpha = [255, 128]
        pixels = [ink if mode == "RGBA" else (10,)] * 2
        picture = Image.fromarray(
            np.array([[(*p, a)] for p, a in zip(pixels, alpha, strict=True)], np.uint8)
        )
    elif mode == "P":
        alpha = [255, 128]
        picture = Image.new("P", (1, 2))
        picture.putdata([1, 0])
        picture.putpalette([*ink, *ink])
        options = {"transparency": bytes([128, 255])}
    else:
        values = {"RGB": (ink, (9, 9, 9)), "L": (10, 9), "1": (0, 1), "I;16": (2560, 77)}[mode]
        picture = Image.new(mode, (1, 2))
        picture.putdata(values)
        options = {"transparency": values[1]}
    picture.save(tmp_path / "a.png", **options)
    channels = 3 if mode in ("RGBA", "P", "RGB") else 1
    colour = np.array({3: ink, 1: (0,) if mode == "1" else (10,)}[channels], float)
    share = np.array(alpha)[:, None] / 255
    found = decode_image(tmp_path / "a.png", channels, 0, "a")[:, 0]
    np.testing.assert_allclose(found, colour * share + 255 * (1 - share), atol=1)


def test_a_table_of_encoded_images(tmp_path):
    content = [encoded(8 + i % 2, 8, "L") for i in range(80)]
    pictures = [{"bytes": image, "path": None} for image in content]
    (tmp_path / "beside.png").write_bytes(content[0])
    pictures[0] = {"bytes": None, "path": "beside.png"}
    labels = ["b", "a"] * 40
    path = tmp_path / "ä.parquet"
    pq.write_table(pa.table({"img": pictures, "label": labels}), path)
    splits = load_images(f"parquet:{path}", "", 8)
    assert splits["train"].classes == ("a", "b")
    for split, images in splits.items():
        own = [i for i in range(80) if set_of(content[i]) == split]
        assert images.labels.tolist() == [(i + 1) % 2 for i in own]
        assert images.images.shape == (len(own), 8, 8, 1)
    pq.write_table(pa.table({"image": content, "label": labels}), path)
    digests = [
        checksum(*load_images(f"parquet:{path}", "", 8).values()),
        checksum(*splits.values()),
    ]
    assert digests[0] == digests[1]


def test_photographs_of_several_sizes_are_cropped(tmp_path):
    names = [f"{label}/{i}.jpg" for label in "ab" for i in range(30)]
    write(tmp_path, names, lambda: encoded(int(RNG.integers(9, 30)), 12, "L", "JPEG", red=100))
    assert are_photos(f"folder:{tmp_path}", "")
    parts = load_photos(f"folder:{tmp_path}", "", 8, 0.1)
    assert sum(len(part) for part in parts.values()) == 60
    crops = parts["test"].subset(slice(0, 2))
    np.testing.assert_allclose(crops.images, np.full((2, 8, 8, 3), 100 / 255), atol=0.01)
    before = photo_provenance(parts)
    assert before == photo_provenance(parts)
    assert before["train"] == len(parts["train"])
    write(tmp_path, [names[0]], lambda: encoded(40, 12, "L", "JPEG"))
    after = photo_provenance(load_photos(f"folder:{tmp_path}", "", 8, 0.1))
    assert after["sha256"] != before["sha256"]


def test_faulty_folders_are_refused_in_one_line(tmp_path):
    root = tmp_path / "pictures"
    assert refused(f"folder:{root}").startswith("there is no folder")
    write(root, ["1.png"])
    assert refused(f"folder:{root}") == f"{root} needs a sub-folder for each class, found 1.png"
    write(root, [f"a/{i}.png" for i in range(60)])
    assert refused(f"folder:{root}") == f"{root} has 1 class; needs two or more"
    (root / "b").mkdir()
    assert f"the class folder {root / 'b'} has no images (.png, .jpg" in refused(f"folder:{root}")
    (root / "b" / "x.png").write_bytes(b"no image")
    assert f"cannot read {root / 'b' / 'x.png'}: " in refused(f"folder:{root}")
    (root / "b" / "x.png").write_bytes(encoded()[:-40])
    assert f"cannot read {root / 'b' / 'x.png'}: " in refused(f"folder:{root}")
    (root / "train").mkdir()
    assert f"{root} has both train and a, b" in refused(f"folder:{root}")


def test_faulty_sets_are_refused_in_one_line(tmp_path):
    write(tmp_path / "few", ["a/1.png", "b/1.png"])
    assert "is empty: it has 2 examples in all" in refused(f"folder:{tmp_path / 'few'}")
    write(tmp_path / "test", ["test/cat/1.png"])
    assert "test has the class 'cat', which train has not" in refused(f"folder:{tmp_path / 'test'}")
    write(tmp_path / "odd", ["train/cat/1.png", "train/dog/1.png", "test/cta/1.png"])
    assert "has not (did you mean cat?); the classes are cat, dog" in refused(
        f"folder:{tmp_path}/odd"
    )


@pytest.mark.parametrize(
    ("images", "labels", "part"),
    [
        ([b"x", b"y"], [0, 1], "cannot read the image in row 1 of"),
        ([None, b"y"], [0, 1], "the image in row 1 of"),
        ([{"path": "none.png", "bytes": None}] * 2, [0, 1], "none.png: No such file"),
        (["x", "y"], [0, 1], "has no encoded bytes, but 'x'"),
    ],
)
def test_faulty_tables_are_refused_in_one_line(tmp_path, images, labels, part):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": images, "label": labels}), path)
    assert part in refused(f"parquet:{path}")
    pq.write_table(pa.table({"picture": images, "label": labels}), path)
    assert "are picture, label; needs image and label" in refused(f"parquet:{path}")
