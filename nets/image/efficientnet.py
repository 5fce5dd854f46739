"""EfficientNet-Lite0, whose weights trained on ImageNet are free: maps of photographs."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from ..convolution.conv import Conv
from ..convolution.depthwise import convolve_depthwise
from ..shapes import expand_to
from .resnet import HE

MEAN, DEVIATION = 0.5, 0.5  # of the pixels, in the training of the released weights


class Stage(NamedTuple):
    """Blocks with kernels of size x size; the first has the stride and changes the channels."""

    size: int
    stride: int
    expansion: int
    features: int
    blocks: int


STAGES = (
    Stage(3, 1, 1, 16, 1),
    Stage(3, 2, 6, 24, 2),
    Stage(5, 2, 6, 40, 2),
    Stage(3, 2, 6, 80, 3),
    Stage(5, 1, 6, 112, 3),
    Stage(5, 2, 6, 192, 4),
    Stage(3, 1, 6, 320, 1),
)
LAST = (0, 1, 2, 4, 6)  # stages whose outputs are the maps


def pads(size: int, stride: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Zeros before and after each axis: TensorFlow's SAME of axes that the stride divides."""
    total = size - stride
    return ((total // 2, total - total // 2),) * 2


class Affine(nn.Module):
    """scale * x + bias for each channel: batch norm whose statistics are fixed."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return an array of the shape and dtype of x [..., C]."""
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:], jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:], jnp.float32)
        scale, bias = (expand_to(each.astype(x.dtype), x) for each in (scale, bias))
        return x * scale + bias


class Layer(nn.Module):
    """a(K * x): convolution with kernels K [size, size, C, features], then `Affine` a.

    features: 0 for a depthwise convolution with kernels [size, size, C].
    """

    features: int
    size: int = 1
    stride: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return [B, H // stride, W // stride, features or C] for x [B, H, W, C]."""
        padding = pads(self.size, self.stride)
        if self.features:
            x = Conv(
                self.features,
                (self.size, self.size),
                strides=self.stride,
                padding=padding,
                use_bias=False,
                kernel_init=HE,
                dtype=self.dtype,
                name="conv",
            )(x)
        else:
            shape = (self.size, self.size, x.shape[-1])
            init = nn.initializers.variance_scaling(2.0, "fan_in", "normal", batch_axis=(-1,))
            kernel = self.param("kernel", init, shape, jnp.float32)
            x = convolve_depthwise(
                x.astype(self.dtype), kernel.astype(self.dtype), self.stride, padding
            )
        return Affine(name="norm")(x)


class MobileBlock(nn.Module):
    """y = P relu6(D relu6(E x)): expand channels by 1x1, convolve depthwise, project by 1x1.

    x is added to y where their shapes agree. E is left out where the expansion is 1. Source:
    Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", 2018.
    """

    stage: Stage
    stride: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return [B, H // stride, W // stride, features] for x [B, H, W, C]."""
        y = x
        if self.stage.expansion > 1:
            features = self.stage.expansion * x.shape[-1]
            y = nn.relu6(Layer(features, dtype=self.dtype, name="expand")(y))
        y = Layer(0, self.stage.size, self.stride, dtype=self.dtype, name="depthwise")(y)
        y = Layer(self.stage.features, dtype=self.dtype, name="project")(nn.relu6(y))
        return x + y if y.shape == x.shape else y


class EfficientNetLite0(nn.Module):
    """Maps of an image at strides 2, 4, 8, 16 and 32: EfficientNet without squeeze-and-excitation.

    A 3x3 convolution at stride 2, then STAGES of `MobileBlock`s. Its batch norms are `Affine`: the
    statistics are those of the weights that are loaded, also in training, so that batches may be
    small. Sides that the stride does not divide are rounded down. As in TensorFlow, the padding at
    stride 2 is before the first pixel only half as wide as after the last: the receptive field of
    cell i at stride s is centred on pixel s i + s - 1, half a cell after the centre of its pixels.

    Sources: Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural networks",
    2019; Liu, "Higher accuracy on vision models with EfficientNet-Lite", TensorFlow blog, 2020.

    >>> model, images = EfficientNetLite0(), jnp.zeros((2, 64, 96, 3))
    >>> [x.shape[1:] for x in jax.eval_shape(model.init_with_output, jax.random.key(0), images)[0]]
    [(32, 48, 16), (16, 24, 24), (8, 12, 40), (4, 6, 112), (2, 3, 320)]
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> tuple[jax.Array, ...]:
        """Return maps [B, H // s, W // s, C] of images [B, H, W, 3 or 1] in 0 .. 1.

        Grey images are read as coloured ones. train: changes nothing. Raises ValueError for images
        of fewer than 32 pixels a side, or of another number of channels.
        """
        if images.ndim != 4 or min(images.shape[1:3]) < 32 or images.shape[3] not in (1, 3):
            raise ValueError(
                "images must be [batch, 32 or more, 32 or more, 3 or 1 channels], "
                f"got shape {images.shape}"
            )
        x = (jnp.broadcast_to(images, (*images.shape[:3], 3)) - MEAN) / DEVIATION
        x = nn.relu6(Layer(32, 3, 2, self.dtype, name="stem")(x))
        maps = []
        for number, stage in enumerate(STAGES):
            for block in range(stage.blocks):
                name = f"stage{number + 1}_block{block + 1}"
                stride = stage.stride if block == 0 else 1
                x = MobileBlock(stage, stride, self.dtype, name=name)(x)
            if number in LAST:
                maps.append(x)
        return tuple(maps)


class Lite0Classifier(nn.Module):
    """logits = V mean_p relu6(a(K * h_p)) + b of the last map h of EfficientNetLite0.

    K has 1,280 kernels of 1x1. Source: that of EfficientNetLite0; the classes are those of the
    ImageNet challenge 2012, in their usual order, when the released weights are loaded.
    """

    classes: int = 1000
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        """Return logits float32 [B, classes] of images [B, H, W, 3 or 1] in 0 .. 1."""
        x = EfficientNetLite0(self.dtype, name="backbone")(images)[-1]
        x = nn.relu6(Layer(1280, dtype=self.dtype, name="head")(x)).mean(axis=(1, 2))
        return nn.Dense(self.classes, dtype=self.dtype, name="output")(x).astype(jnp.float32)
