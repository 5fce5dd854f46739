"""LeNet-5: with a softmax output, and as it was published."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ..convolution.conv import DIMENSIONS, Conv, convolve

# Stylised bitmaps of the digits, 7 x 12 pixels, drawn for this project.
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

# Which of the six maps of S2 (rows) each of the 16 maps of C3 (columns) reads: Table I.
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


class PublishedLeNet5(nn.Module):
    """LeNet-5 as published: 60,000 parameters, and an output of radial basis functions.

    With f(a) = 1.7159 tanh(2a / 3), and convolutions without padding:

    ======  ===============================================  ========  ==========
    layer   computes                                         maps      parameters
    ======  ===============================================  ========  ==========
    C1      f(5x5 kernels)                                   6 28x28   156
    S2      f(w (sum of 2x2) + b), a w and a b for each map  6 14x14   12
    C3      f(5x5 kernels over some maps of S2: TABLE_I)     16 10x10  1,516
    S4      as S2                                            16 5x5    32
    C5      f(5x5 kernels over all maps of S4)               120 1x1   48,120
    F6      f(dense)                                         84        10,164
    output  y_i = sum_j (x_j - code_ij)^2                    10        0
    ======  ===============================================  ========  ==========

    The codes are the fixed bitmaps of nets/image/digit_codes.py. Parameters begin uniform in
    +-2.4 / fan-in. Source: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to
    document recognition", 1998, section II.B and appendix A.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        """Return -y float32 [B, 10], so that the largest is the answer.

        images: float [B, 32, 32, 1], paper 0 and ink 1; the network makes -0.1 and 1.175 of these,
        as the paper does. `train` changes nothing here. Raises ValueError for another shape.
        """
        del train
        if images.ndim != 4 or images.shape[1:] != (32, 32, 1):
            raise ValueError(f"images must be [batch, 32, 32, 1], got shape {images.shape}")
        x = (1.275 * images - 0.1).astype(self.dtype)
        kernels: dict[str, Any] = {"kernel_size": (5, 5), "padding": "VALID", "dtype": self.dtype}
        x = squash(Conv(6, **kernels, **start(25), name="C1")(x))
        x = Subsample(self.dtype, name="S2")(x)
        x = squash(PartialConv(self.dtype, name="C3")(x))
        x = Subsample(self.dtype, name="S4")(x)
        x = squash(Conv(120, **kernels, **start(400), name="C5")(x)).reshape(x.shape[0], 120)
        x = squash(nn.Dense(84, dtype=self.dtype, **start(120), name="F6")(x))
        difference = x.astype(jnp.float32)[:, None] - digit_codes()
        return -jnp.square(difference).sum(axis=-1)


class Subsample(nn.Module):
    """x -> f(w (a + b + c + d) + w0) of each square of 2x2 values, with a w and a w0 a channel."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        """[B, H, W, C] -> [B, H // 2, W // 2, C]."""
        shape = (x.shape[-1],)
        coefficient = self.param("coefficient", within(4), shape).astype(self.dtype)
        bias = self.param("bias", within(4), shape).astype(self.dtype)
        return squash(4 * nn.avg_pool(x, (2, 2), strides=(2, 2)) * coefficient + bias)


class PartialConv(nn.Module):
    """C3: 5x5 kernels between the 60 pairs of maps that TABLE_I connects, and 16 biases.

    A dense kernel that is zero elsewhere is made of them at each call, which is little beside one
    convolution.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        """[B, H, W, 6] -> [B, H - 4, W - 4, 16]."""
        connected = np.array([list(row) for row in TABLE_I.split()]) == "X"
        source, target = np.nonzero(connected)
        fan_in = 25 * connected.sum(axis=0)
        kernel = self.param("kernel", within(fan_in[target]), (5, 5, len(source)))
        bias = self.param("bias", within(fan_in), (16,)).astype(self.dtype)
        dense = jnp.zeros((5, 5, *connected.shape), self.dtype)
        dense = dense.at[:, :, source, target].set(kernel.astype(self.dtype), unique_indices=True)
        return convolve(x, dense, (1, 1), "VALID", dimension_numbers=DIMENSIONS) + bias


def squash(a):
    """f(a) = 1.7159 tanh(2a / 3): f(1) = 1, f(-1) = -1, most curved there; of any shape."""
    return 1.7159 * jnp.tanh(2 / 3 * a)


def within(fan_in):
    """Initialiser uniform in +-2.4 / fan_in; fan_in is a number, or one for each last index."""
    bound = 2.4 / np.asarray(fan_in, np.float32)

    def draw(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return draw


def start(fan_in: int) -> dict[str, Any]:
    """Options of a Flax layer whose kernel and bias begin within +-2.4 / fan_in."""
    return {"kernel_init": within(fan_in), "bias_init": within(fan_in)}


def digit_codes() -> np.ndarray:
    """Codes float32 [10, 84] of the digits 0 to 9: the rows of each bitmap, ink 1, paper -1.

    Digits that look alike have codes that are near. Source of the idea: LeCun et al. 1998, Fig. 3.
    """
    rows = [row.split() for row in BITMAPS.split("\n")[1:-1]]
    drawn = np.array([[list(bitmap) for bitmap in row] for row in rows])  # [12, 10, 7]
    return np.where(drawn.swapaxes(0, 1).reshape(10, 84) == "#", 1, -1).astype(np.float32)
