"""VGG networks."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ..convolution.conv import Conv
from ..convolution.pooling import max_pool
from ..shapes import flatten_from

FEATURES = (64, 128, 256, 512, 512)
# convolutions in each block: configurations A, B, D and E in table 1 of the paper
DEPTHS = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
SMALLEST = 2 ** len(FEATURES)  # side in pixels that the blocks halve to 1
GLOROT = nn.initializers.glorot_uniform()


class Block(nn.Module):
    """x = relu(n(K * x + b)), `depth` times, then 2x2 max pooling; n is batch norm or identity."""

    features: int
    depth: int
    norm: Any
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return [B, H // 2, W // 2, features] for x [B, H, W, C]."""
        for number in range(1, self.depth + 1):
            conv = Conv(
                self.features, (3, 3), kernel_init=GLOROT, dtype=self.dtype, name=f"conv{number}"
            )
            x = conv(x)
            if self.norm is not None:
                x = self.norm(name=f"norm{number}")(x)
            x = nn.relu(x)
        return max_pool(x)


class VGG(nn.Module):
    """Five blocks of 3x3 convolutions with max pooling, two layers of 4096 ReLU units, the logits.

    layers: number of layers with weights: 11, 13, 16 or 19. The blocks have 64, 128, 256, 512 and
    512 channels. Dropout follows each hidden dense layer. 132,863,336, 133,047,848, 138,357,544 and
    143,667,240 parameters for 1000 classes and images of 224 pixels; batch_norm adds two for each
    channel of a convolution (the biases remain, although batch norm cancels them).

    Small images go through the same five halvings, so that 32 pixels become 1; centre an image of
    28 pixels in 32. `width` multiplies the channels and units.

    Initial weights are uniform after Glorot and Bengio 2010, biases 0: the method of the paper's
    footnote, instead of first training a shallower network. As in the paper, images are pixels from
    0 to 255 minus their mean.

    Source: Simonyan and Zisserman, "Very deep convolutional networks for large-scale image
    recognition", 2014. Batch norm is a later addition: Ioffe and Szegedy 2015.

    axis_name: see `nets.image.resnet.ConvNet`.

    >>> model, images = VGG(11, classes=10, width=1 / 16), jnp.zeros((2, 32, 32, 3))
    >>> jax.eval_shape(model.init_with_output, jax.random.key(0), images)[0].shape
    (2, 10)
    """

    layers: int = 16
    classes: int = 1000
    batch_norm: bool = False
    width: float = 1.0
    dropout: float = 0.5
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        """Return logits float32 [B, classes] for images float [B, H, W, C].

        train: enables dropout and normalises with the statistics of the batch. Raises ValueError
        for images below 32 pixels and for any other number of layers.
        """
        if self.layers not in DEPTHS:
            raise ValueError(f"layers must be one of {sorted(DEPTHS)}, got {self.layers}")
        if images.ndim != 4 or min(images.shape[1:3]) < SMALLEST:
            raise ValueError(
                "images must be [batch, 32 or more, 32 or more, channels], "
                f"got shape {images.shape}"
            )
        norm = partial(
            nn.BatchNorm, use_running_average=not train, momentum=0.9, axis_name=self.axis_name
        )
        x = images
        plan = zip(FEATURES, DEPTHS[self.layers], strict=True)
        for number, (features, depth) in enumerate(plan, 1):
            x = Block(
                max(1, round(features * self.width)),
                depth,
                norm if self.batch_norm else None,
                self.dtype,
                name=f"block{number}",
            )(x)
        x = flatten_from(x, 1)
        units = max(1, round(4096 * self.width))
        for name in ("dense1", "dense2"):
            x = nn.relu(nn.Dense(units, kernel_init=GLOROT, dtype=self.dtype, name=name)(x))
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        output = nn.Dense(self.classes, kernel_init=GLOROT, dtype=self.dtype, name="output")
        return output(x).astype(jnp.float32)
