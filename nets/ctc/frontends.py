"""What stands before the recurrent layers of a recogniser: frames in, fewer or better frames out.

Each takes x float [B, T, D] and lengths int [B], or None for all T, and returns (h [B, T', F], the
lengths that are left), as `nets.convolution.temporal.TimeConvolutions` does, which is one, too.
What stands in the padding, NaN included, changes neither values nor gradients.
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from ..convolution.conv import Conv
from ..convolution.temporal import max_over_windows
from ..masking import only_valid


class FrameStacking(nn.Module):
    """h_t = [x_(s t); x_(s t + 1); ... x_(s t + count - 1)], zeros after the end, s = `every`.

    count: frames that are made one. every: steps from one to the next, by default `count`.
    T' = ceil(T / every). Source: Sak, Senior, Rao and Beaufays, "Fast and accurate recurrent neural
    network acoustic models for speech recognition", 2015, with count 8 and every 3.
    """

    count: int
    every: int = 0

    @nn.compact
    def __call__(self, x, lengths=None):
        """Return (h [B, T', count D], lengths); ValueError for lengths that do not fit."""
        every = self.every or self.count
        steps = -(-x.shape[1] // every)
        missing = max((steps - 1) * every + self.count - x.shape[1], 0)
        x = jnp.pad(only_valid(x, lengths), ((0, 0), (0, missing), (0, 0)))
        parts = [x[:, i : i + steps * every : every][:, :steps] for i in range(self.count)]
        h = jnp.concatenate(parts, axis=-1)
        lengths = None if lengths is None else -(-lengths // every)
        return only_valid(h, lengths), lengths


class BandConvolution(nn.Module):
    """h = max-pool(relu(K * x + b)) over the bands of a spectrogram, one kernel for all bands.

    A frame holds `channels` parts of as many bands, such as log-mel energies, their deltas and the
    deltas of these; each is an input map. The kernel slides over all places where `size` bands fit
    (full weight sharing) and sees `context` frames, an odd number; then the largest of every `pool`
    bands is kept, the last of them fewer. So a voice that is higher or lower by a band is much the
    same to the layers above. T' = T, F = features * ceil((bands - size + 1) / pool).

    Source: Abdel-Hamid, Mohamed, Jiang and Penn, "Applying convolutional neural networks concepts
    to hybrid NN-HMM model for speech recognition", 2012; the rectifier is the later use.
    """

    features: int = 32
    size: int = 8
    pool: int = 3
    channels: int = 3
    context: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, lengths=None):
        """Return (h [B, T, F], lengths); ValueError for what does not fit."""
        rows, time, width = x.shape
        bands, rest = divmod(width, self.channels)
        if rest or bands < self.size:
            raise ValueError(
                f"frames of {width} must be {self.channels} parts of at least {self.size} bands"
            )
        if self.context % 2 == 0:
            raise ValueError(f"context must be odd, got {self.context}")
        x = only_valid(x, lengths).astype(self.dtype)
        maps = jnp.swapaxes(x.reshape(rows, time, self.channels, bands), 2, 3)
        around = self.context // 2
        conv = Conv(
            self.features,
            (self.context, self.size),
            padding=((around, around), (0, 0)),
            kernel_init=nn.initializers.he_normal(),
            dtype=self.dtype,
            name="conv",
        )
        h = nn.relu(conv(maps)).reshape(rows * time, -1, self.features)
        h, _ = max_over_windows(h, None, self.pool)
        return only_valid(h.reshape(rows, time, -1), lengths), lengths
