"""Feature maps of whole images at several strides, for detectors, segmentation and captions."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ..convolution.conv import Conv
from ..convolution.pooling import max_pool
from .resnet import HE, Residual


class ConvFeatures(nn.Module):
    """Maps h_1, h_2, ... of an image, where h_k has a cell for 2^k x 2^k pixels.

    h_1 = relu(n(K * image)) with 4x4 kernels K at stride 2 and batch norm n; h_(k+1) is h_k after
    2x2 max pooling and `blocks` residual blocks of widths[k] channels. The centre of cell i of h_k
    is the centre of its pixels i 2^k ... (i + 1) 2^k - 1, so a map can be enlarged without a shift.
    Sides that 2^k does not divide are rounded down. Sources: those of `Residual`.

    axis_name: the device axis that divides the batch (see ConvNet).

    >>> model, images = ConvFeatures(widths=(4, 8, 8)), jnp.zeros((2, 48, 64, 3))
    >>> [x.shape for x in jax.eval_shape(model.init_with_output, jax.random.key(0), images)[0]]
    [(2, 24, 32, 4), (2, 12, 16, 8), (2, 6, 8, 8)]
    """

    widths: Sequence[int] = (16, 32, 64, 128, 128)
    blocks: int = 1
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> tuple[jax.Array, ...]:
        """Return maps [B, H // 2^k, W // 2^k, widths[k - 1]] of images [B, H, W, C] in 0 .. 1.

        train: normalises with the statistics of the batch, and updates the running ones. Raises
        ValueError for images without a cell in the last map.
        """
        side = 2 ** len(self.widths)
        if images.ndim != 4 or min(images.shape[1:3]) < side:
            raise ValueError(
                f"images must be [batch, {side} or more, {side} or more, channels], "
                f"got shape {images.shape}"
            )
        conv = partial(Conv, use_bias=False, kernel_init=HE, dtype=self.dtype)
        norm = partial(
            nn.BatchNorm,
            use_running_average=not train,
            momentum=0.9,
            dtype=self.dtype,
            axis_name=self.axis_name,
        )
        stem = conv(self.widths[0], (4, 4), strides=2, padding=((1, 1), (1, 1)), name="conv")
        x = nn.relu(norm(name="norm")(stem(images)))
        maps = [x]
        for stage, width in enumerate(self.widths[1:], 2):
            x = max_pool(x)
            for block in range(self.blocks):
                x = Residual(width, conv, norm, name=f"stage{stage}_block{block + 1}")(x)
            maps.append(x)
        return tuple(maps)


class PooledClassifier(nn.Module):
    """logits = V drop(mean_p h_p) + b, where h is the last map of a backbone, at places p.

    backbone: a module from images [B, H, W, C] to a tuple of maps. frozen: the backbone has no
    gradient, and its batch statistics do not change. Sources: Lin et al., "Network in network",
    2014 (the mean); Yosinski et al., "How transferable are features in deep neural networks?", 2014
    (frozen and fine-tuned features).
    """

    backbone: nn.Module
    classes: int
    frozen: bool = False
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        """Return logits float32 [B, classes] of images [B, H, W, C] in 0 .. 1.

        train: enables dropout, and batch statistics of a backbone that is not frozen.
        """
        x = self.backbone(images, train=train and not self.frozen)[-1].mean(axis=(1, 2))
        if self.frozen:
            x = jax.lax.stop_gradient(x)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.classes, dtype=self.dtype, name="output")(x).astype(jnp.float32)
