"""AlexNet."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ..convolution.conv import Conv
from ..convolution.pooling import max_pool
from ..shapes import flatten_from

# features, kernel size, groups, inputs of a unit, initial bias (as published); operations after it
LAYERS: tuple[tuple[int, int, int, int, float, tuple[str, ...]], ...] = (
    (96, 11, 1, 11 * 11 * 3, 0.0, ("normalise", "pool")),
    (256, 5, 2, 5 * 5 * 48, 1.0, ("normalise", "pool")),
    (384, 3, 1, 3 * 3 * 256, 0.0, ()),
    (384, 3, 2, 3 * 3 * 192, 1.0, ()),
    (256, 3, 2, 3 * 3 * 192, 1.0, ("pool",)),
)
DENSE = ((4096, 6 * 6 * 256, 1.0), (4096, 4096, 1.0))  # features, inputs, initial bias


SIZES = (*range(15, 65), 224, 227)


def local_response_norm(
    x: jax.Array, *, k: float = 2.0, size: int = 5, alpha: float = 1e-4, beta: float = 0.75
) -> jax.Array:
    """Return b_i = a_i / (k + alpha sum_j a_j^2)^beta, j over the `size` channels centred at i.

    Channels beyond the first and the last are skipped. x: float [..., C]. Raises ValueError for an
    even size. Source: Krizhevsky et al. 2012, section 3.3, with its constants.
    """
    if size % 2 == 0:
        raise ValueError(f"size must be odd, so that the window has a middle channel, got {size}")
    half, channels = size // 2, x.shape[-1]
    squares = jnp.pad(x * x, [(0, 0)] * (x.ndim - 1) + [(half, half)])
    window_sum = sum(squares[..., i : i + channels] for i in range(size))
    return x * (k + alpha * window_sum) ** -beta


def scaled(features: int, width: float) -> int:
    """Return features times `width`, rounded to an even number (two groups) of at least two."""
    return 2 * max(1, round(features * width / 2))


class AlexNet(nn.Module):
    """Five convolutions and three dense layers, ReLU after all but the last.

    For images of 227 x 227 pixels (images of 224 are padded by one row before and two after, which
    the paper needs but does not mention): 96 kernels 11x11 with stride 4, then 256 5x5, 384 3x3,
    384 3x3 and 256 3x3; local response normalisation after the first two, 3x3 max pooling with
    stride 2 after the first, second and fifth, for maps of side 55, 27, 13 and 6. Then two layers
    of 4096 units, each preceded by dropout, and the logits. With `grouped`, the second, fourth and
    fifth convolution consist of two halves that each read half of the maps, like the two GPUs of
    the paper: 60,965,224 parameters for 1000 classes; 62,378,344 ungrouped.

    For small images, 15 to 64 pixels, the first convolution is 5x5 with stride 1 and padding, and
    the rest is unchanged: 28 pixels give maps of side 28, 13, 6 and 2; 32 give 32, 15, 7 and 3.

    Initial weights are normal with standard deviation 0.01; initial biases are 1 in the second,
    fourth and fifth convolution and in the hidden dense layers, and 0 elsewhere. Where `width` or
    small images reduce the inputs of a unit from the published N to n, the standard deviation is
    0.01 sqrt(N / n), which preserves the scale of the activations; at width 1 and 227 pixels it is
    the paper's, for each group. As in the paper, images are pixels from 0 to 255 minus their mean.

    Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional
    neural networks", 2012. Here the normalisation of the second layer spans its two groups.

    >>> model = AlexNet(classes=10, width=1 / 32)
    >>> key, images = jax.random.key(0), jnp.zeros((2, 32, 32, 3))
    >>> jax.eval_shape(model.init_with_output, key, images)[0].shape
    (2, 10)
    """

    classes: int = 1000
    grouped: bool = True
    width: float = 1.0
    dropout: float = 0.5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        """Return logits float32 [B, classes] for images float [B, S, S, C].

        train: enables dropout. Raises ValueError for any other shape or an unsupported side S.
        """
        side = images.shape[1] if images.ndim == 4 and images.shape[1] == images.shape[2] else 0
        if side not in SIZES:
            raise ValueError(
                "images must be [batch, S, S, channels] with S 227, 224, or from 15 to 64, "
                f"got shape {images.shape}"
            )

        def weights(inputs: int, published: int) -> nn.initializers.Initializer:
            return nn.initializers.normal(0.01 * np.sqrt(published / inputs))

        def convolve(x: jax.Array, index: int) -> jax.Array:
            features, size, groups, published, bias, _ = LAYERS[index]
            groups = groups if self.grouped else 1
            stride, padding = 1, [(size // 2, size // 2)] * 2
            if index == 0 and side > 64:
                stride, padding = 4, [(0, 0) if side == 227 else (1, 2)] * 2
            elif index == 0:
                size, padding = 5, [(2, 2)] * 2
            return Conv(
                scaled(features, self.width),
                (size, size),
                strides=stride,
                padding=padding,
                feature_group_count=groups,
                kernel_init=weights(size * size * x.shape[-1] // groups, published),
                bias_init=nn.initializers.constant(bias),
                dtype=self.dtype,
                name=f"conv{index + 1}",
            )(x)

        x = images
        for index, (*_, after) in enumerate(LAYERS):
            x = nn.relu(convolve(x, index))
            if "normalise" in after:
                x = local_response_norm(x)
            if "pool" in after:
                x = max_pool(x, 3)
        x = flatten_from(x, 1)
        for index, (features, published, bias) in enumerate(DENSE):
            dense = nn.Dense(
                scaled(features, self.width),
                kernel_init=weights(x.shape[-1], published),
                bias_init=nn.initializers.constant(bias),
                dtype=self.dtype,
                name=f"dense{index + 6}",
            )
            x = nn.Dropout(self.dropout, deterministic=not train)(nn.relu(dense(x)))
        output = nn.Dense(
            self.classes, kernel_init=weights(x.shape[-1], 4096), dtype=self.dtype, name="output"
        )
        return output(x).astype(jnp.float32)
