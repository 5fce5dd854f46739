"""Images with masks: readers, crops and whole images; every fault is one line that names a file."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from data.catalogue import DataError
from data.images.segmented import (
    CAMVID,
    CAMVID_VOID,
    EvaluationImages,
    Segmented,
    TrainingCrops,
    largest,
    load_segmented,
    reduced,
)
from data.images.voc import VOID


def source(sizes=((40, 50), (33, 64)), seed=0):
    """Images whose colour tells the class of each pixel: red is 100 times the class."""
    rng = np.random.default_rng(seed)
    masks = [rng.integers(0, 3, size).astype(np.uint8) for size in sizes]
    images = [np.stack([100 * m, m, m], axis=-1).astype(np.uint8) for m in masks]
    return Segmented(images, masks, ("a", "b", "c"))


def test_whole_crops_are_the_padded_images_each_once_an_epoch():
    images = source()
    batches = TrainingCrops(images, 2, seed=3)
    seen = batches(0)
    assert seen["image"].shape == (2, 64, 64, 3)
    for image, label in zip(seen["image"], seen["label"], strict=True):
        real = label != VOID
        np.testing.assert_allclose(image[..., 0][real], label[real] * 100 / 255, atol=1e-6)
        assert (image[~real] == 0).all()
        assert real.sum() in (40 * 50, 33 * 64)
    assert sorted((seen["label"] != VOID).sum(axis=(1, 2))) == [40 * 50, 33 * 64]


def test_mirrored_and_resized_crops_keep_image_and_label_together():
    size = (32, 32)
    mask = np.repeat(np.repeat(np.arange(16).reshape(4, 4) % 3, 8, 0), 8, 1).astype(np.uint8)
    image = np.stack([100 * mask] * 3, axis=-1)
    batches = TrainingCrops(Segmented([image], [mask], ("a", "b", "c")), 1, 0, 24, 0.4, flip=True)
    views = [batches(step) for step in range(6)]
    for view in views:
        assert view["image"].shape == (1, 24, 24, 3)
        label, red = view["label"][0], view["image"][0, ..., 0] * 2.55
        # away from edges between classes the colour is that of the label
        inner = np.array([[len({*label[i - 1 : i + 2, j - 1 : j + 2].ravel()}) == 1
                           for j in range(1, 23)] for i in range(1, 23)])  # fmt: skip
        assert inner.any()
        inner &= label[1:-1, 1:-1] != VOID
        np.testing.assert_allclose(red[1:-1, 1:-1][inner], label[1:-1, 1:-1][inner], atol=1e-4)
    assert len({view["label"].tobytes() for view in views}) > 3
    np.testing.assert_array_equal(views[2]["image"], batches(2)["image"])
    assert size == mask.shape


def test_colours_of_crops_change_but_not_their_labels():
    plain = TrainingCrops(source(), 2, seed=3)(0)
    tinted = TrainingCrops(source(), 2, seed=3, colour=0.3)(0)
    np.testing.assert_array_equal(plain["label"], tinted["label"])
    assert np.abs(plain["image"] - tinted["image"]).max() > 0.05
    assert 0 <= tinted["image"].min() <= tinted["image"].max() <= 1


def test_evaluation_pads_with_void_and_keeps_masks_at_full_size():
    images = reduced(source(((40, 50), (33, 64), (20, 20))), 2)
    assert [image.shape for image in images.images] == [(20, 25, 3), (17, 32, 3), (10, 10, 3)]
    assert largest(images) == (32, 32)
    first, second = EvaluationImages(images, 2)
    assert first["image"].shape == (2, 32, 32, 3)
    assert first["label"].shape == (2, 64, 64)
    assert ((first["label"] != VOID).sum(axis=(1, 2)) == [40 * 50, 33 * 64]).all()
    assert second["mask"].tolist() == [1, 0]
    whole = source().images[0].reshape(20, 2, 25, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(first["image"][0, :20, :25] * 255, whole, atol=0.51)


def test_pixels_are_counted_for_each_image_and_class():
    masks = [np.array([[0, 0], [1, 255]], np.uint8), np.array([[0, 0], [0, 0]], np.uint8)]
    images = [np.zeros((2, 2, 3), np.uint8)] * 2
    counts = Segmented(images, masks, ("a", "b", "c")).counts()
    np.testing.assert_array_equal(counts, [[2, 1, 0], [4, 0, 0]])


@pytest.fixture
def camvid(tmp_path):
    root = tmp_path / "cam"
    for prefix in ("train", "val", "test"):
        (root / prefix).mkdir(parents=True)
        (root / f"{prefix}annot").mkdir()
        Image.new("RGB", (6, 4), (10, 20, 30)).save(root / prefix / "a.jpg")
        mask = np.full((4, 6), CAMVID_VOID, np.uint8)
        mask[0] = 3
        Image.fromarray(mask).save(root / f"{prefix}annot" / "a.png")
        (root / f"{prefix}.txt").write_text(f"/SegNet/{prefix}/a.jpg /SegNet/{prefix}annot/a.png\n")
    return root


def test_camvid(camvid):
    sets = load_segmented(f"camvid:{camvid}", 1, 0.1)
    assert set(sets) == {"train", "validation", "test"}
    assert sets["train"].classes == CAMVID
    assert np.unique(sets["test"].masks[0]).tolist() == [3, VOID]


def test_camvid_in_a_zip_file(camvid, tmp_path):
    path = tmp_path / "cam.zip"
    with zipfile.ZipFile(path, "w") as out:
        for file in sorted(camvid.rglob("*.*")):
            out.write(file, file.relative_to(camvid))
    found, expected = (load_segmented(f"camvid:{p}", 1, 0.1)["test"] for p in (path, camvid))
    np.testing.assert_array_equal(found.images[0], expected.images[0])
    np.testing.assert_array_equal(found.masks[0], expected.masks[0])
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("train.txt", "a\n")
    with pytest.raises(DataError, match=r"no file .*cam.zip/train/a.jpg"):
        load_segmented(f"camvid:{path}", 1, 0.1)
    path.write_bytes(b"PK cut")
    with pytest.raises(DataError, match=r"cannot read .*cam.zip: "):
        load_segmented(f"camvid:{path}", 1, 0.1)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda r: (r / "val.txt").unlink(), r"no file .*val.txt"),
        (lambda r: (r / "val.txt").write_text("\n"), r"val.txt is empty"),
        (lambda r: (r / "test/a.jpg").write_bytes(b"\xff\xd8 cut"), r"cannot read .*test.a.jpg"),
        (lambda r: (r / "testannot/a.png").unlink(), r"no file .*testannot.a.png"),
        (lambda r: (r / "testannot/a.png").write_bytes(b"cut"), r"cannot read .*testannot.a.png"),
        (
            lambda r: Image.new("L", (5, 4)).save(r / "trainannot/a.png"),
            r"trainannot.a.png has shape \(4, 5\), its image \(4, 6\)",
        ),
        (
            lambda r: Image.new("L", (6, 4), 40).save(r / "trainannot/a.png"),
            r"a.png has the value 40; the largest is 11",
        ),
    ],
)
def test_faults_name_their_file(camvid, spoil, said):
    spoil(camvid)
    with pytest.raises(DataError, match=said) as error:
        load_segmented(f"camvid:{camvid}", 1, 0.1)
    assert "\n" not in str(error.value)


def test_coco_masks_are_divided_into_three_sets(tmp_path):
    mask = Image.fromarray(np.array([[0, 1, 17, 0]] * 3, np.uint8))  # ids of person and cat
    (tmp_path / "images").mkdir()
    entries = []
    for i in range(40):
        Image.new("RGB", (4, 3), (i, 0, 0)).save(tmp_path / f"images/{i}.jpg")
        mask.save(tmp_path / f"images/{i}.png")
        own = {"mask": f"images/{i}.png"} if i else {}
        entries.append({"file": f"{i}.jpg", "height": 3, "width": 4, **own})
    path = tmp_path / "annotations.json"
    categories = [f"class{i}" for i in range(80)]
    path.write_text(json.dumps({"categories": categories, "images": entries}))
    sets = load_segmented(f"coco:{path}", 1, 0.1)
    assert sum(map(len, sets.values())) == 39
    assert sets["test"].classes == ("background", *categories)
    assert np.unique(sets["test"].masks[0]).tolist() == [0, 1, 16]
    path.write_text(json.dumps({"categories": categories, "images": entries[:1]}))
    with pytest.raises(DataError, match=r"annotations.json has no image with a mask"):
        load_segmented(f"coco:{path}", 1, 0.1)


def test_an_unknown_form_is_refused():
    with pytest.raises(DataError, match=r"none of scenes, camvid:DIR_OR_ZIP"):
        load_segmented("camvit:x", 1, 0.1)
