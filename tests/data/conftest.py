"""Datasets that are prepared once for all tests of this folder."""

import contextlib
import io

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data.catalogue import load_splits


# not registered, so it is read from its files alone, like a dataset without its builder
class Squares(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Grey squares with labels, in the three splits that a text needs."""

    name = "squares"
    VERSION = tfds.core.Version("2.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Tensor(shape=(6, 6, 1), dtype=np.uint8),
            "label": tfds.features.ClassLabel(names=["dark", "light"]),
        }
        features = tfds.features.FeaturesDict(features)
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        del dl_manager
        sizes = {"train": 6, "validation": 3, "test": 2}
        return {split: self._generate_examples(size) for split, size in sizes.items()}

    def _generate_examples(self, size):
        for i in range(size):
            label = (i + 1) % 2
            yield i, {"image": np.full((6, 6, 1), 200 * label + 55, np.uint8), "label": label}


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """Folder with the prepared datasets digits, python_source and squares."""
    folder = str(tmp_path_factory.mktemp("prepared"))
    load_splits("digits", folder)
    load_splits("python_source", folder)
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        Squares(data_dir=folder, file_format="array_record").download_and_prepare()
    return folder
