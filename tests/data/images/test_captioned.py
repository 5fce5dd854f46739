"""Images with captions: scenes by number, folds of COCO files, captions as arrays."""

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from data.builtin.captions import COLOURS, noun, parse
from data.catalogue import DataError
from data.images.captioned import (
    FOLDS,
    HeldOutCaptions,
    Layout,
    Pictures,
    TrainingCaptions,
    checksum,
    held_out_scenes,
    load_captioned,
    plain,
    scene_captions,
    scenes,
    split_fold,
)
from data.text.subwords import Words
from data.text.vocabulary import BEGIN, END, UNKNOWN


def encode(captions):
    """Ids by the length of each word."""
    return [[10 + len(word) for word in caption.split()] for caption in captions]


@pytest.fixture
def pictures():
    """Five images of 2 x 2 pixels; image i has i + 1 captions and the value 50 i on its left."""
    images = np.zeros((5, 2, 2, 3), np.uint8)
    images[:, :, 0] = 50 * np.arange(5)[:, None, None]
    return Pictures(images, [tuple("a" * (k + 1) for k in range(i + 1)) for i in range(5)])


def test_words_of_captions():
    assert plain("A man’s  dog, 2 cats; (on)\na-bed.") == "a man's dog 2 cats on a bed"
    vocabulary = Words.from_texts(scene_captions(), 1000)
    found = scenes("train", 0, 0, 20, 24)
    captions = [caption for of_one in found.captions for caption in of_one]
    ids = vocabulary.encode(captions)
    assert not any(UNKNOWN in each for each in ids)
    assert [vocabulary.decode(each) for each in ids] == captions
    assert all(
        parse(caption) in facts
        for of_one, facts in zip(found.captions, found.facts, strict=True)
        for caption in of_one
    )


def test_layout(pictures):
    batch = Layout(encode, 2, 3).batch(
        pictures.subset(np.array([0, 2])), [np.array([0]), np.array([2, 0, 1])]
    )
    np.testing.assert_allclose(batch["image"][1, :, 0], 100 / 255, rtol=1e-6)
    assert (batch["image"].dtype, batch["inputs"].dtype) == (np.float32, np.int32)
    # the first image has one caption, which occurs twice
    assert batch["inputs"].tolist() == [
        [[BEGIN, 11, END]] * 2,
        [[BEGIN, 13, END], [BEGIN, 11, END]],
    ]
    assert batch["targets"][1].tolist() == [[13, END, 0], [11, END, 0]]
    assert batch["mask"].tolist() == [[[1, 1, 0]] * 2] * 2
    cut = Layout(lambda captions: [[5, 6, 7, 8]], 1, 3)
    found = cut.batch(pictures.subset(np.array([0])), [np.array([0])])
    assert found["inputs"].tolist() == [[[BEGIN, 5, 6]]]
    assert found["targets"].tolist() == [[[5, 6, 7]]]


def test_pictures_as_bytes(pictures):
    found = Pictures.from_bytes(pictures.to_bytes())
    np.testing.assert_array_equal(found.images, pictures.images)
    assert found.captions == pictures.captions


def test_batches_of_training_images(pictures):
    layout = Layout(encode, 1, 6)
    batches = TrainingCaptions(pictures, layout, 2, 0, False)
    seen = [batches(step)["image"][:, 0, 0, 0] for step in range(5)]
    shades = np.round(np.concatenate(seen) * 255 / 50).astype(int)
    assert Counter(shades.tolist()) == dict.fromkeys(range(5), 2)
    flipped = TrainingCaptions(pictures, layout, 5, 0, True)
    images = np.concatenate([flipped(step)["image"] for step in range(8)])
    assert 0 < (images[:, 0, 1] > 0).any(axis=-1).mean() < 0.8
    with pytest.raises(DataError, match=r"batch_size 6 is more than the 5"):
        TrainingCaptions(pictures, layout, 6, 0, False)


def test_held_out_images_come_once_and_padding_is_masked(pictures):
    batches = list(HeldOutCaptions(pictures, Layout(encode, 2, 6), 3))
    assert [batch["index"].tolist() for batch in batches] == [[0, 1, 2], [3, 4, -1]]
    assert [batch["mask"].any(axis=(1, 2)).tolist() for batch in batches][1] == [True, True, False]


def test_scenes_are_functions_of_the_number():
    three, one = scenes("train", 0, 3, 3, 24), scenes("train", 0, 4, 1, 24)
    np.testing.assert_array_equal(three.images[1], one.images[0])
    assert checksum(three.subset(np.array([1]))) == checksum(one) != checksum(three)
    large = scenes("train", 0, 4, 1, 96).images[0]
    blocks = large.reshape(24, 4, 24, 4, 3).mean(axis=(1, 3))
    assert np.abs(blocks - one.images[0]).mean() < 4
    # the values of a mask are digits and colours, which the captions name
    names = [divmod(value - 1, len(COLOURS)) for value in np.unique(one.masks) if value]
    assert len(names) == 2
    assert all(noun(*name) in one.captions[0][0] for name in names)
    held_out = held_out_scenes(2, 24)
    assert not np.array_equal(held_out["validation"].images, held_out["test"].images)


def test_folds_of_a_coco_file(tmp_path):
    (tmp_path / "images").mkdir()
    images = []
    for i in range(24):
        Image.new("RGB", (6, 4), (10 * i, 0, 0)).save(tmp_path / "images" / f"{i}.png")
        captions = [f"Image {i}, red."] if i < 22 else []
        images.append({"file": f"{i}.png", "height": 4, "width": 6, "captions": captions})
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps({"categories": [], "images": images}))
    loaded = load_captioned(str(path), 8)
    assert loaded.images.shape == (22, 8, 8, 3)
    assert loaded.captions[3] == ("image 3 red",)
    tests = []
    for fold in range(FOLDS):
        splits = split_fold(loaded, fold)
        names = [caption for part in splits.values() for caption in part.captions]
        assert sorted(names) == sorted(loaded.captions)
        assert len(splits["validation"].captions) == 2
        tests += splits["test"].captions
    assert sorted(tests) == sorted(loaded.captions)
    path.write_text(json.dumps({"categories": [], "images": images[-6:]}))
    with pytest.raises(DataError, match="has 4 images with captions, needs 5 or more"):
        load_captioned(str(path), 8)
