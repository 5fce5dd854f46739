"""Fixtures of the training loop, for runs over several processes."""

from tests.train.conftest import regression, small_config

__all__ = ["regression", "small_config"]
