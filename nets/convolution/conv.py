"""Convolution of few channels as one matrix product, where that is faster on a CPU.

XLA's convolution on a CPU is made for many channels; with few of them most of its time is not
arithmetic. A product with a banded matrix then wins, although half of that matrix is zeros: h lines
of a block of columns side by side, times the kernel at every column of the block, are a line of the
output, of these columns and all channels. Where it wins was measured at 28 and 14 columns with
kernels 5x5 and 3x3, 1 to 32 channels; `python -m bench.convolution` has the step of whole networks.
A few groups are convolved one by one, for the gradient of XLA's grouped convolution takes some
fifteen times as long.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

Padding = tuple[tuple[int, int], tuple[int, int]]

DIMENSIONS = ("NHWC", "HWIO", "NHWC")


FEW_GROUPS = 8  # that are convolved one by one; the program grows with them


def convolve(x, kernel, strides, padding, **options):
    """`lax.conv_general_dilated` of x [N, H, W, C] and kernel [h, w, C, O], as `nn.Conv` calls it.

    Raises ValueError as that does.
    """
    groups = options.get("feature_group_count", 1)
    split = 1 < groups <= FEW_GROUPS and x.shape[-1] == groups * kernel.shape[-2]
    if split and kernel.shape[-1] % groups == 0 and jax.default_backend() == "cpu":
        options["feature_group_count"] = 1
        parts = zip(jnp.split(x, groups, axis=-1), jnp.split(kernel, groups, axis=-1), strict=True)
        outputs = [convolve(part, own, strides, padding, **options) for part, own in parts]
        return jnp.concatenate(outputs, axis=-1)
    steps = [options.get(name) or (1, 1) for name in ("lhs_dilation", "rhs_dilation")]
    plain = x.ndim == 4 and options.get("feature_group_count", 1) == 1
    plain = plain and all(tuple(step) == (1, 1) for step in (strides, *steps))
    fits = plain and x.shape[3] == kernel.shape[2]
    if not fits or jax.default_backend() != "cpu":
        return lax.conv_general_dilated(x, kernel, strides, padding, **options)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], (1, 1), padding)
    return convolve_cpu(x, kernel, tuple(tuple(pad) for pad in padding))


def few(channels: int, kernel) -> bool:
    """Whether a pass that makes so many channels is faster as a product with a band."""
    return channels <= 16 and kernel.shape[0] * kernel.shape[1] >= 25


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve_cpu(x, kernel, padding: Padding):
    """Convolution with steps of one, each pass by the faster form."""
    return forward(x, kernel, padding)[0]


def forward(x, kernel, padding: Padding):
    """Return the convolution, and what its gradient needs."""
    form = by_band if few(kernel.shape[3], kernel) else by_lax
    return form(x, kernel, padding), (x, kernel)


def backward(padding: Padding, saved, g):
    """Return the gradients of images and kernel."""
    x, kernel = saved
    channels, features = kernel.shape[2:]
    form = by_band if few(channels, kernel) else by_lax
    (dx,) = jax.vjp(lambda x: form(x, kernel, padding), x)[1](g)
    form = by_band if few(features, kernel) or channels == 1 else by_lax
    (dkernel,) = jax.vjp(lambda kernel: form(x, kernel, padding), kernel)[1](g)
    return dx, dkernel


convolve_cpu.defvjp(forward, backward)


def by_lax(x, kernel, padding: Padding):
    """XLA's own."""
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=DIMENSIONS)


def by_band(x, kernel, padding: Padding):
    """One product: rows are h lines of h + w - 1 columns, columns w columns of the output.

    Wider blocks of columns have more zeros in the band, narrower ones more overlap.
    """
    (top, bottom), (left, right) = padding
    n, height, width, _ = x.shape
    rows, columns, _, features = kernel.shape
    high, wide = height + top + bottom - rows + 1, width + left + right - columns + 1
    blocks = -(-wide // columns)
    span = 2 * columns - 1
    # band[i, a, c, b, o] = kernel[i, a - b, c, o]: from column a of a block's input to its column b
    shift = np.arange(span)[:, None] - np.arange(columns)
    chosen = np.arange(columns)[:, None, None] == shift
    band = jnp.einsum("jab,ijco->iacbo", chosen.astype(kernel.dtype), kernel)
    beyond = blocks * columns + columns - 1 - left - width
    x = jnp.pad(x, ((0, 0), (top, bottom), (left, max(beyond, 0)), (0, 0)))
    starts = range(0, blocks * columns, columns)
    lines = jnp.stack([x[:, :, a : a + span].reshape(*x.shape[:2], -1) for a in starts], axis=2)
    beside = jnp.concatenate([lines[:, i : i + high] for i in range(rows)], axis=-1)
    product = beside.reshape(n * high * blocks, -1) @ band.reshape(-1, columns * features)
    return product.reshape(n, high, blocks * columns, features)[:, :, :wide]


class Conv(nn.Conv):
    """`flax.linen.Conv`, the same parameters and values, computed by `convolve`."""

    conv_general_dilated_cls: Any = lambda: convolve
