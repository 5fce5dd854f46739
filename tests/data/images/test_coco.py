"""COCO files: boxes as corners, captions and masks; errors name the image."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from data.catalogue import DataError
from data.images.coco import CATEGORY_IDS, load_coco


def write_images(folder):
    folder.mkdir(parents=True)
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (6, 4), (10, 20, 30)).save(folder / name)


def compact_file(root, change=None):
    """Compact form with two images of 6 x 4 pixels; the second has neither boxes nor a mask."""
    write_images(root / "images")
    mask = np.array([[0, 25, 187, 0, 0, 1]] * 4, np.uint8)
    Image.fromarray(mask).save(root / "images" / "m.png")
    objects = [{"bbox": [1, 2, 3, 2], "label": "cat", "iscrowd": 0}]
    size = {"height": 4, "width": 6}
    first = {"file": "a.jpg", **size, "captions": ["A cat."], "boxes": objects}
    first["mask"] = "images/m.png"
    second = {"file": "b.jpg", **size, "captions": [], "boxes": None}
    content = {"categories": ["person", "cat"], "images": [first, second]}
    if change:
        change(content)
    path = root / "annotations.json"
    path.write_text(json.dumps(content))
    return path


def standard_file(root, change=None):
    """COCO's own form, in annotations/ beside the folder of the images."""
    write_images(root / "val")
    images = [
        {"id": i, "file_name": f"{name}.jpg", "height": 4, "width": 6}
        for i, name in ((7, "a"), (9, "b"))
    ]
    polygon = {"segmentation": [[1, 1, 3, 1, 3, 2, 1, 2]], "bbox": [1, 1, 2.5, 1.5]}
    runs = {"segmentation": {"size": [4, 6], "counts": [20, 4]}, "bbox": [5, 0, 1, 4]}
    content = {
        "images": images,
        "categories": [{"id": 18, "name": "dog"}, {"id": 17, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 18, "iscrowd": 0, **polygon},
            {"id": 2, "image_id": 7, "category_id": 17, "iscrowd": 1, **runs},
            {"id": 3, "image_id": 9, "caption": " Two dogs. "},
        ],
    }
    if change:
        change(content)
    (root / "annotations").mkdir()
    path = root / "annotations" / "instances_val.json"
    path.write_text(json.dumps(content))
    return path


def zipped(path):
    """ZIP file of a compact file and its images."""
    archive = path.parent / "set.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for file in (path, *(path.parent / "images").iterdir()):
            out.write(file, file.relative_to(path.parent))
    return archive


def test_the_compact_form_in_a_folder_and_in_a_zip_file(tmp_path):
    path = compact_file(tmp_path / "ü")
    for source in (path, zipped(path)):
        coco = load_coco(str(source))
        assert (len(coco), coco.classes) == (2, ("person", "cat"))
        first = coco[0]
        assert (first.image.shape, first.image.dtype) == ((4, 6, 3), np.uint8)
        assert first.name.endswith("images/a.jpg")
        assert first.boxes.tolist() == [[1, 2, 4, 4]]
        assert (first.boxes.dtype, first.labels.dtype) == (np.float32, np.int32)
        assert (first.labels.tolist(), first.crowd.tolist()) == ([1], [False])
        assert first.captions == ("A cat.",)
        # giraffe is class 23 of COCO, with the id 25; ids of what is no object are background
        assert first.mask[0].tolist() == [0, 24, 0, 0, 0, 1]
        second = coco[1]
        assert (second.boxes.shape, second.captions, second.mask) == ((0, 4), (), None)
        for what in ("boxes", "captions", "mask"):
            assert len(coco.having(what)) == 1
    assert len(CATEGORY_IDS) == 80


def test_the_standard_form(tmp_path):
    coco = load_coco(str(standard_file(tmp_path)))
    assert coco.classes == ("cat", "dog")
    first = coco[0]
    assert first.boxes.tolist() == [[1, 1, 3.5, 2.5], [5, 0, 6, 4]]
    assert (first.labels.tolist(), first.crowd.tolist()) == ([1, 0], [False, True])
    expected = np.zeros((4, 6), int)
    expected[1:3, 1:4], expected[:, 5] = 2, 1
    assert first.mask.tolist() == expected.tolist()
    assert coco[1].captions == ("Two dogs.",)
    assert coco[1].boxes.shape == (0, 4)
    named = load_coco(str(tmp_path / "annotations" / "instances_val.json"), str(tmp_path / "val"))
    assert len(named) == 2


@pytest.mark.parametrize(
    ("box", "part"),
    [
        ([1, 2, 3, 2.9], None),  # rounding: clipped
        ([1, 2, 9, 2], r"box 1 of image a.jpg of .*, 1, 2, 9, 2, is empty or outside of 6 x 4"),
        ([4, 2, -1, 2], "is empty or outside"),
        ([1, 2, float("nan"), 1], "is empty or outside"),
        (["x", 2, 1, 1], "image a.jpg of .* has a box that is not four numbers"),
    ],
)
def test_boxes_outside_are_refused(tmp_path, box, part):
    path = compact_file(tmp_path / "f", lambda c: c["images"][0]["boxes"][0].update(bbox=box))
    if part is None:
        assert load_coco(str(path))[0].boxes.tolist() == [[1, 2, 4, 4]]
        return
    with pytest.raises(DataError, match=part):
        load_coco(str(path))


@pytest.mark.parametrize(
    ("number", "change", "part"),
    [
        (0, {"image_id": 8}, "annotation 1 of .* belongs to image 8, which is not there"),
        (0, {"category_id": 3}, "annotation 1 of .* has category 3, which is not there"),
        (1, {"segmentation": {"counts": [1]}}, r"a mask of .*a.jpg is .* not of its size \(4, 6\)"),
    ],
)
def test_faulty_annotations_are_refused(tmp_path, number, change, part):
    path = standard_file(tmp_path, lambda c: c["annotations"][number].update(change))
    with pytest.raises(DataError, match=part):
        load_coco(str(path))[0]


@pytest.mark.parametrize(
    ("file", "content", "part"),
    [
        ("images/a.jpg", b"no image", "cannot read .*a.jpg"),
        ("images/m.png", b"no image", "cannot read .*m.png"),
        ("images/m.png", None, "there is no file .*m.png"),
        ("images/a.jpg", None, "names the image images/a.jpg, which is not in"),
        ("annotations.json", b"{", "cannot read .*annotations.json"),
        ("annotations.json", b"{}", "is no COCO file: it has no 'images'"),
        ("annotations.json", b'{"images": [{}]}', "is no COCO file: KeyError"),
        ("annotations.json", b'{"images": [], "categories": []}', "has no images"),
        ("annotations.json", None, "there is no file .*annotations.json"),
    ],
)
def test_faulty_files_are_refused(tmp_path, file, content, part):
    path = compact_file(tmp_path / "f")
    changed = path.parent / file
    changed.unlink() if content is None else changed.write_bytes(content)
    with pytest.raises(DataError, match=part):
        load_coco(str(path))[0]


def test_sizes_must_agree(tmp_path):
    path = compact_file(tmp_path / "f")
    Image.new("L", (5, 4)).save(path.parent / "images" / "m.png")
    with pytest.raises(DataError, match=r"m.png has shape \(4, 5\), its image \(4, 6\)"):
        load_coco(str(path))[0]
    Image.new("RGB", (5, 4)).save(path.parent / "images" / "a.jpg")
    with pytest.raises(DataError, match=r"a.jpg has shape \(4, 5\), but its annotations are for"):
        load_coco(str(path))[0]


def test_unknown_classes_and_missing_members_are_refused(tmp_path):
    def unknown(content):
        content["images"][0]["boxes"][0]["label"] = "cot"

    with pytest.raises(DataError, match=r"image a.jpg of .* has the class 'cot'"):
        load_coco(str(compact_file(tmp_path / "f", unknown)))

    def missing(content):
        content["images"][1]["file"] = "c.jpg"

    archive = zipped(compact_file(tmp_path / "g", missing))
    with pytest.raises(DataError, match=r"there is no file .*set.zip/images/c.jpg"):
        load_coco(str(archive))[1]
