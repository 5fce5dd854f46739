"""LeNet-5: that of the lectures, with modern layers, and as published."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ..convolution.conv import DIMENSIONS, Conv, convolve
from ..shapes import expand_to

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


Activation = Callable[[jax.Array], jax.Array]
FanIn = int | np.ndarray  # one number, or one for each index of a parameter's last axis
UniformFor = Callable[[FanIn], nn.initializers.Initializer]


def squash(a: jax.typing.ArrayLike) -> jax.Array:
    """Return f(a) = 1.7159 tanh(2a / 3), elementwise: f(1) = 1, f(-1) = -1, most curved there."""
    return 1.7159 * jnp.tanh(2 / 3 * a)


def uniform_within(bound: FanIn | float) -> nn.initializers.Initializer:
    """Return an initialiser uniform in +-bound."""

    def draw(key: jax.Array, shape: Any, dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return draw


def uniform_fan_in(fan_in: FanIn) -> nn.initializers.Initializer:
    """Return an initialiser uniform in +-2.4 / fan-in, as in the paper."""
    return uniform_within(2.4 / np.asarray(fan_in, np.float32))


def uniform_unit_variance(fan_in: FanIn) -> nn.initializers.Initializer:
    """Return an initialiser uniform with variance 1 / fan-in."""
    return uniform_within(np.sqrt(3 / np.asarray(fan_in, np.float32)))


class LeNet5(nn.Module):
    """LeNet-5 with modern layers: full convolutions, average pooling, and a softmax output.

    C1: 6 kernels 5x5. S2: 2x2 mean. C3: 16 kernels 5x5 over all six maps. S4: 2x2 mean. C5: 120
    kernels 5x5 (a dense layer on 32x32 inputs). F6: 84 units. Then the output layer; tanh after C1,
    C3, C5 and F6.

    Source: LeCun et al., "Gradient-based learning applied to document recognition", 1998, in the
    form in which it is mostly programmed today: C3 reads all maps, subsampling has no parameters,
    and a linear output for a softmax replaces the radial basis functions; 61,706 parameters for 10
    classes. LectureLeNet5 and PublishedLeNet5 keep the layers of 1998.

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
        check_sides(images)

        def convolve(x: jax.Array, features: int, name: str) -> jax.Array:
            return jnp.tanh(Conv(features, (5, 5), padding="VALID", dtype=self.dtype, name=name)(x))

        x = images.astype(self.dtype)
        x = avg_pool(convolve(x, 6, "C1"))
        x = avg_pool(convolve(x, 16, "C3"))
        x = convolve(x, 120, "C5").reshape(x.shape[0], 120)
        x = jnp.tanh(nn.Dense(84, dtype=self.dtype, name="F6")(x))
        return nn.Dense(self.classes, dtype=self.dtype, name="output")(x).astype(jnp.float32)


class LectureLeNet5(nn.Module):
    """LeNet-5 of the lectures: the layers of 1998 with sigmoid subsampling and a softmax output.

    ======  =====================================================  ========  ==========
    layer   computes                                               maps      parameters
    ======  =====================================================  ========  ==========
    C1      tanh(5x5 kernels)                                      6 28x28   156
    S2      sigmoid(w (sum of 2x2) + w0), w and w0 for each map    6 14x14   12
    C3      tanh(5x5 kernels over some maps of S2: TABLE_I)        16 10x10  1,516
    S4      same as S2                                             16 5x5    32
    C5      tanh(5x5 kernels over all maps of S4)                  120 1x1   48,120
    F6      tanh(dense)                                            84        10,164
    output  dense, logits for a softmax                            10        850
    ======  =====================================================  ========  ==========

    60,850 parameters for 10 classes and grey images. The lectures give no activation function of C1
    to F6; tanh is that of 1998 up to its scale. Parameters of C1 to F6 are initialised uniformly
    with variance 1 / fan-in. Subsampling starts with w = 1 and w0 = 0: near zero its output is then
    0.5 plus the mean of the square, so that the signal keeps its scale. Source: T. Mitchell,
    10-601 (CMU), lectures of 2021, after LeCun, Bottou, Bengio and Haffner, "Gradient-based
    learning applied to document recognition", 1998.

    >>> images = jnp.zeros((2, 32, 32, 1))
    >>> jax.eval_shape(LectureLeNet5().init_with_output, jax.random.key(0), images)[0].shape
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
        check_sides(images)
        x = images.astype(self.dtype)
        subsample = partial(Subsample, nn.sigmoid, nn.initializers.ones, nn.initializers.zeros)
        x = units_of_f6(x, jnp.tanh, subsample, uniform_unit_variance, self.dtype)
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
        x = units_of_f6(x, squash, Subsample, uniform_fan_in, self.dtype)
        difference = x.astype(jnp.float32)[:, None] - digit_codes()[None]
        return -jnp.square(difference).sum(axis=-1)


def avg_pool(x: jax.Array) -> jax.Array:
    """Mean of each 2x2 square; Flax's divides by an integer, which strict dtypes forbid."""
    return nn.pool(x, 0.0, jax.lax.add, (2, 2), (2, 2), "VALID") / 4


def check_sides(images: jax.Array) -> None:
    """Raise ValueError unless images are [B, 32, 32, C]."""
    if images.ndim != 4 or images.shape[1:3] != (32, 32):
        raise ValueError(f"images must be [batch, 32, 32, channels], got shape {images.shape}")


def units_of_f6(
    x: jax.Array, f: Activation, subsample: Any, uniform: UniformFor, dtype: Any
) -> jax.Array:
    """Return F6 [B, 84] for x [B, 32, 32, C] by layers C1 to F6, made in the calling module.

    f: the activation function of C1, C3, C5 and F6. subsample: the constructor of S2 and S4.
    uniform: fan-in -> initialiser of the other layers.
    """

    def initial(fan_in: int) -> dict[str, Any]:
        return {"kernel_init": uniform(fan_in), "bias_init": uniform(fan_in), "dtype": dtype}

    kernels: dict[str, Any] = {"kernel_size": (5, 5), "padding": "VALID"}
    x = f(Conv(6, **kernels, **initial(25 * x.shape[-1]), name="C1")(x))
    x = subsample(dtype=dtype, name="S2")(x)
    x = f(PartialConv(uniform, dtype, name="C3")(x))
    x = subsample(dtype=dtype, name="S4")(x)
    x = f(Conv(120, **kernels, **initial(400), name="C5")(x)).reshape(x.shape[0], 120)
    return f(nn.Dense(84, **initial(120), name="F6")(x))


class Subsample(nn.Module):
    """f(w (a + b + c + d) + w0) of each 2x2 square of values, with a w and a w0 per channel.

    f: an activation function; by default f, w and w0 are those of the paper.
    """

    f: Activation = squash
    coefficient_init: nn.initializers.Initializer = uniform_fan_in(4)
    bias_init: nn.initializers.Initializer = uniform_fan_in(4)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return [B, H // 2, W // 2, C] for x [B, H, W, C]."""
        shape = (x.shape[-1],)
        coefficient = self.param("coefficient", self.coefficient_init, shape, jnp.float32)
        bias = self.param("bias", self.bias_init, shape, jnp.float32)
        coefficient, bias = (expand_to(a.astype(self.dtype), x) for a in (coefficient, bias))
        return self.f(4 * avg_pool(x) * coefficient + bias)


class PartialConv(nn.Module):
    """C3: 5x5 kernels between the 60 pairs of maps that TABLE_I connects, and 16 biases.

    Each call builds a dense kernel that is zero for all other pairs, which costs little compared
    with the convolution. uniform: fan-in -> initialiser.
    """

    uniform: UniformFor
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return [B, H - 4, W - 4, 16] for x [B, H, W, 6]."""
        connected = np.array([list(row) for row in TABLE_I.split()]) == "X"
        source, target = np.nonzero(connected)
        fan_in = 25 * connected.sum(axis=0)
        shape = 5, 5, len(source)
        kernel = self.param("kernel", self.uniform(fan_in[target]), shape, jnp.float32)
        bias = self.param("bias", self.uniform(fan_in), (16,), jnp.float32).astype(self.dtype)
        dense = jnp.zeros((5, 5, *connected.shape), self.dtype)
        dense = dense.at[:, :, source, target].set(kernel.astype(self.dtype), unique_indices=True)
        x = convolve(x, dense, (1, 1), "VALID", dimension_numbers=DIMENSIONS)
        return x + expand_to(bias, x)


def digit_codes() -> np.ndarray:
    """Return the codes float32 [10, 84] of the digits 0 to 9: flattened bitmaps, ink 1, else -1.

    Digits that look alike have similar codes. Source of the idea: LeCun et al. 1998, Fig. 3.

    >>> digit_codes().shape
    (10, 84)
    """
    rows = [row.split() for row in BITMAPS.split("\n")[1:-1]]
    pixels = np.array([[list(bitmap) for bitmap in row] for row in rows])  # [12, 10, 7]
    return np.where(pixels.swapaxes(0, 1).reshape(10, 84) == "#", 1, -1).astype(np.float32)
