"""LeNet-5."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from nets.convolution import Conv


class LeNet5(nn.Module):
    """LeNet-5 with a softmax output: convolve, subsample, convolve, subsample, three dense layers.

    C1 6 kernels 5x5, S2 2x2 mean, C3 16 kernels 5x5 over all six maps, S4 2x2 mean, C5 120 kernels
    5x5 (on 32x32 inputs a dense layer), F6 84 units, output; tanh after C1, C3, C5 and F6.

    Source: LeCun et al., "Gradient-based learning applied to document recognition", 1998. Here C3
    is fully connected, subsampling has no parameters, and the output is linear for a softmax in
    place of radial basis functions: the lectures' variant, 61,706 parameters for 10 classes.
    """

    classes: int = 10
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        """Return logits float32 [B, classes] for images float [B, 32, 32, C].

        `train` changes nothing here. Raises ValueError for another height or width.
        """
        del train
        if images.ndim != 4 or images.shape[1:3] != (32, 32):
            raise ValueError(f"images must be [batch, 32, 32, channels], got shape {images.shape}")

        def convolve(x, features, name):
            return jnp.tanh(Conv(features, (5, 5), padding="VALID", dtype=self.dtype, name=name)(x))

        x = images.astype(self.dtype)
        x = nn.avg_pool(convolve(x, 6, "C1"), (2, 2), strides=(2, 2))
        x = nn.avg_pool(convolve(x, 16, "C3"), (2, 2), strides=(2, 2))
        x = convolve(x, 120, "C5").reshape(x.shape[0], 120)
        x = jnp.tanh(nn.Dense(84, dtype=self.dtype, name="F6")(x))
        return nn.Dense(self.classes, dtype=self.dtype, name="output")(x).astype(jnp.float32)
