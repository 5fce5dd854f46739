"""Which of two equivalent computations is faster: every such choice of `nets`, with its reason.

Both computations have the same values and gradients, up to rounding. The thresholds matter only on
a CPU, where they avoid weaknesses of XLA. Their defaults were measured on CPUs with AVX-512.
`python -m bench.recurrent --tune` measures most of them on another machine and writes a file, which
is read if the environment variable UNFOLD_CHOICES names it.
"""

import json
import math
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import jax

from .shapes import is_static

VARIABLE = "UNFOLD_CHOICES"


class Choices(NamedTuple):
    """The thresholds of all choices.

    A choice is off if its smallest size is one that no array reaches, such as 2^40, or if its
    largest size is 0.

    large_kernel: number of entries from which a kernel counts as large. Multiplying a few rows by a
    large kernel is slow: at each call, XLA's libraries repack the second operand of a product, and
    any operand that is transposed within the product, which takes as long as the product itself.

    cached_products: number of float32 entries that fit into the last-level cache. If the input
    products of all steps fit, they can be computed before the loop without going through memory.

    least_rows, most_rows: smallest and largest number of rows for which a large kernel becomes the
    first operand of a product, and the transposed rows the second one, because only the second one
    is repacked. With other numbers of rows, or if 8 does not divide them, nothing is gained.

    band_channels, band_taps: largest number of channels, and smallest number of taps of a kernel,
    for which a convolution becomes a product with a banded matrix. The band wastes half of its
    products, but XLA's convolution, which is built for many channels, wastes more.

    grid_rows: smallest number of rows in a step for which several grids are put side by side, so
    that fewer cells of the skewed grid are empty. There are then more steps, each with fewer rows.

    split_groups: largest number of groups of a convolution that are convolved one after the other,
    since the gradient of XLA's grouped convolution takes about 15 times as long. Each group makes
    the program larger.
    """

    large_kernel: int = 2**18
    cached_products: int = 2**22
    least_rows: int = 16
    most_rows: int = 64
    band_channels: int = 16
    band_taps: int = 25
    grid_rows: int = 64
    split_groups: int = 8


class ChoicesError(ValueError):
    """A file of thresholds cannot be used; a command that needs it ends with `exit_code`."""

    exit_code = 2


def chosen() -> Choices:
    """Return the thresholds of the file that UNFOLD_CHOICES names, or else the defaults.

    Raises ChoicesError when the file cannot be read or has other entries than thresholds.
    """
    path = os.environ.get(VARIABLE)
    return read_choices(path) if path else Choices()


@lru_cache(maxsize=1)
def read_choices(path: str) -> Choices:
    """Return the thresholds of a JSON file, and the defaults of those that it does not have."""
    try:
        return Choices(**json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise ChoicesError(f"{VARIABLE}={path} is no file of thresholds: {error}") from None


def on_cpu() -> bool:
    """Whether the program is compiled for a CPU."""
    return jax.default_backend() == "cpu"


def slow_kernel(*shape: int) -> bool:
    """Whether multiplying a few rows by a kernel of this shape is slow."""
    return on_cpu() and math.prod(shape) >= chosen().large_kernel


def kernel_first(shape: tuple[int, ...], rows: Any) -> bool:
    """Whether a product of rows with a kernel is faster with the kernel as the first operand."""
    least, most = chosen().least_rows, chosen().most_rows
    return is_static(rows) and rows % 8 == 0 and least <= rows <= most and slow_kernel(*shape)


def products_first(inputs: int, columns: int, gates: int) -> bool:
    """Whether the input products of all steps are computed before the loop over the steps.

    On a CPU they are computed before it only for one gate or for a large kernel [inputs, columns].
    In other cases, writing the products to memory and reading them back costs more time than it
    saves, and it takes memory.
    """
    return not on_cpu() or gates == 1 or slow_kernel(inputs, columns)


def products_first_without_gradient(entries: Any, fuses: bool) -> bool:
    """Whether the input products are computed before the loop in a pass without gradient as well.

    Such a pass stores nothing else for each step. entries: number of entries of the products of all
    steps, which must fit into the cache. fuses: whether XLA compiles the step to a fast loop if the
    products come from an array, which it does not for a GRU.
    """
    return fuses and is_static(entries) and entries <= chosen().cached_products


def product_in_each_cell(inputs: int, hidden: int) -> bool:
    """Whether a grid computes the input product in each step: when it is much wider than the input.

    On any device, writing and reading all products then costs more than a small product per step.
    """
    return inputs <= hidden


def joins_grids(rows: int) -> bool:
    """Whether to put grids side by side when a step then has this number of rows."""
    return on_cpu() and rows >= chosen().grid_rows


def prefers_band(channels: int, taps: int) -> bool:
    """Whether a pass with `channels` output channels is faster as a banded product on a CPU."""
    return channels <= chosen().band_channels and taps >= chosen().band_taps


def one_group_at_a_time(groups: int) -> bool:
    """Whether the groups of a convolution are convolved one after the other."""
    return on_cpu() and 1 < groups <= chosen().split_groups


def accumulation_dtype(dtype: Any, wide: Any) -> Any:
    """Return the dtype of a product of `dtype` operands that is added to an array of dtype `wide`.

    On a CPU, XLA has fast bfloat16 products only if the result is wide. On other devices the result
    is rounded to `dtype`, so that the products of the gradient have operands of `dtype` as well.
    """
    return wide if on_cpu() else dtype
