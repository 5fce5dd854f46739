"""Arguments of a search that may be sequences, numpy arrays, or tracers inside jit."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ..masking import is_concrete

Values = ArrayLike | Sequence[Any]  # any argument of `numpy.asarray`


def as_array(values: Any) -> Any:
    """Convert concrete values to numpy, and others to jax."""
    return np.asarray(values) if is_concrete(values) else jnp.asarray(values)


def check_tokens(name: str, tokens: np.ndarray, vocabulary: int) -> None:
    """Raise ValueError if a token is not in the vocabulary."""
    outside = tokens[(tokens < 0) | (tokens >= vocabulary)]
    if outside.size:
        raise ValueError(
            f"{name} token {outside[0]} is outside the vocabulary of {vocabulary} tokens"
        )
