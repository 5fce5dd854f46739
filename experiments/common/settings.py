"""Settings that experiments of several rooms have."""

from typing import Any

from train.config import option


def validation_fraction() -> Any:
    """Declare the field of a config for the size of the validation set."""
    return option(
        0.1,
        "fraction of the training data held out for validation",
        note="if they have no validation set",
        group="data",
        above=0,
        maximum=0.5,
    )


def picture(*modes: str, note: str = "default: RUN/MODE.png") -> Any:
    """Declare the field of a config for the picture that some modes draw."""
    return option("", "image file to write", note=note, modes=modes, output=True)
