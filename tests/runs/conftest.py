"""Fixtures of the training loop, for runs over several processes; a small VOC folder."""

from tests.data.images.test_voc import folder as voc
from tests.train.conftest import regression, small_config

__all__ = ["regression", "small_config", "voc"]
