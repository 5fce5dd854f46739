"""AlexNet."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ..convolution.conv import Conv
from ..convolution.pooling import max_pool

# features, kernel, groups, inputs of a unit and first bias as published; then what follows
LAYERS: tuple[tuple[int, int, int, int, float, tuple[str, ...]], ...] = (
    (96, 11, 1, 11 * 11 * 3, 0.0, ("normalise", "pool")),
    (256, 5, 2, 5 * 5 * 48, 1.0, ("normalise", "pool")),
    (384, 3, 1, 3 * 3 * 256, 0.0, ()),
    (384, 3, 2, 3 * 3 * 192, 1.0, ()),
    (256, 3, 2, 3 * 3 * 192, 1.0, ("pool",)),
)
DENSE = ((4096, 6 * 6 * 256, 1.0), (4096, 4096, 1.0))  # features, inputs, first bias


SIZES = (*range(15, 65), 224, 227)


def local_response_norm(x, *, k=2.0, size=5, alpha=1e-4, beta=0.75):
    """b_i = a_i / (k + alpha sum_j a_j^2)^beta, j the `size` channels around i that there are.

    x: float [..., C]. Source: Krizhevsky et al. 2012, section 3.3, with its constants.
    """
    if size % 2 == 0:
        raise ValueError(f"size must be odd, to have a channel in its middle, got {size}")
    half, channels = size // 2, x.shape[-1]
    squares = jnp.pad(x * x, [(0, 0)] * (x.ndim - 1) + [(half, half)])
    around = sum(squares[..., i : i + channels] for i in range(size))
    return x * (k + alpha * around) ** -beta


def scaled(features: int, width: float) -> int:
    """Features times `width`, even so that two groups divide them, and at least two."""
    return 2 * max(1, round(features * width / 2))


class AlexNet(nn.Module):
    """Five convolutions and three dense layers, ReLU after all but the last.

    Images of 227 x 227 pixels (224 are padded by one row before and two after, which the paper does
    not say but needs): 96 kernels 11x11 with stride 4, then 256 5x5, 384 3x3, 384 3x3 and 256 3x3;
    local response normalisation after the first two, max pooling 3x3 with stride 2 after the first,
    second and fifth: 55, 27, 13 and 6 places a side. 4096 units, twice, with dropout before each,
    and the logits. Grouped, the second, fourth and fifth convolution are two halves that read half
    of the maps each, as on the two GPUs of the paper: 60,965,224 parameters for 1000 classes and
    62,378,344 ungrouped.

    Small images, from 15 to 64 pixels: the first convolution is 5x5 with stride 1, padded, and the
    rest is the same: 28 become 28, 13, 6 and 2 places a side, 32 become 32, 15, 7 and 3.

    Weights begin normal with standard deviation 0.01, biases 1 in the second, fourth and fifth
    convolution and in the hidden dense layers, 0 in the others. Where `width` or small images leave
    a unit n inputs of the published N, the standard deviation is 0.01 sqrt(N / n), so that
    activations keep their size; at width 1 and 227 pixels this is the paper's, for each group.
    Images are as published, too: pixels from 0 to 255 less their mean.

    Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional
    neural networks", 2012. Here the normalisation of the second layer reads across its two groups.
    """

    classes: int = 1000
    grouped: bool = True
    width: float = 1.0
    dropout: float = 0.5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        """Return logits float32 [B, classes] for images float [B, S, S, C].

        train: whether units are dropped. Raises ValueError for another shape or side S.
        """
        side = images.shape[1] if images.ndim == 4 and images.shape[1] == images.shape[2] else 0
        if side not in SIZES:
            raise ValueError(
                "images must be [batch, S, S, channels] with S 227, 224, or from 15 to 64, "
                f"got shape {images.shape}"
            )

        def weights(inputs, published):
            return nn.initializers.normal(0.01 * np.sqrt(published / inputs))

        def convolve(x, place):
            full, size, groups, published, bias, _ = LAYERS[place]
            groups = groups if self.grouped else 1
            stride, padding = 1, [(size // 2, size // 2)] * 2
            if place == 0 and side > 64:
                stride, padding = 4, [(0, 0) if side == 227 else (1, 2)] * 2
            elif place == 0:
                size, padding = 5, [(2, 2)] * 2
            return Conv(
                scaled(full, self.width),
                (size, size),
                strides=stride,
                padding=padding,
                feature_group_count=groups,
                kernel_init=weights(size * size * x.shape[-1] // groups, published),
                bias_init=nn.initializers.constant(bias),
                dtype=self.dtype,
                name=f"conv{place + 1}",
            )(x)

        x = images
        for place, (*_, after) in enumerate(LAYERS):
            x = nn.relu(convolve(x, place))
            if "normalise" in after:
                x = local_response_norm(x)
            if "pool" in after:
                x = max_pool(x, 3)
        x = x.reshape(len(x), -1)
        for place, (full, published, bias) in enumerate(DENSE):
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
            dense = nn.Dense(
                scaled(full, self.width),
                kernel_init=weights(x.shape[-1], published),
                bias_init=nn.initializers.constant(bias),
                dtype=self.dtype,
                name=f"dense{place + 6}",
            )
            x = nn.relu(dense(x))
        output = nn.Dense(
            self.classes, kernel_init=weights(x.shape[-1], 4096), dtype=self.dtype, name="output"
        )
        return output(x).astype(jnp.float32)
