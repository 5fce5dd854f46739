"""Which of two equal computations is faster: every choice of `nets`, with its reason, in one table.

Both forms have the same values and gradients, up to rounding. On GPUs and TPUs the plain form is
always taken; the others avoid weaknesses of XLA on a CPU. The thresholds were measured on CPUs with
AVX-512. `python -m bench.recurrent --tune` measures them on the machine at hand and writes a file,
which is read where the environment variable UNFOLD_CHOICES names it.
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
    """The thresholds; a number that no size reaches turns a choice off.

    large_kernel: entries of a kernel from which it is slow to multiply few rows by it: XLA's
    libraries repack the second operand of a product, and any operand that is transposed within the
    product, at each call, which takes as long as the product itself.

    cached_products: float32 entries that fit into the last-level cache. Up to this size, input
    products of all steps that are computed before the loop need not go through the memory.

    least_rows, most_rows: rows between which a large kernel is the first operand of a product with
    transposed rows, because only the second one is repacked. Outside, and where the number of rows
    is no multiple of 8, nothing is gained.

    band_channels, band_taps: most channels, and fewest taps of a kernel, for which a convolution is
    a product with a banded matrix. XLA's convolution is built for many channels; the band wastes
    half of its products, but wastes less than that.

    grid_rows: fewest rows in the step of a grid for which several grids are put side by side, so
    that fewer cells of the skewed grid are empty. That makes more steps, of fewer rows.

    split_groups: most groups of a convolution that are convolved one after the other, since the
    gradient of XLA's grouped convolution takes about 15 times as long. The program grows with them.
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
    """A file of thresholds that cannot be used; `exit_code` is that of a command that needs it."""

    exit_code = 2


def chosen() -> Choices:
    """Return the thresholds of the file that UNFOLD_CHOICES names, or else the defaults.

    Raises ChoicesError when the file is not one of `python -m bench.recurrent --tune`.
    """
    path = os.environ.get(VARIABLE)
    return read_choices(path) if path else Choices()


@lru_cache(maxsize=1)
def read_choices(path: str) -> Choices:
    """Return the thresholds of a JSON file; those that it lacks keep their defaults."""
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
    """Whether the input products of all steps are computed before the loop over them.

    On a CPU only for one gate, and for a large kernel [inputs, columns]. In other cases, writing
    the products to memory and reading them back costs more time than it saves, as well as the
    memory.
    """
    return not on_cpu() or gates == 1 or slow_kernel(inputs, columns)


def products_first_without_gradient(entries: Any, fuses: bool) -> bool:
    """Whether that holds in a pass without gradient, which stores nothing else for each step.

    entries: of the products of all steps, which should fit into the cache. fuses: XLA compiles the
    step to a fast loop when the products come from an array; not so the step of a GRU.
    """
    return fuses and is_static(entries) and entries <= chosen().cached_products


def product_in_each_cell(inputs: int, hidden: int) -> bool:
    """Whether a grid computes the input product in each step: if it is much wider than the input.

    Writing and reading it then costs more than a small product in each step, on any device.
    """
    return inputs <= hidden


def joins_grids(rows: int) -> bool:
    """Whether grids are put side by side if a step then has this many rows."""
    return on_cpu() and rows >= chosen().grid_rows


def prefers_band(channels: int, taps: int) -> bool:
    """Whether a pass that computes `channels` channels is faster as a banded product on a CPU."""
    return channels <= chosen().band_channels and taps >= chosen().band_taps


def one_group_at_a_time(groups: int) -> bool:
    """Whether the groups of a convolution are convolved one after the other."""
    return on_cpu() and 1 < groups <= chosen().split_groups


def accumulation_dtype(dtype: Any, wide: Any) -> Any:
    """Result dtype of a product of `dtype` operands that is then added to an array of dtype `wide`.

    On a CPU, XLA has fast bfloat16 products only if the result is wide. On other devices the result
    is rounded to `dtype`, so that the products of the gradient have operands of `dtype` too.
    """
    return wide if on_cpu() else dtype
