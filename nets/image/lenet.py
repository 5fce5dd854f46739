"""LeNet-5: with a softmax output, and as published."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ..convolution.conv import DIMENSIONS, Conv, convolve

# Stylised bitmaps of the digits, 7 x 12 pixels, drawn for this project; the paper's are not used.
BITMAPS = """
..###.. ...##.. .#####. .#####. ....##. ####### ..####. ####### .#####. .#####.
.##.##. ..###.. ##...## ##...## ...###. ##..... .##.... .....## ##...## ##...##
##...## .####.. .....## .....## ..####. ##..... ##..... .....## ##...## ##...##
##...## ...##.. .....## .....## .##.##. ##..... ##..... ....##. ##...## ##...##
##...## ...##.. ....##. .....## ##..##. ##..... ##..... ....##. ##...## ##...##
##...## ...##.. ...##.. ..####. ##..##. ######. ######. ...##.. .#####. ##...##
##...## ...##.. ..##... .....## ####### .....## ##...## ...##.. ##...## .######
##...## ...##.. .##.... .....## ....##. .....## ##...## ..##... ##...## .....##
##...## ...##.. ##..... .....## ....##. .....## ##...## ..##... ##...## .....##
##...## ...##.. ##..... .....## ....##. .....## ##...## .##.... ##...## .....##
.##.##. ...##.. ##..... ##...## ....##. ##...## ##...## .##.... ##...## ....##.
..###.. .###### ####### .#####. ....##. .#####. .#####. .##.... .#####. .####..
"""

# Table I of the paper: the six maps of S2 (rows) that each of the 16 maps of C3 (columns) reads.
TABLE_I = """
X...XXX..XXXX.XX
XX...XXX..XXXX.X
XXX...XXX..X.XXX
.XXX..XXXX..X.XX
..XXX..XXXX.XX.X
...XXX..XXXX.XXX
"""


class LeNet5(nn.Module):
    """LeNet-5 with a softmax output: convolve, subsample, convolve, subsample, three dense layers.

    C1: 6 kernels 5x5. S2: 2x2 mean. C3: 16 kernels 5x5 over all six maps. S4: 2x2 mean. C5: 120
    kernels 5x5 (a dense layer on 32x32 inputs). F6: 84 units. Then the output layer; tanh after C1,
    C3, C5 and F6.

    Source: LeCun et al., "Gradient-based learning applied to document recognition", 1998. This is
    the lectures' variant: C3 is fully connected, subsampling has no parameters, and a linear output
    for a softmax replaces the radial basis functions; 61,706 parameters for 10 classes.

    >>> images = jnp.zeros((2, 32, 32, 1))
    >>> jax.eval_shape(LeNet5().init_with_output, jax.random.key(0), images)[0].shape
    (2, 10)
    """

    classes: int = 10
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        """Return logits float32 [B, classes] for images float [B, 32, 32, C].

        `train` has no effect. Raises ValueError for any other height or width.
        """
        del train
        if images.ndim != 4 or images.shape[1:3] != (32, 32):
            raise ValueError(f"images must be [batch, 32, 32, channels], got shape {images.shape}")

        def convolve(x: jax.Array, features: int, name: str) -> jax.Array:
            return jnp.tanh(Conv(features, (5, 5), padding="VALID", dtype=self.dtype, name=name)(x))

        x = images.astype(self.dtype)
        x = nn.avg_pool(convolve(x, 6, "C1"), (2, 2), strides=(2, 2))
        x = nn.avg_pool(convolve(x, 16, "C3"), (2, 2), strides=(2, 2))
        x = convolve(x, 120, "C5").reshape(x.shape[0], 120)
        x = jnp.tanh(nn.Dense(84, dtype=self.dtype, name="F6")(x))
        return nn.Dense(self.classes, dtype=self.dtype, name="output")(x).astype(jnp.float32)


class PublishedLeNet5(nn.Module):
    """LeNet-5 as published: 60,000 parameters and an output layer of radial basis functions.

    With f(a) = 1.7159 tanh(2a / 3) and convolutions without padding:

    ======  ===============================================  ========  ==========
    layer   computes                                         maps      parameters
    ======  ===============================================  ========  ==========
    C1      f(5x5 kernels)                                   6 28x28   156
    S2      f(w (sum of 2x2) + b), one w and b for each map  6 14x14   12
    C3      f(5x5 kernels over some maps of S2: TABLE_I)     16 10x10  1,516
    S4      same as S2                                       16 5x5    32
    C5      f(5x5 kernels over all maps of S4)               120 1x1   48,120
    F6      f(dense)                                         84        10,164
    output  y_i = sum_j (x_j - code_ij)^2                    10        0
    ======  ===============================================  ========  ==========

    The codes are the fixed bitmaps of `digit_codes`. Parameters are initialised uniformly within
    +-2.4 / fan-in. Source: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to
    document recognition", 1998, section II.B and appendix A.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        """Return -y float32 [B, 10], so that the largest value is the predicted class.

        images: float [B, 32, 32, 1], background 0 and ink 1; the network maps these to -0.1 and
        1.175, as the paper does. `train` has no effect. Raises ValueError for any other shape.
        """
        del train
        if images.ndim != 4 or images.shape[1:] != (32, 32, 1):
            raise ValueError(f"images must be [batch, 32, 32, 1], got shape {images.shape}")
        x = (1.275 * images - 0.1).astype(self.dtype)
        kernels: dict[str, Any] = {"kernel_size": (5, 5), "padding": "VALID", "dtype": self.dtype}
        x = squash(Conv(6, **kernels, **initializers(25), name="C1")(x))
        x = Subsample(self.dtype, name="S2")(x)
        x = squash(PartialConv(self.dtype, name="C3")(x))
        x = Subsample(self.dtype, name="S4")(x)
        x = squash(Conv(120, **kernels, **initializers(400), name="C5")(x)).reshape(x.shape[0], 120)
        x = squash(nn.Dense(84, dtype=self.dtype, **initializers(120), name="F6")(x))
        difference = x.astype(jnp.float32)[:, None] - digit_codes()
        return -jnp.square(difference).sum(axis=-1)


class Subsample(nn.Module):
    """f(w (a + b + c + d) + w0) of each 2x2 square of values, with a w and a w0 per channel."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return [B, H // 2, W // 2, C] for x [B, H, W, C]."""
        shape = (x.shape[-1],)
        coefficient = self.param("coefficient", uniform_fan_in(4), shape).astype(self.dtype)
        bias = self.param("bias", uniform_fan_in(4), shape).astype(self.dtype)
        return squash(4 * nn.avg_pool(x, (2, 2), strides=(2, 2)) * coefficient + bias)


class PartialConv(nn.Module):
    """C3: 5x5 kernels between the 60 pairs of maps that TABLE_I connects, and 16 biases.

    Each call builds a dense kernel that is zero for all other pairs, which costs little compared
    with the convolution.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return [B, H - 4, W - 4, 16] for x [B, H, W, 6]."""
        connected = np.array([list(row) for row in TABLE_I.split()]) == "X"
        source, target = np.nonzero(connected)
        fan_in = 25 * connected.sum(axis=0)
        kernel = self.param("kernel", uniform_fan_in(fan_in[target]), (5, 5, len(source)))
        bias = self.param("bias", uniform_fan_in(fan_in), (16,)).astype(self.dtype)
        dense = jnp.zeros((5, 5, *connected.shape), self.dtype)
        dense = dense.at[:, :, source, target].set(kernel.astype(self.dtype), unique_indices=True)
        return convolve(x, dense, (1, 1), "VALID", dimension_numbers=DIMENSIONS) + bias


def squash(a: jax.typing.ArrayLike) -> jax.Array:
    """Return f(a) = 1.7159 tanh(2a / 3), elementwise: f(1) = 1, f(-1) = -1, most curved there."""
    return 1.7159 * jnp.tanh(2 / 3 * a)


def uniform_fan_in(fan_in: int | np.ndarray) -> nn.initializers.Initializer:
    """Return an initialiser uniform in +-2.4 / fan_in.

    fan_in: one number, or an array with one for each index of the parameter's last axis.
    """
    bound = 2.4 / np.asarray(fan_in, np.float32)

    def draw(key: jax.Array, shape: Any, dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return draw


def initializers(fan_in: int) -> dict[str, Any]:
    """Return options of a Flax layer for kernel and bias uniform in +-2.4 / fan_in."""
    return {"kernel_init": uniform_fan_in(fan_in), "bias_init": uniform_fan_in(fan_in)}


def digit_codes() -> np.ndarray:
    """Return the codes float32 [10, 84] of the digits 0 to 9: flattened bitmaps, ink 1, else -1.

    Digits that look alike have similar codes. Source of the idea: LeCun et al. 1998, Fig. 3.

    >>> digit_codes().shape
    (10, 84)
    """
    rows = [row.split() for row in BITMAPS.split("\n")[1:-1]]
    pixels = np.array([[list(bitmap) for bitmap in row] for row in rows])  # [12, 10, 7]
    return np.where(pixels.swapaxes(0, 1).reshape(10, 84) == "#", 1, -1).astype(np.float32)
