"""VOC folders: boxes in pixels from the corner, labels and masks; errors name the file."""

import numpy as np
import pytest
from PIL import Image

from data.catalogue import DataError
from data.images.voc import CLASSES, VOID, load_voc

XML = """<annotation><object><name>{name}</name>{more}
<bndbox><xmax>{box[2]}</xmax><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><ymax>{box[3]}</ymax></bndbox>
<part><name>head</name></part></object></annotation>"""


def annotation(name="dog", box=(1, 2, 6, 4), more="<difficult>1</difficult>"):
    return XML.format(name=name, box=box, more=more)


@pytest.fixture
def folder(tmp_path):
    """Two images of 6 x 4 pixels; the second has no objects and no mask."""
    root = tmp_path / "VOC ü"
    for name in ("JPEGImages", "Annotations", "ImageSets/Main", "ImageSets/Segmentation"):
        (root / name).mkdir(parents=True)
    (root / "SegmentationClass").mkdir()
    for name in ("a b", "c"):
        Image.new("RGB", (6, 4), (10, 20, 30)).save(root / "JPEGImages" / f"{name.split()[0]}.jpg")
    (root / "Annotations" / "a.xml").write_text(annotation())
    (root / "Annotations" / "c.xml").write_text("<annotation/>")
    (root / "ImageSets" / "Main" / "train.txt").write_text("a\nc\n")
    (root / "ImageSets" / "Main" / "dog_train.txt").write_text("a  1\nc -1\n")
    (root / "ImageSets" / "Segmentation" / "val.txt").write_text("a\n")
    mask = Image.fromarray(np.array([[0, 12, 255, 0, 0, 1]] * 4, np.uint8)).convert("P")
    mask.putpalette(list(range(256)) * 3)
    mask.save(root / "SegmentationClass" / "a.png")
    return root


def test_an_image_with_its_boxes_and_mask(folder):
    voc = load_voc(str(folder), "train")
    assert len(voc) == 2
    image, (boxes, labels, difficult), mask = voc[0]
    assert (image.shape, image.dtype) == ((4, 6, 3), np.uint8)
    # the pixels 1 to 6 and 2 to 4 of the file: 6 wide, 3 high
    assert boxes.tolist() == [[0, 1, 6, 4]]
    assert (boxes.dtype, labels.dtype, difficult.tolist()) == (np.float32, np.int32, [True])
    assert CLASSES[labels[0]] == "dog"
    assert mask[0].tolist() == [0, 1 + labels[0], VOID, 0, 0, 1]
    assert mask.dtype == np.int32
    empty = voc[1]
    assert empty.objects.boxes.shape == (0, 4)
    assert empty.mask is None
    assert load_voc(str(folder), "val", "Segmentation").names == ["a"]
    assert load_voc(str(folder), "dog_train").names == ["a", "c"]


def test_own_classes(folder):
    (folder / "Annotations" / "a.xml").write_text(annotation("unicorn", more=""))
    (folder / "SegmentationClass" / "a.png").unlink()
    _, labels, difficult = load_voc(str(folder), "train", classes=("horse", "unicorn"))[0].objects
    assert (labels.tolist(), difficult.tolist()) == ([1], [False])


@pytest.mark.parametrize(
    ("file", "content", "part"),
    [
        ("a.xml", "<annotation>", "a.xml is not XML: no element found"),
        ("a.xml", annotation("dig"), "object 1 of .*a.xml has the class 'dig'.*did you mean dog"),
        (
            "a.xml",
            annotation(box=(0, 1, 2, 2)),
            "has the box 0, 1, 2, 2, which is empty or outside",
        ),
        ("a.xml", annotation(box=(3, 1, 2, 2)), "outside of 6 x 4 pixels"),
        ("a.xml", annotation(box=("x", 1, 2, 2)), "has no box of numbers"),
        ("a.xml", None, r"there is no file .*a.xml"),
        ("../JPEGImages/a.jpg", "no image", "cannot read .*a.jpg"),
        ("../SegmentationClass/a.png", "no image", "cannot read .*a.png"),
    ],
)
def test_faulty_files_are_refused(folder, file, content, part):
    path = folder / "Annotations" / file
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(DataError, match=part):
        load_voc(str(folder), "train")[0]


def test_faulty_masks_are_refused(folder):
    path = folder / "SegmentationClass" / "a.png"
    for pixels, part in (
        (np.full((4, 6), 21, np.uint8), "has the value 21; the classes are 1 to 20"),
        (np.zeros((4, 5), np.uint8), r"has shape \(4, 5\), its image \(4, 6\)"),
        (np.zeros((4, 6, 3), np.uint8), "its mode is RGB, not indexed colours"),
    ):
        Image.fromarray(pixels).save(path)
        with pytest.raises(DataError, match=part):
            load_voc(str(folder), "train")[0]


def test_missing_sets_and_folders_are_refused(folder):
    with pytest.raises(
        DataError, match=r"no set 'trian' \(did you mean train\?\); available: dog_"
    ):
        load_voc(str(folder), "trian")
    (folder / "ImageSets" / "Main" / "val.txt").write_text("\n")
    with pytest.raises(DataError, match=r"val.txt is empty"):
        load_voc(str(folder), "val")
    with pytest.raises(DataError, match=r"needs a folder with .*; .*JPEGImages has no JPEGImages"):
        load_voc(str(folder / "JPEGImages"), "val")
