"""A typical modern convolutional network: residual blocks, batch norm, max and average pooling."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ..convolution.conv import Conv
from ..convolution.pooling import max_pool

HE = nn.initializers.he_normal()


class Residual(nn.Module):
    """y = relu(s(x) + n(K2 * relu(n(K1 * x)))), with batch norm n and 3x3 kernels K1 and K2.

    The shortcut s is the identity, or n(K * x) with 1x1 kernels where the number of channels
    changes. The scale of the last norm is initialised to 0, so that the block starts as relu(s(x)).
    conv, norm: constructors of layers, called as conv(features, size) and norm().

    Sources: He et al., "Deep residual learning for image recognition", 2015 (the block); He et al.,
    "Delving deep into rectifiers", 2015 (the initialisation); Goyal et al. 2017 (the zero scale).
    """

    features: int
    conv: Any
    norm: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return [B, H, W, features] for x [B, H, W, C]."""
        y = nn.relu(self.norm(name="norm1")(self.conv(self.features, (3, 3), name="conv1")(x)))
        y = self.conv(self.features, (3, 3), name="conv2")(y)
        y = self.norm(name="norm2", scale_init=nn.initializers.zeros)(y)
        if x.shape[-1] != self.features:
            x = self.norm(name="norm")(self.conv(self.features, (1, 1), name="conv")(x))
        return nn.relu(x + y)


class ConvNet(nn.Module):
    """relu(n(K * image)), then stages of residual blocks, then logits = V drop(mean_p h_p) + b.

    K has `width` 3x3 kernels and n is batch norm. Each stage halves the image by 2x2 max pooling,
    doubles the channels, and has `blocks` blocks. h_p is the output at position p of the image;
    because of the mean, any image of side 2 ** stages or more can be read. Convolutions and the
    output layer compute in dtype, the norms in float32.

    Sources: Residual; Ioffe and Szegedy, "Batch normalization", 2015; Lin et al., "Network in
    network", 2014 (the mean over positions); Srivastava et al., "Dropout", 2014.

    axis_name: the device axis that divides the batch, so that batch norm uses the statistics of the
    whole batch (`train/step.py` sets it); None where one program sees the whole batch.

    >>> model, images = ConvNet(width=4), jnp.zeros((2, 28, 28, 1))
    >>> jax.eval_shape(model.init_with_output, jax.random.key(0), images)[0].shape
    (2, 10)
    """

    classes: int = 10
    width: int = 16
    stages: int = 2
    blocks: int = 1
    dropout: float = 0.0
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        """Return logits float32 [B, classes] for images float [B, H, W, C].

        train: enables dropout, normalises with the statistics of the batch, and updates the running
        ones (collection "batch_stats"). Raises ValueError for images that are too small.
        """
        if images.ndim != 4 or min(images.shape[1:3]) < 2**self.stages:
            side = 2**self.stages
            raise ValueError(
                f"images must be [batch, {side} or more, {side} or more, channels] for "
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
