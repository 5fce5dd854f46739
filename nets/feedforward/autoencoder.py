"""Autoencoders of images: dense layers, which can be pretrained, or convolutions."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.initializers import Initializer, variance_scaling

from ..shapes import expand_to, flatten_from
from .activations import ACTIVATIONS
from .rbm import RBM, contrastive_divergence

LINEAR = "linear"
# the variance 2 / (inputs + outputs) is that of the transpose as well; of Glorot and Bengio 2010
GLOROT = variance_scaling(1.0, "fan_avg", "normal")
# 16-fold for logistic units, whose slope is at most 1/4
GLOROT_LOGISTIC = variance_scaling(16.0, "fan_avg", "normal")


def activated(name: str, x: jax.Array) -> jax.Array:
    """Apply an activation function, by a name in ACTIVATIONS or "linear"."""
    return x if name == LINEAR else ACTIVATIONS[name](x)


def sparsity_divergence(activities: jax.Array, target: float) -> jax.Array:
    """Sum over units of KL(target || mean activity), for activities [B, H] in 0 .. 1.

    The divergence is that between two Bernoulli distributions; it is 0 when each unit is active in
    the fraction `target` of the batch. Source: Ng, "Sparse autoencoder", 2011.
    """
    mean = jnp.clip(activities.astype(jnp.float32).mean(axis=0), 1e-6, 1 - 1e-6)
    on = target * jnp.log(target / mean)
    off = (1 - target) * jnp.log((1 - target) / (1 - mean))
    return (on + off).sum()


class Autoencoder(nn.Module):
    """code = encode(x); logits = decode(code), of which the logistic function reconstructs x.

    code: number of code units. activation: of the hidden layers, a name in ACTIVATIONS.
    code_activation: of the code, such a name or "linear". corruption: probability with which a
    pixel of a training input is replaced by 0 (Vincent et al., "Extracting and composing robust
    features with denoising autoencoders", 2008). sparsity_penalty: weight of `sparsity_divergence`
    of the code units from the activity sparsity_target, which is added to the training loss; the
    code must be logistic. The subclasses have `encode` and `decode`.
    """

    shape: tuple[int, int, int]
    widths: Sequence[int]
    code: int
    activation: str = "relu"
    code_activation: str = LINEAR
    corruption: float = 0.0
    sparsity_penalty: float = 0.0
    sparsity_target: float = 0.1
    dtype: Any = jnp.float32

    def encode(self, images: jax.Array) -> jax.Array:
        """Return codes [B, code] of images [B, *shape]."""
        raise NotImplementedError

    def decode(self, code: jax.Array) -> jax.Array:
        """Return logits [B, *shape] of codes [B, code]."""
        raise NotImplementedError

    def __call__(self, images: jax.Array, *, train: bool = False) -> tuple[jax.Array, jax.Array]:
        """Return logits float32 [B, *shape] and codes float32 [B, code] of images [B, *shape]."""
        if train and self.corruption:
            keep = jax.random.bernoulli(self.make_rng("dropout"), 1 - self.corruption, images.shape)
            images = images * keep
        code = self.encode(images.astype(self.dtype))
        if train and self.sparsity_penalty:
            divergence = sparsity_divergence(code, self.sparsity_target)
            self.sow("penalties", "sparsity", self.sparsity_penalty * divergence)
        return self.decode(code).astype(jnp.float32), code.astype(jnp.float32)


class AutoencoderLayer(nn.Module):
    """up(x) = x W + c and down(h) = h V + b, where V starts as, or with tie_weights is, W^T.

    W, c and b are the parameters of the restricted Boltzmann machine that pretrains the layer.
    """

    inputs: int
    outputs: int
    tie_weights: bool
    kernel_init: Initializer
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Make the parameters; those of V are `decoder_kernel`."""
        zeros = nn.initializers.zeros_init()
        self.kernel = self.param(
            "kernel", self.kernel_init, (self.inputs, self.outputs), jnp.float32
        )
        self.hidden_bias = self.param("hidden_bias", zeros, (self.outputs,), jnp.float32)
        self.visible_bias = self.param("visible_bias", zeros, (self.inputs,), jnp.float32)
        if self.tie_weights:
            self.decoder_kernel = self.kernel.T
        else:
            self.decoder_kernel = self.param("decoder_kernel", lambda key: self.kernel.T)

    def up(self, x: jax.Array) -> jax.Array:
        """Return [B, outputs] for x [B, inputs]."""
        product = x @ self.kernel.astype(self.dtype)
        return product + expand_to(self.hidden_bias.astype(self.dtype), product)

    def down(self, hidden: jax.Array) -> jax.Array:
        """Return [B, inputs] for hidden [B, outputs]."""
        kernel, bias = self.decoder_kernel.astype(self.dtype), self.visible_bias.astype(self.dtype)
        return hidden @ kernel + expand_to(bias, hidden)

    def rbm(self, linear: bool) -> RBM:
        """Return the layer as a machine, of which W and V have the same gradient: that of W.

        Without tie_weights, V thus remains the transpose of W while the machine is trained.
        """
        kernel = self.kernel
        if not self.tie_weights:
            other = self.decoder_kernel.T
            kernel = kernel + (other - jax.lax.stop_gradient(other))
        return RBM(kernel, self.hidden_bias, self.visible_bias, linear)


class DenseAutoencoder(Autoencoder):
    """Layers of `widths` units, then the code; the decoder has the same layers in reverse order.

    tie_weights: the kernels of the decoder are the transposed kernels of the encoder. Source:
    Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks", 2006.

    >>> model = DenseAutoencoder((28, 28, 1), (1000, 500, 250), 30)
    >>> images = jnp.zeros((1, 28, 28, 1))
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), images)
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables))
    2837314
    """

    tie_weights: bool = False

    def setup(self) -> None:
        """Make the layers `layer_0`, `layer_1`, ..., the last of which has the code."""
        height, width, channels = self.shape
        sizes = (height * width * channels, *self.widths, self.code)
        self.layer = [
            AutoencoderLayer(
                inputs,
                outputs,
                self.tie_weights,
                GLOROT_LOGISTIC if self.activation == "sigmoid" else GLOROT,
                dtype=self.dtype,
            )
            for inputs, outputs in pairwise(sizes)
        ]

    def activations(self) -> list[str]:
        """Return the name of the activation function of each layer."""
        return [self.activation] * len(self.widths) + [self.code_activation]

    def encode(self, images: jax.Array) -> jax.Array:
        """Return codes [B, code] of images [B, *shape]."""
        x = flatten_from(images, 1)
        for layer, activation in zip(self.layer, self.activations(), strict=True):
            x = activated(activation, layer.up(x))
        return x

    def decode(self, code: jax.Array) -> jax.Array:
        """Return logits [B, *shape] of codes [B, code]."""
        x = code
        for layer in self.layer[:0:-1]:
            x = activated(self.activation, layer.down(x))
        return self.layer[0].down(x).reshape(-1, *self.shape)

    def contrastive_divergence(self, images: jax.Array, index: int) -> tuple[jax.Array, jax.Array]:
        """Loss [B] and squared error [B] of the machine of a layer: `rbm.contrastive_divergence`.

        Its data are the activities of the layer below. The hidden layers must be logistic, and the
        code logistic or linear.
        """
        x = flatten_from(images, 1)
        for layer in self.layer[:index]:
            x = activated(self.activation, layer.up(x.astype(self.dtype)))
        machine = self.layer[index].rbm(self.activations()[index] == LINEAR)
        x = x.astype(jnp.float32)
        return contrastive_divergence(machine, x, self.make_rng("dropout"))


class ConvolutionalAutoencoder(Autoencoder):
    """A convolution for each of `widths`, which halves the height and width, then a dense code.

    The decoder has a dense layer and transposed convolutions, each of which doubles the height and
    width. widths: channels. Kernels are 3 x 3 pixels; the height and width must be divisible by 2
    to the power of the number of convolutions.
    """

    def setup(self) -> None:
        """Make the layers; raises ValueError when the images cannot be halved so often."""
        factor = 2 ** len(self.widths)
        height, width, channels = self.shape
        if height % factor or width % factor:
            raise ValueError(
                f"images of {height} x {width} pixels cannot be halved {len(self.widths)} times"
            )
        self.small = (height // factor, width // factor, self.widths[-1])
        options: dict[str, Any] = {"strides": (2, 2), "dtype": self.dtype}
        outputs = (*self.widths[-2::-1], channels)
        self.down = [nn.Conv(size, (3, 3), **options) for size in self.widths]
        self.to_code = nn.Dense(self.code, dtype=self.dtype)
        self.from_code = nn.Dense(self.small[0] * self.small[1] * self.small[2], dtype=self.dtype)
        self.up = [nn.ConvTranspose(size, (3, 3), **options) for size in outputs]

    def encode(self, images: jax.Array) -> jax.Array:
        """Return codes [B, code] of images [B, *shape]."""
        x = images
        for layer in self.down:
            x = activated(self.activation, layer(x))
        return activated(self.code_activation, self.to_code(flatten_from(x, 1)))

    def decode(self, code: jax.Array) -> jax.Array:
        """Return logits [B, *shape] of codes [B, code]."""
        x = activated(self.activation, self.from_code(code)).reshape(len(code), *self.small)
        for layer in self.up[:-1]:
            x = activated(self.activation, layer(x))
        return self.up[-1](x)
