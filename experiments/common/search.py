"""Checks of the settings of a search for sentences, be they translations or captions."""

from typing import Any

from train.config import ConfigError


def check_n_best(config: Any) -> None:
    """Raise ConfigError if a beam search cannot return config.n_best hypotheses."""
    if config.n_best > config.beam_size and not config.temperature:
        raise ConfigError(
            f"config.n_best must be at most config.beam_size, {config.beam_size}, "
            f"got {config.n_best}"
        )


def check_groups(config: Any) -> None:
    """Raise ConfigError if the groups of the beam do not fit the other settings."""
    if config.beam_size % config.groups:
        raise ConfigError(
            f"config.groups must divide config.beam_size, {config.beam_size}, got {config.groups}"
        )
    if config.diversity and config.groups == 1:
        raise ConfigError("config.diversity needs config.groups above 1")
