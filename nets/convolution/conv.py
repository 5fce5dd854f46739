"""Convolution of few channels as one matrix product, where that is faster on a CPU.

XLA's convolution on a CPU is built for many channels; with few channels, most of its time is not
spent on arithmetic. A product with a banded matrix is then faster, although half of that matrix is
zeros: its left factor is h image rows of a block of columns, the band is the kernel shifted to
every column of the block, and the result is one output row of the block, for all channels. Where
it is taken is in nets/choices.py, measured at 28 and 14 columns with 5x5 and 3x3 kernels and 1 to
32 channels; `python -m bench.convolution` times whole training steps. Convolutions with a few
groups run one group at a time.
"""

import math
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from jax.custom_derivatives import SymbolicZero

from ..choices import on_cpu, one_group_at_a_time, prefers_band
from ..shapes import divided, flatten_from

Padding = tuple[tuple[int, int], tuple[int, int]]

DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def convolve(
    x: jax.Array, kernel: jax.Array, strides: Any, padding: Any, **options: Any
) -> jax.Array:
    """Convolve x [N, H, W, C] with a kernel [h, w, C, O], with the signature that `nn.Conv` calls.

    Same values, options and errors as `jax.lax.conv_general_dilated`.
    """
    groups = options.get("feature_group_count", 1)
    split = one_group_at_a_time(groups) and x.shape[-1] == groups * kernel.shape[-2]
    if split and kernel.shape[-1] % groups == 0:
        options["feature_group_count"] = 1
        pairs = zip(jnp.split(x, groups, axis=-1), jnp.split(kernel, groups, axis=-1), strict=True)
        outputs = [
            convolve(group, weights, strides, padding, **options) for group, weights in pairs
        ]
        return jnp.concatenate(outputs, axis=-1)
    dilations = [options.get(name) or (1, 1) for name in ("lhs_dilation", "rhs_dilation")]
    plain = x.ndim == 4 and options.get("feature_group_count", 1) == 1
    plain = plain and all(tuple(step) == (1, 1) for step in (strides, *dilations))
    plain = plain and x.shape[3] == kernel.shape[2]
    if not plain or not on_cpu():
        return lax.conv_general_dilated(x, kernel, strides, padding, **options)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], (1, 1), padding)
    return convolve_cpu(x, kernel, tuple(tuple(pad) for pad in padding))


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def convolve_cpu(x: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    """Convolve with stride 1; every pass, forward or backward, takes the faster implementation.

    In a banded product, 0 times a value that is not finite would also make windows NaN that do not
    contain the value. So such values are replaced by 0, and the windows that contain them become
    NaN.
    """
    if not prefers_band(kernel.shape[3], math.prod(kernel.shape[:2])):
        return xla_convolution(x, kernel, padding)
    reached = windows_reached(~jnp.isfinite(x).all(axis=-1), kernel.shape[:2], padding)
    out = banded_convolution(only_finite(x), kernel, padding)
    return jnp.where(reached[..., None], jnp.nan, out)


@partial(convolve_cpu.defjvp, symbolic_zeros=True)
def tangent(
    padding: Padding, primals: tuple[jax.Array, jax.Array], tangents: tuple[Any, Any]
) -> tuple[jax.Array, jax.Array]:
    """Return the convolution and its derivative in a direction, which is linear in the direction.

    The transposes of its two terms are the gradients with respect to images and kernel.
    """
    x, kernel = primals
    dx, dkernel = tangents
    channels, features = kernel.shape[2:]
    taps = math.prod(kernel.shape[:2])
    out = convolve_cpu(x, kernel, padding)
    direction = jnp.zeros_like(out)
    if not isinstance(dx, SymbolicZero):
        banded = prefers_band(channels, taps)
        direction += (banded_convolution if banded else xla_convolution)(dx, kernel, padding)
    if not isinstance(dkernel, SymbolicZero):
        if prefers_band(features, taps) or channels == 1:
            direction += banded_convolution(only_finite(x), dkernel, padding)
        else:
            direction += xla_convolution(x, dkernel, padding)
    return out, direction


def only_finite(x: jax.Array) -> jax.Array:
    """Return x with zeros in place of values that are not finite."""
    return jnp.where(jnp.isfinite(x), x, 0)


def windows_reached(pixels: jax.Array, size: tuple[int, ...], padding: Padding) -> jax.Array:
    """Bool [N, H', W'], whether a window of `size` rows and columns has one of pixels [N, H, W]."""
    pixels = jnp.pad(pixels, ((0, 0), *padding))
    for axis, span in enumerate(size, 1):
        outputs = pixels.shape[axis] - span + 1
        shifts = [lax.slice_in_dim(pixels, i, i + outputs, axis=axis) for i in range(span)]
        pixels = reduce(jnp.logical_or, shifts)
    return pixels


def xla_convolution(x: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    """Convolve with stride 1 by XLA's own operation."""
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=DIMENSIONS)


def banded_convolution(x: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    """Convolve with stride 1 by one product with a banded matrix.

    A row of the left factor holds h image rows of h + w - 1 columns; a column of the band belongs
    to one of w output columns. Wider blocks of columns have more zeros in the band, narrower ones
    overlap more.
    """
    (top, bottom), (left, right) = padding
    n, height, width, _ = x.shape
    rows, columns, _, features = kernel.shape
    out_height = height + top + bottom - rows + 1
    out_width = width + left + right - columns + 1
    blocks = -(-out_width // columns)
    span = 2 * columns - 1
    # band[i, a, c, b, o] = kernel[i, a - b, c, o]: from column a of a block's input to its column b
    shift = np.arange(span)[:, None] - np.arange(columns)
    on_band = np.arange(columns)[:, None, None] == shift
    band = jnp.einsum("jab,ijco->iacbo", on_band.astype(kernel.dtype), kernel)
    extra = blocks * columns + columns - 1 - left - width
    x = jnp.pad(x, ((0, 0), (top, bottom), (left, max(extra, 0)), (0, 0)))
    starts = range(0, blocks * columns, columns)
    lines = jnp.stack([flatten_from(x[:, :, a : a + span], 2) for a in starts], axis=2)
    patches = jnp.concatenate([lines[:, i : i + out_height] for i in range(rows)], axis=-1)
    flat = patches.reshape(n * out_height * blocks, patches.shape[-1])
    product = flat @ band.reshape(-1, columns * features)
    shape = (n, out_height, blocks * columns, features)
    return jnp.reshape(product, shape, out_sharding=divided(x))[:, :, :out_width]


class Conv(nn.Conv):
    """`flax.linen.Conv` computed by `convolve`: the same parameters and values.

    >>> layer, images = Conv(6, (5, 5), padding="VALID"), jnp.zeros((2, 32, 32, 1))
    >>> jax.eval_shape(layer.init_with_output, jax.random.key(0), images)[0].shape
    (2, 28, 28, 6)
    """

    conv_general_dilated_cls: Any = lambda: convolve
