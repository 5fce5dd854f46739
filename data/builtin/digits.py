"""`digits`: the 1,797 real handwritten digits of scikit-learn as a TFDS dataset."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

TEST_SIZE = 360


class Digits(tfds.core.GeneratorBasedBuilder):
    """8x8 images of the UCI optical digits (Alpaydin and Kaynak 1998), with values 0 to 16.

    A fixed random split has 1,437 images for training and 360 for testing.
    """

    name = "digits"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Tensor(shape=(8, 8, 1), dtype=np.uint8),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict]]]:
        del dl_manager
        order = np.random.default_rng(0).permutation(1797)
        return {
            "train": self._generate_examples(order[TEST_SIZE:]),
            "test": self._generate_examples(order[:TEST_SIZE]),
        }

    def _generate_examples(self, indices: np.ndarray) -> Iterator[tuple[int, dict]]:
        from sklearn import datasets  # loads slowly, and is needed only to prepare the dataset

        images, labels = datasets.load_digits(return_X_y=True)
        for i in indices.tolist():
            image = images[i].reshape(8, 8, 1).astype(np.uint8)
            yield i, {"image": image, "label": int(labels[i])}
