"""Front-end layers of a recogniser, before its recurrent layers: frames in, features out.

Each takes x float [B, T, D] and lengths int [B], or None if all T frames are real, and returns
(h [B, T', F], lengths after the layer). `nets.convolution.temporal.TimeConvolutions` has the same
interface. Padding values, even NaN, affect neither outputs nor gradients.
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from ..convolution.conv import Conv
from ..convolution.temporal import max_over_windows
from ..masking import only_valid
from ..shapes import flatten_from


class FrameStacking(nn.Module):
    """h_t = [x_(s t); x_(s t + 1); ... x_(s t + count - 1)], zeros after the end, s = `every`.

    count: number of frames that are concatenated. every: stride in frames, by default `count`.
    T' = ceil(T / every). Source: Sak, Senior, Rao and Beaufays, "Fast and accurate recurrent neural
    network acoustic models for speech recognition", 2015, with count 8 and every 3.
    """

    count: int
    every: int = 0

    @nn.compact
    def __call__(self, x: Array, lengths: Array | None = None) -> tuple[Array, Array | None]:
        """Return (h [B, T', count D], lengths); raises ValueError for lengths that do not fit."""
        every = self.every or self.count
        steps = -(-x.shape[1] // every)
        missing = max((steps - 1) * every + self.count - x.shape[1], 0)
        x = jnp.pad(only_valid(x, lengths), ((0, 0), (0, missing), (0, 0)))
        shifted = [x[:, i : i + steps * every : every][:, :steps] for i in range(self.count)]
        h = jnp.concatenate(shifted, axis=-1)
        lengths = None if lengths is None else -(-lengths // every)
        return only_valid(h, lengths), lengths


class BandConvolution(nn.Module):
    """h = max-pool(relu(K * x + b)) over the bands of a spectrogram, one kernel for all bands.

    A frame consists of `channels` input maps of equal width, such as log-mel energies, their deltas
    and the deltas of those. The kernel covers `size` bands and `context` frames, an odd number, and
    slides over all bands without padding them (full weight sharing). Max pooling over `pool` bands
    follows; its last window may be smaller. The output therefore changes little when a voice shifts
    by a band. T' = T, F = features * ceil((bands - size + 1) / pool).

    Source: Abdel-Hamid, Mohamed, Jiang and Penn, "Applying convolutional neural networks concepts
    to hybrid NN-HMM model for speech recognition", 2012, here with rectifiers.
    """

    features: int = 32
    size: int = 8
    pool: int = 3
    channels: int = 3
    context: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, lengths: Array | None = None) -> tuple[Array, Array | None]:
        """Return (h [B, T, F], lengths); raises ValueError if widths or lengths do not fit."""
        rows, time, width = x.shape
        bands, remainder = divmod(width, self.channels)
        if remainder or bands < self.size:
            raise ValueError(
                f"frames of width {width} must consist of {self.channels} maps "
                f"of at least {self.size} bands"
            )
        if self.context % 2 == 0:
            raise ValueError(f"context must be odd, got {self.context}")
        x = only_valid(x, lengths).astype(self.dtype)
        maps = jnp.swapaxes(x.reshape(rows, time, self.channels, bands), 2, 3)
        margin = self.context // 2
        conv = Conv(
            self.features,
            (self.context, self.size),
            padding=((margin, margin), (0, 0)),
            kernel_init=nn.initializers.he_normal(),
            dtype=self.dtype,
            name="conv",
        )
        h = nn.relu(conv(maps))
        h, _ = max_over_windows(h.reshape(rows * time, *h.shape[2:]), None, self.pool)
        h = flatten_from(h.reshape(rows, time, *h.shape[1:]), 2)
        return only_valid(h, lengths), lengths
