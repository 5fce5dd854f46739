"""Depthwise convolution as a sum of shifted images, which is faster on a CPU.

XLA runs the groups of a grouped convolution one at a time on a CPU; with one group for each
channel, a network spends nearly all its time there. The gradient of the kernel is summed row by
row of the image, three times as fast as one long sum for each weight.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from ..choices import on_cpu
from .conv import DIMENSIONS, Padding


def convolve_depthwise(x: jax.Array, kernel: jax.Array, stride: int, padding: Padding) -> jax.Array:
    """Convolve each channel of x [N, H, W, C] with its own kernel of [h, w, C].

    y[p, q, c] = sum_ij kernel[i, j, c] x[p stride + i, q stride + j, c], for x padded with zeros.
    The same values and gradients as `jax.lax.conv_general_dilated` with C groups, which computes
    them on other devices than a CPU; on a CPU `jax.jvp` cannot differentiate it. Raises ValueError
    when the channels differ, or when the kernel does not fit in the padded image.
    """
    if x.ndim != 4 or kernel.ndim != 3 or x.shape[-1] != kernel.shape[-1]:
        raise ValueError(f"images {x.shape} and kernel {kernel.shape} must have the same channels")
    padded = [length + sum(pads) for length, pads in zip(x.shape[1:3], padding, strict=True)]
    if any(p < k for p, k in zip(padded, kernel.shape, strict=False)):
        raise ValueError(f"kernel {kernel.shape} does not fit in images {x.shape} with {padding}")
    if on_cpu():
        return as_shifted_sum(x, kernel, stride, padding)
    return lax.conv_general_dilated(
        x,
        kernel[:, :, None],
        (stride, stride),
        padding,
        dimension_numbers=DIMENSIONS,
        feature_group_count=x.shape[-1],
    )


def zero_pad(x: jax.Array, padding: Padding, between: int = 0) -> jax.Array:
    """Pad rows and columns of x [N, H, W, C] with zeros, of which `between` are between pixels."""
    pads = [(before, after, between) for before, after in padding]
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *pads, (0, 0, 0)])


def shifted_sum(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Convolve padded images."""
    rows, columns, _ = kernel.shape
    height, width = x.shape[1] - rows + 1, x.shape[2] - columns + 1
    terms = [
        x[:, i : i + height : stride, j : j + width : stride] * kernel[None, None, None, i, j]
        for i in range(rows)
        for j in range(columns)
    ]
    return sum(terms[1:], terms[0])


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def as_shifted_sum(x: jax.Array, kernel: jax.Array, stride: int, padding: Padding) -> jax.Array:
    """Convolve by `shifted_sum`; the gradients are shifted sums as well."""
    return shifted_sum(zero_pad(x, padding), kernel, stride)


def forward(
    x: jax.Array, kernel: jax.Array, stride: int, padding: Padding
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """Return the convolution and the residuals for its gradient."""
    return as_shifted_sum(x, kernel, stride, padding), (x, kernel)


def backward(
    stride: int, padding: Padding, residuals: tuple[jax.Array, jax.Array], g: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the gradients with respect to images and kernel."""
    x, kernel = residuals
    around = [  # of the spread gradient, so that a flipped kernel reaches every pixel of x
        (size - 1 - before, before + length - 1 - (outputs - 1) * stride)
        for (before, _), length, size, outputs in zip(
            padding, x.shape[1:3], kernel.shape[:2], g.shape[1:3], strict=True
        )
    ]
    spread = zero_pad(g, (around[0], around[1]), stride - 1)
    return shifted_sum(spread, kernel[::-1, ::-1], 1), kernel_gradient(
        x, g, kernel, stride, padding
    )


def kernel_gradient(
    x: jax.Array, g: jax.Array, kernel: jax.Array, stride: int, padding: Padding
) -> jax.Array:
    """Gradient [h, w, C], sum_npq g[n, p, q] x[n, p stride + i, q stride + j], in float32."""
    rows, columns, _ = kernel.shape
    x, width = zero_pad(x, padding).astype(jnp.float32), (g.shape[2] - 1) * stride + 1

    def add_row(p: jax.Array, total: jax.Array) -> jax.Array:
        of_outputs = lax.dynamic_index_in_dim(g, p, 1, keepdims=False)
        of_images = lax.dynamic_slice_in_dim(x, p * stride, rows, 1)
        sums = [
            (of_images[:, i, j : j + width : stride] * of_outputs).sum((0, 1))
            for i in range(rows)
            for j in range(columns)
        ]
        return total + jnp.stack(sums).reshape(kernel.shape)

    start = jnp.zeros(kernel.shape, jnp.float32)
    return lax.fori_loop(0, g.shape[1], add_row, start).astype(kernel.dtype)


as_shifted_sum.defvjp(forward, backward)
