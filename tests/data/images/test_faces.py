"""Faces: names of files, PGM images, missing images, turned digits."""

import numpy as np
import pytest
from PIL import Image

from data.catalogue import DataError
from data.images.faces import FACTORS, load_faces, parse_name, read_faces

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (3, 4), np.uint8)


def write(path, pixels=PIXELS, ascii_digits=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = pixels.shape
    header = f"P{2 if ascii_digits else 5}\n{width} {height}\n255\n".encode()
    text = "\n".join(" ".join(map(str, row)) for row in pixels).encode()
    path.write_bytes(header + (text if ascii_digits else pixels.tobytes()))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("an2i/an2i_left_angry_open_4.pgm", "an2i left angry open 4"),
        ("straight_an2i_neutral_sunglasses_2.pgm", "an2i straight neutral sunglasses 2"),
        ("happy_up_open_at_33.pgm", "at_33 up happy open 1"),
        ("kk49/right_sad_open.pgm", "kk49 right sad open 1"),
    ],
)
def test_parts_of_a_name_may_have_any_order(tmp_path, name, expected):
    names = ("identity", "pose", "expression", "eyes", "reduction")
    assert parse_name(tmp_path / name) == dict(zip(names, expected.split(), strict=True))


@pytest.mark.parametrize(
    ("name", "missing"), [("an2i_left_open_4", "expression"), ("a_left_up_sad_open", "pose")]
)
def test_a_name_without_a_part_is_refused(tmp_path, name, missing):
    write(tmp_path / f"{name}.pgm")
    with pytest.raises(
        DataError, match=f"{name}.pgm must have one {missing} in its name"
    ) as caught:
        read_faces(tmp_path)
    assert "\n" not in str(caught.value)


def test_images_of_a_reduction_are_read_with_their_labels(tmp_path):
    write(tmp_path / "faces" / "b" / "b_left_sad_open_4.pgm")
    write(tmp_path / "faces" / "a" / "a_up_happy_sunglasses_4.pgm", 255 - PIXELS, ascii_digits=True)
    write(tmp_path / "faces" / "a" / "a_up_happy_sunglasses.pgm", np.zeros((12, 16), np.uint8))
    (tmp_path / "faces" / "a" / "a_up_sad_open_4.pgm.bad").write_text("left out")
    faces = load_faces(f"faces:{tmp_path}")
    assert faces.classes == {"identity": ("a", "b"), **FACTORS}
    expected = {"identity": [0, 1], "pose": [3, 0], "expression": [1, 2], "eyes": [1, 0]}
    assert {name: array.tolist() for name, array in faces.labels.items()} == expected
    assert faces.images.dtype == np.float32
    stored = np.stack([255 - PIXELS, PIXELS])[..., None] / np.float32(255)
    np.testing.assert_allclose(faces.images, stored, rtol=1e-6)
    assert load_faces(f"faces:{tmp_path}", "1").images.shape == (1, 12, 16, 1)
    with pytest.raises(DataError, match="no images of reduction 2, only 1 of reduction 1, 2 of"):
        load_faces(f"faces:{tmp_path}", "2")
    part = faces.subset(np.array([1]))
    assert (len(part), part.labels["pose"].tolist()) == (1, [0])


def test_mirror_images_look_the_other_way(tmp_path):
    write(tmp_path / "a_left_sad_open_4.pgm")
    write(tmp_path / "a_up_sad_open_4.pgm")
    both = read_faces(tmp_path).with_mirrored()
    poses = [both.classes["pose"][pose] for pose in both.labels["pose"]]
    assert poses == ["left", "up", "right", "up"]
    assert both.labels["expression"].tolist() == [2] * 4
    np.testing.assert_array_equal(both.images[2, :, 0], both.images[0, :, -1])
    assert len(both) == 4


def test_people_and_poses_with_missing_images_are_named(tmp_path):
    for person in ("a", "b"):
        for pose in FACTORS["pose"]:
            for expression in FACTORS["expression"]:
                for eyes in FACTORS["eyes"]:
                    write(tmp_path / f"{person}_{pose}_{expression}_{eyes}_4.pgm")
    assert not read_faces(tmp_path).missing
    for name in ("a_up_sad_open", "a_up_sad_sunglasses", "b_left_angry_open"):
        (tmp_path / f"{name}_4.pgm").unlink()
    assert read_faces(tmp_path).missing == "3 images, of 8 in each pose: a up 6, b left 7"


def test_damaged_files_and_other_forms_are_refused_in_one_line(tmp_path):
    path = tmp_path / "a_up_sad_open_4.pgm"
    Image.fromarray(PIXELS).save(tmp_path / "is.png")
    colours = Image.fromarray(np.stack([PIXELS] * 3, axis=-1))
    colours.save(tmp_path / "is.ppm")
    contents = {
        "cannot identify": (tmp_path / "is.png").read_bytes(),
        "cannot identify image": b"not an image",
        "truncated|not enough": b"P5\n4 3\n255\nabc",
        "type RGB, not grey": (tmp_path / "is.ppm").read_bytes(),
    }
    for message, content in contents.items():
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"cannot read .*{path.name} as PGM: .*") as caught:
            read_faces(tmp_path)
        assert "\n" not in str(caught.value), message
    write(path)
    write(tmp_path / "a_up_angry_open_4.pgm", PIXELS.T)
    with pytest.raises(DataError, match="differ in size: 3 x 4 and 4 x 3"):
        read_faces(tmp_path)


@pytest.mark.parametrize("name", ["faces:none/here", "faces:", "face:x", "mnist"])
def test_unknown_data_are_refused(name):
    with pytest.raises(DataError, match="there is no"):
        load_faces(name)


def test_digits_are_turned_by_their_pose():
    faces = load_faces("digits")
    assert faces.images.shape == (1797, 8, 8, 1)
    assert not faces.missing
    upright = {"left": -1, "straight": 0, "right": 1, "up": 2}
    eight_rows = []
    for image, pose in zip(faces.images, faces.labels["pose"], strict=True):
        turned = np.rot90(image, upright[faces.classes["pose"][pose]])
        eight_rows.append(turned[:, 0].sum() + turned[:, -1].sum())
    assert max(eight_rows) < faces.images.sum(axis=(1, 2, 3)).min()  # the sides of digits are empty
    assert np.bincount(faces.labels["pose"]).min() > 400
