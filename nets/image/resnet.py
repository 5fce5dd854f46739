"""A typical modern convolutional network: residual blocks, batch norm, max and average pooling."""

from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from ..convolution.conv import Conv
from ..convolution.pooling import max_pool

HE = nn.initializers.he_normal()


class Residual(nn.Module):
    """y = relu(s(x) + n(K2 * relu(n(K1 * x)))), n batch norm, K1 and K2 3x3 kernels.

    s is the identity, or n(K * x) with 1x1 kernels where the number of channels changes. The scale
    of the last norm begins at 0, so that the block begins as relu(s(x)). conv and norm: layers,
    made by conv(features, size) and norm().

    Source: He et al., "Deep residual learning for image recognition", 2015 (the block, the
    initialisation: their "Delving deep into rectifiers", 2015); Goyal et al. 2017 for the 0.
    """

    features: int
    conv: Any
    norm: Any

    @nn.compact
    def __call__(self, x):
        """Return [B, H, W, features] for x [B, H, W, C]."""
        y = nn.relu(self.norm(name="norm1")(self.conv(self.features, (3, 3), name="conv1")(x)))
        y = self.conv(self.features, (3, 3), name="conv2")(y)
        y = self.norm(name="norm2", scale_init=nn.initializers.zeros)(y)
        if x.shape[-1] != self.features:
            x = self.norm(name="norm")(self.conv(self.features, (1, 1), name="conv")(x))
        return nn.relu(x + y)


class ConvNet(nn.Module):
    """relu(n(K * image)), then stages of residual blocks, then logits = V mean_p drop(h_p) + b.

    K has `width` 3x3 kernels and n is batch norm. Each stage halves the image by max pooling, 2x2,
    and doubles the channels; it has `blocks` blocks. h_p are the outputs at the places p of the
    image, so that any size from 2 ** stages on can be read. Inputs and weights of the products have
    type dtype, the norms compute in float32.

    Sources: Residual; Ioffe and Szegedy, "Batch normalization", 2015; Lin et al., "Network in
    network", 2014 (the mean over places); Srivastava et al., "Dropout", 2014.

    axis_name: of devices that hold shares of a batch, whose statistics are then those of the whole
    (`train/step.py` sets it); None where one program sees the whole batch.
    """

    classes: int = 10
    width: int = 16
    stages: int = 2
    blocks: int = 1
    dropout: float = 0.0
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        """Return logits float32 [B, classes] for images float [B, H, W, C].

        train: batch statistics in place of the running ones, which it changes (collection
        "batch_stats"), and dropout. Raises ValueError for images that are too small.
        """
        if images.ndim != 4 or min(images.shape[1:3]) < 2**self.stages:
            least = 2**self.stages
            raise ValueError(
                f"images must be [batch, {least} or more, {least} or more, channels] for "
                f"{self.stages} stages, got shape {images.shape}"
            )
        conv = partial(Conv, use_bias=False, kernel_init=HE, dtype=self.dtype)
        norm = partial(
            nn.BatchNorm, use_running_average=not train, momentum=0.9, axis_name=self.axis_name
        )
        x = nn.relu(norm(name="norm")(conv(self.width, (3, 3), name="conv")(images)))
        for stage in range(self.stages):
            x = max_pool(x)
            for block in range(self.blocks):
                name = f"stage{stage + 1}_block{block + 1}"
                x = Residual(self.width * 2 ** (stage + 1), conv, norm, name=name)(x)
        x = nn.Dropout(self.dropout, deterministic=not train)(x.mean(axis=(1, 2)))
        return nn.Dense(self.classes, dtype=self.dtype, name="output")(x).astype(jnp.float32)
