"""Fully convolutional networks: a class for every pixel of an image of any size."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

STRIDES = (32, 16, 8, 4)


class Alignment(NamedTuple):
    """Where the outputs of a layer lie in the image: output i at the pixel stride * i + offset."""

    stride: float = 1.0
    offset: float = 0.0

    def window(self, size: int, stride: int = 1, padding: int = 0) -> "Alignment":
        """Return the alignment after a convolution or pooling."""
        centre = (size - 1) / 2 - padding
        return Alignment(self.stride * stride, self.offset + self.stride * centre)

    def transposed(self, size: int, stride: int) -> "Alignment":
        """Return the alignment after a transposed convolution without padding."""
        finer = self.stride / stride
        return Alignment(finer, self.offset - finer * (size - 1) / 2)

    def crop(self, other: "Alignment") -> float:
        """Index of the output of `other`, of the same stride, that lies where output 0 lies.

        >>> score = Alignment().window(3, padding=100)  # the network of Long et al.
        >>> for pool in range(5):
        ...     score = score.window(2, stride=2)
        >>> Alignment().crop(score.window(7).transposed(64, 32))
        19.0
        """
        return (self.offset - other.offset) / self.stride


def dense_as_convolution(kernel: jax.Array, height: int, width: int) -> jax.Array:
    """Kernel [height, width, C, F] of a convolution that computes a dense layer at each window.

    kernel: [height * width * C, F], of a dense layer that reads a flattened map [height, width, C].
    Source: Long, Shelhamer and Darrell, "Fully convolutional networks for semantic segmentation",
    2015, section 3.1.
    """
    return kernel.reshape(height, width, kernel.shape[0] // (height * width), kernel.shape[1])


def bilinear_kernel(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """Initial kernel [2 f, 2 f, C, C] of a transposed convolution that interpolates bilinearly.

    Between its samples the result equals bilinear interpolation. Half a sample beyond the outer
    ones it fades towards 0, where `jax.image.resize` repeats them: [0, 1, 3, 2] enlarged by 2 ends
    in 1.5 instead of 2.
    """
    del key
    size = shape[0]
    line = 1 - np.abs(np.arange(size) - (size - 1) / 2) / (size / 2)
    return jnp.asarray(
        line[:, None, None, None] * line[:, None, None] * np.eye(shape[2], shape[3]), dtype
    )


def enlarge(x: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Return x [B, h, w, C] as [B, *size, C], bilinearly, without a shift of the centres."""
    return jax.image.resize(x, (x.shape[0], *size, x.shape[3]), "bilinear")


class FCN(nn.Module):
    """Scores of every pixel: s = up_f(s_f), where f is `stride` and, for k = 32, 16, ...,

        s_32 = V_32 drop(relu(W h_32)),   s_(k / 2) = V_(k / 2) h_(k / 2) + up_2(s_k)

    with the maps h_k of the backbone at stride k; W and V are 1x1 convolutions, dense layers that
    are applied at every place. up_f enlarges by f: bilinearly, or for f = 2 with
    upsampling="learned" by a transposed convolution that starts as `bilinear_kernel`. V_16, V_8
    and V_4 start at zero, so that a network with skips begins as the coarser one whose parameters
    it takes over (`--config.init_from`), as in the paper, whose finest stride is 8.

    backbone: images -> maps at strides 2, 4, 8, 16, 32. crf: logits and images -> log Q of each
    iteration, such as `CRFasRNN`, trained together with the scores: Zheng et al., "Conditional
    random fields as recurrent neural networks", 2015. standardize: each colour of an image gets
    mean 0 and variance 1 over its pixels, so that the light of a scene matters less. Sides that 32
    does not divide are padded with zeros. Source: Long, Shelhamer and Darrell, "Fully convolutional
    networks for semantic segmentation", 2015, whose backbone is VGG-16, whose W are its dense
    layers with 4,096 units, and which pads and crops instead of centring the maps (see
    `Alignment`).
    """

    backbone: nn.Module
    classes: int
    stride: int = 8
    upsampling: str = "bilinear"
    hidden: int = 128
    dropout: float = 0.0
    dtype: Any = jnp.float32
    crf: nn.Module | None = None
    standardize: bool = False

    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        """Return logits float32 [B, H, W, classes], or log Q of the random field if there is one.

        images: float [B, H, W, 3] in 0 .. 1. Raises ValueError for an unknown stride or upsampling.
        """
        logits = self.logits(images, train=train)
        return logits if self.crf is None else self.crf(logits, images)[:, -1]

    def iterations(self, images: jax.Array) -> jax.Array:
        """Return log Q of the random field, [B, iterations + 1, H, W, classes], of Q^0 first.

        Raises ValueError when there is no random field.
        """
        if self.crf is None:
            raise ValueError("the network has no random field: crf is None")
        return self.crf(self.logits(images), images)

    @nn.compact
    def logits(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        """Return the scores float32 [B, H, W, classes] before the random field.

        Raises ValueError for an unknown stride or upsampling.
        """
        if self.stride not in STRIDES or self.upsampling not in ("bilinear", "learned"):
            raise ValueError(
                f"stride must be one of {STRIDES} and upsampling 'bilinear' or 'learned', "
                f"got {self.stride} and {self.upsampling!r}"
            )
        height, width = images.shape[1:3]
        if self.standardize:
            images = jax.nn.standardize(images, axis=(1, 2), epsilon=1e-6)
        pad = [(0, 0), (0, -height % STRIDES[0]), (0, -width % STRIDES[0]), (0, 0)]
        x = jnp.pad(images, pad)
        maps = dict(zip((2, 4, 8, 16, 32), self.backbone(x, train=train), strict=True))

        hidden = nn.relu(nn.Dense(self.hidden, dtype=self.dtype, name="dense")(maps[STRIDES[0]]))
        hidden = nn.Dropout(self.dropout, deterministic=not train)(hidden)
        scores = nn.Dense(self.classes, dtype=self.dtype, name="score32")(hidden)
        for stride in STRIDES[1 : 1 + STRIDES.index(self.stride)]:
            fine = nn.Dense(
                self.classes,
                kernel_init=nn.initializers.zeros,
                dtype=self.dtype,
                name=f"score{stride}",
            )(maps[stride])
            scores = fine + self._double(scores, f"up{2 * stride}")
        scores = scores.astype(jnp.float32)
        return enlarge(scores, (x.shape[1], x.shape[2]))[:, :height, :width]

    def _double(self, scores: jax.Array, name: str) -> jax.Array:
        """Enlarge a map by 2."""
        if self.upsampling == "bilinear":
            return enlarge(scores, (2 * scores.shape[1], 2 * scores.shape[2]))
        return nn.ConvTranspose(
            self.classes,
            (4, 4),
            strides=(2, 2),
            use_bias=False,
            kernel_init=bilinear_kernel,
            dtype=self.dtype,
            name=name,
        )(scores)
