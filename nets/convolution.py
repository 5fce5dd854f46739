"""Convolution of few channels as one matrix product, where that is faster on a CPU.

XLA's convolution on a CPU is made for many channels; with few of them most of its time is not
arithmetic. A product with a banded matrix then wins, although most of that matrix is zeros: some
rows of an image side by side, times the kernel at every column, are a row of the output, of all
columns and channels. `python -m bench.convolution` measures it.
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


def convolve(x, kernel, strides, padding, **options):
    """`lax.conv_general_dilated` of x [N, H, W, C] and kernel [h, w, C, O], as `nn.Conv` calls it.

    Raises ValueError as that does.
    """
    steps = [options.get(name) or (1, 1) for name in ("lhs_dilation", "rhs_dilation")]
    plain = x.ndim == 4 and options.get("feature_group_count", 1) == 1
    plain = plain and all(tuple(step) == (1, 1) for step in (strides, *steps))
    fits = plain and x.shape[3] == kernel.shape[2]
    if not fits or jax.default_backend() != "cpu":
        return lax.conv_general_dilated(x, kernel, strides, padding, **options)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], (1, 1), padding)
    return convolve_cpu(x, kernel, tuple(tuple(pad) for pad in padding))


def worth(channels: int, width: int, size: int) -> bool:
    """Whether a band that makes `channels` channels is faster than XLA's convolution.

    width: of the images; size: of the kernel. The product has width / size times the arithmetic of
    the convolution, done some 70, 7, 3 and 1.5 times as fast with 1, 6, 16 and 32 channels.
    """
    return width <= size * (10 if channels < 8 else 3 if channels < 16 else 1)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve_cpu(x, kernel, padding: Padding):
    """Convolution with steps of one, each pass by the faster form."""
    return forward(x, kernel, padding)[0]


def forward(x, kernel, padding: Padding):
    """Return the convolution, and what its gradient needs."""
    form = by_band if worth(kernel.shape[3], x.shape[2], kernel.shape[1]) else by_lax
    return form(x, kernel, padding), (x, kernel)


def backward(padding: Padding, saved, g):
    """Return the gradients of images and kernel."""
    x, kernel = saved
    form = by_band if worth(kernel.shape[2], x.shape[2], kernel.shape[1]) else by_lax
    (dx,) = jax.vjp(lambda x: form(x, kernel, padding), x)[1](g)
    (dkernel,) = jax.vjp(lambda kernel: by_lax(x, kernel, padding), kernel)[1](g)
    return dx, dkernel


convolve_cpu.defvjp(forward, backward)


def by_lax(x, kernel, padding: Padding):
    """XLA's own."""
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=DIMENSIONS)


def by_band(x, kernel, padding: Padding):
    """One product: [N H', h W C] times [h W C, W' O]."""
    (top, bottom), (left, right) = padding
    n, height, width, channels = x.shape
    rows, columns, _, features = kernel.shape
    high, wide = height + top + bottom - rows + 1, width + left + right - columns + 1
    # band[i, a, c, b, o] = kernel[i, a + left - b, c, o]: from column a of the image to b
    shift = np.arange(width)[:, None] + left - np.arange(wide)
    chosen = np.arange(columns)[:, None, None] == shift
    band = jnp.einsum("jab,ijco->iacbo", chosen.astype(kernel.dtype), kernel)
    lines = jnp.pad(x.reshape(n, height, width * channels), ((0, 0), (top, bottom), (0, 0)))
    beside = jnp.concatenate([lines[:, i : i + high] for i in range(rows)], axis=-1)
    product = beside.reshape(n * high, -1) @ band.reshape(-1, wide * features)
    return product.reshape(n, high, wide, features)


class Conv(nn.Conv):
    """`flax.linen.Conv`, the same parameters and values, computed by `convolve`."""

    conv_general_dilated_cls: Any = lambda: convolve
