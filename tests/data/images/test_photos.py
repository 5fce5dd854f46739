"""Photographs of many sizes: crops, batches, and datasets of JPEG files."""

import contextlib
import io
import types
from dataclasses import replace

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from data.catalogue import DataError
from data.images.augment import Augmentation
from data.images.labelled import EvaluationBatches
from data.images.photos import (
    SHARE,
    PhotoBatches,
    Photos,
    are_photos,
    crop,
    load_photos,
    photo_provenance,
    principal_colours,
)


def gradient(height, width):
    """A photograph whose red and green are a pixel's own row and column."""
    rows, columns = np.indices((height, width))
    return np.stack([rows, columns, np.full_like(rows, 7)], -1).astype(np.uint8)


def photos(count, size=4):
    """Flat photographs, their number being their label and their red."""
    source = [
        {"image": np.full((20 + i, 30 - i, 3), (i, 0, 9), np.uint8), "label": i}
        for i in range(count)
    ]
    return Photos(source, ("a", "b"), size, range(count))


@pytest.mark.parametrize("shape", [(80, 120), (120, 80), (64, 64)])
@pytest.mark.parametrize("where", [(0, 0), (0.5, 0.5), (1, 0.25)])
def test_a_crop_is_the_mean_of_the_pixels_under_it(shape, where):
    found = crop(gradient(*shape), 14, np.array(where)) * 255
    assert (found.shape, found.dtype) == ((14, 14, 3), np.float32)
    side = SHARE * min(shape)
    for channel, (length, place) in enumerate(zip(shape, where, strict=True)):
        centres = (length - side) * place + side / 14 * (np.arange(14) + 0.5) - 0.5
        along = np.moveaxis(found[..., channel], channel, 0)
        # the window is cut where the photograph ends, not the crop
        np.testing.assert_allclose(along[1:-1], np.tile(centres[1:-1, None], 14), atol=0.6)
    np.testing.assert_allclose(found[..., 2], 7)


def test_batches_contain_each_photograph_once_per_epoch_and_repeat_by_step():
    batches = PhotoBatches(photos(7), 3, 5, Augmentation(), 0.0, np.zeros((3, 3)))
    seen = np.concatenate([batches(step)["label"] for step in range(7)])
    for epoch in np.split(seen, 3):
        assert sorted(epoch) == list(range(7))
    batch = batches(2)
    np.testing.assert_allclose(batch["image"][:, 0, 0, 0] * 255, batch["label"], atol=1e-4)
    assert all(np.array_equal(batch[name], batches(2)[name]) for name in batch)
    with pytest.raises(DataError, match="batch_size 8 is more than the 7"):
        PhotoBatches(photos(7), 8, 5, Augmentation(), 0.0, np.zeros((3, 3)))


def test_colours_are_moved_along_their_principal_components():
    rng = np.random.default_rng(0)
    source = [
        {"image": np.full((9, 9, 3), colour, np.uint8), "label": 0}
        for colour in rng.integers(0, 256, (40, 3))
    ]
    few = Photos(source, ("a",), 2, range(40))
    found = principal_colours(few)
    colours = np.array([element["image"][0, 0] for element in source]) / 255
    # rows v L of the covariance V L V': it is the sum of their outer products over L = |row|
    lengths = np.linalg.norm(found, axis=1)
    covariance = np.einsum("ni,nj,n->ij", found, found, 1 / lengths)
    np.testing.assert_allclose(covariance, np.cov(np.repeat(colours, 4, 0).T), rtol=1e-3, atol=1e-4)
    plain, moved = (
        PhotoBatches(few, 40, 0, Augmentation(), colour, found)(0)["image"] for colour in (0, 0.5)
    )
    change = moved - plain
    np.testing.assert_allclose(change, np.broadcast_to(change[:, :1, :1], change.shape), atol=1e-6)
    weights = change[:, 0, 0] @ np.linalg.inv(found)
    assert 0.3 < weights.std() < 0.7


def test_evaluation_reads_centres_and_pads_the_last_batch():
    batches = list(EvaluationBatches(photos(5), 3))
    assert [batch["mask"].tolist() for batch in batches] == [[1, 1, 1], [1, 1, 0]]
    labels = np.concatenate([batch["label"] for batch in batches])
    assert labels.tolist() == [0, 1, 2, 3, 4, 0]


class Snapshots(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """JPEG files of several sizes, as ImageNet's."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=["low", "high"]),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        del dl_manager
        sizes = {"train": 5, "validation": 2, "test": 1}
        return {split: self._generate_examples(size) for split, size in sizes.items()}

    def _generate_examples(self, size):
        for i in range(size):
            file = io.BytesIO()
            Image.new("RGB", (20 + 4 * i, 30), (50 * i, 100, 0)).save(file, "JPEG", quality=95)
            file.seek(0)
            yield i, {"image": file, "label": i % 2}


def test_jpeg_files_of_a_prepared_dataset(tmp_path):
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        Snapshots(data_dir=tmp_path, file_format="array_record").download_and_prepare()
    assert are_photos("snapshots", str(tmp_path))
    parts = load_photos("snapshots", str(tmp_path), 8, 0.2)
    assert {name: len(part) for name, part in parts.items()} == {
        "train": 4,
        "validation": 1,
        "test": 2,
    }
    assert parts["train"].classes == ("low", "high")
    about = photo_provenance(parts)
    assert [about[name] for name in parts] == [len(photos) for photos in parts.values()]
    changed = {**parts, "train": replace(parts["train"], indices=range(1, 5))}
    assert photo_provenance(parts) == about
    assert photo_provenance(changed)["sha256"] != about["sha256"]
    whole = [photos.subset(slice(None)) for photos in parts.values()]
    reds = np.concatenate([part.images[:, 4, 4, 0] * 255 for part in whole[:2]])
    np.testing.assert_allclose(np.sort(reds), [0, 50, 100, 150, 200], atol=4)
    assert all(part.images.shape[1:] == (8, 8, 3) for part in whole)


@pytest.mark.parametrize(
    ("splits", "features", "part"),
    [
        (["train"], {}, r"splits \['train'\], needs train and validation or test"),
        (["train", "test"], {"image": types.SimpleNamespace(shape=(None, None, 3))}, "labelled"),
        (
            ["train", "validation"],
            {
                "image": types.SimpleNamespace(shape=(None, None, 1)),
                "label": types.SimpleNamespace(names=["a"]),
            },
            "in colour",
        ),
    ],
)
def test_other_datasets_are_refused(monkeypatch, splits, features, part):
    source = types.SimpleNamespace(dataset_info=types.SimpleNamespace(features=features))
    monkeypatch.setattr("data.images.photos.load_splits", lambda *_: dict.fromkeys(splits, source))
    with pytest.raises(DataError, match=part):
        load_photos("other", "", 8, 0.1)
