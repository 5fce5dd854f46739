"""Images with objects: scenes, VOC folders and COCO files; faulty ones are named."""

import json

import numpy as np
import pytest
from PIL import Image

from data.catalogue import DataError
from data.forms.splits import set_of
from data.images.detection import checked_shares, load_annotated

XML = (
    "<annotation><object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin>"
    "<xmax>{}</xmax><ymax>{}</ymax></bndbox></object></annotation>"
)

DIFFICULT = XML.format("newt", 1, 1, 9, 9).replace("<bnd", "<difficult>1</difficult><bnd")


@pytest.fixture
def voc(tmp_path):
    """Folder with an image of 40 x 20 pixels in each set; that of "val" has no objects."""
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("train", "val", "test"):
        Image.new("RGB", (40, 20), (9, 99, 9)).save(tmp_path / "JPEGImages" / f"{name}.jpg")
        text = "<annotation/>" if name == "val" else XML.format("newt", 1, 1, 20, 10)
        (tmp_path / "Annotations" / f"{name}.xml").write_text(text)
        (tmp_path / "ImageSets" / "Main" / f"{name}.txt").write_text(f"{name}\n")
    return tmp_path


def test_boxes_are_resized_with_their_image(voc):
    data = load_annotated(f"voc:{voc}", "", 80)
    assert data.classes == ("newt",)
    picture = data.sets["test"][0]
    assert picture.image.shape == (40, 80, 3)
    assert picture.boxes.tolist() == [[0, 0, 40, 20]]
    assert data.sets["validation"][0].boxes.shape == (0, 4)  # no objects: allowed


def test_scenes_have_their_digits():
    data = load_annotated("scenes", "", 48, 2)
    assert [len(pictures) for pictures in data.sets.values()] == [2, 2, 2]
    picture = data.sets["train"][0]
    assert picture.image.shape == (48, 48, 3)
    assert (picture.boxes[:, :2] < picture.boxes[:, 2:]).all()
    assert picture.boxes.max() <= 48
    assert data.sets["validation"][0].name != picture.name


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (("Annotations/test.xml", XML.format("eft", 1, 1, 9, 9)), "has the class 'eft'"),
        (("Annotations/test.xml", XML.format("newt", 9, 1, 1, 9)), "empty or outside"),
        (("Annotations/test.xml", XML.format("newt", 1, 1, 41, 9)), "empty or outside"),
        (("JPEGImages/test.jpg", None), "no image .*test.jpg"),
        (("Annotations/train.xml", DIFFICULT), "has no objects"),
    ],
)
def test_faulty_annotations_are_refused(voc, change, part):
    path, text = voc / change[0], change[1]
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(DataError, match=part) as caught:
        load_annotated(f"voc:{voc}", "", 80)
    assert "\n" not in str(caught.value)


def test_a_damaged_image_is_named_and_left_out(voc, capsys):
    (voc / "JPEGImages" / "other.jpg").write_text("no image")
    (voc / "Annotations" / "other.xml").write_text("<annotation/>")
    (voc / "ImageSets" / "Main" / "test.txt").write_text("other\ntest\n")
    data = load_annotated(f"voc:{voc}", "", 80)
    assert [picture.name for picture in data.sets["test"]] == ["test"]
    assert "other.jpg" in capsys.readouterr().err


def test_one_pixel_is_an_image(voc):
    Image.new("RGB", (1, 1)).save(voc / "JPEGImages" / "val.jpg")
    assert load_annotated(f"voc:{voc}", "", 32).sets["validation"][0].image.shape == (32, 32, 3)


def test_coco_crowds_and_classes_that_training_has_not(tmp_path, capsys):
    images = [{"id": i, "file_name": f"{i}.png", "width": 8, "height": 4} for i in range(40)]
    for image in images:
        Image.new("RGB", (8, 4)).save(tmp_path / image["file_name"])
    kinds = [{"id": 3, "name": "cat"}, {"id": 9, "name": "dog"}]

    def load(*categories, crowds=0):
        notes = [
            {"id": i, "image_id": i, "category_id": kind, "bbox": [1, 1, 2, 2]}
            for i, kind in enumerate(categories)
        ]
        for note in notes[:crowds]:
            note["iscrowd"] = 1
        content = {"images": images, "annotations": notes, "categories": kinds}
        (tmp_path / "a.json").write_text(json.dumps(content))
        return load_annotated(f"coco:{tmp_path / 'a.json'}", "", 32)

    data = load(*[3] * 40, crowds=20)
    assert data.classes == ("cat", "dog")
    every = [picture for pictures in data.sets.values() for picture in pictures]
    assert sum(int(picture.crowd.sum()) for picture in every) == 20
    assert every[0].boxes.tolist() == [[4, 4, 12, 12]]
    in_test = [f"{i}.png" for i in range(40) if set_of(f"{i}.png") == "test"]
    assert [picture.name for picture in data.sets["test"]] == in_test  # in any folder
    assert not capsys.readouterr().err
    load(*(9 if f"{i}.png" in in_test else 3 for i in range(40)))
    assert "test set has the class 'dog', which training never sees" in capsys.readouterr().err


def test_boxes_in_parts_of_the_sides(capsys):
    boxes = np.array([[0, 0, 1, 0.5], [0.2, 0.2, 0.2, 0.2]])
    assert checked_shares(boxes, "x").tolist() == [True, False]
    assert "object 2 of x" in capsys.readouterr().err
    for wrong in ([0.5, 0, 0.4, 1], [0, 0, 1.2, 1]):
        with pytest.raises(DataError, match="object 1 of x has the box"):
            checked_shares(np.array([wrong], float), "x")


@pytest.mark.parametrize("name", ["vo:here", "voc:", "coco:", ""])
def test_unknown_forms_are_refused(name):
    with pytest.raises(DataError, match="is none of scenes, voc:DIR"):
        load_annotated(name, "", 32)
