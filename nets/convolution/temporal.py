"""Convolution over time with kernels shared by all steps, and the readouts on top of it.

Steps after the end of a row are padding: their values, even NaN, affect neither outputs nor
gradients, and a row gives the same result alone as in a batch with longer rows.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ..masking import only_valid
from ..shapes import flatten_from

READOUTS = ("max", "mean", "flatten")


def max_over_windows(
    x: jax.Array, lengths: jax.Array | None, window: int
) -> tuple[jax.Array, jax.Array | None]:
    """Return the maximum of every `window` steps, [B, ceil(T / window), C], and the new lengths.

    x: float [B, T, C]. lengths: int [B], or None for T. The last window of a row may be shorter; a
    window without a valid step gives zero.
    """
    rows, time, channels = x.shape
    windows = -(-time // window)
    x = only_valid(x, lengths, -jnp.inf)
    missing = ((0, 0), (0, windows * window - time), (0, 0))
    x = jnp.pad(x, missing, constant_values=-jnp.inf)
    lengths = None if lengths is None else -(-lengths // window)
    x = x.reshape(rows, windows, window, channels).max(axis=2)
    return only_valid(x, lengths), lengths


def pool_over_time(
    x: jax.Array, lengths: jax.Array | None = None, reduction: str = "max"
) -> jax.Array:
    """Return the maximum or mean [B, C] over the valid steps of x [B, T, C]; 0 for an empty row.

    Raises ValueError for any other reduction.
    """
    if reduction == "max":
        pooled = only_valid(x, lengths, -jnp.inf).max(axis=1, initial=-jnp.inf)
        return jnp.where(jnp.isneginf(pooled), 0.0, pooled)
    if reduction == "mean":
        count = x.shape[1] if lengths is None else lengths[:, None]
        return only_valid(x, lengths).sum(axis=1) / jnp.maximum(count, 1)
    raise ValueError(f"reduction must be max or mean, got {reduction!r}")


class TimeConvolutions(nn.Module):
    """Layers h = max-pool(relu(K * h + b)) over time, each kernel shared by all steps.

    (K * h)_t = sum_i K_i h_(t + i - size // 2), with zeros outside the row. Every layer but the
    last is followed by a maximum over each `window` steps. Shifting the input by a multiple of
    window ** (layers - 1) steps shifts the output and changes it at the ends only.

    Source: Waibel et al., "Phoneme recognition using time-delay neural networks", 1989, for
    weights shared over time; the rectifier and max pooling are later practice.

    >>> layers, x = TimeConvolutions(features=(8, 8), size=3), jnp.zeros((2, 9, 4))
    >>> (h, _), _ = jax.eval_shape(layers.init_with_output, jax.random.key(0), x)
    >>> h.shape
    (2, 5, 8)
    """

    features: Sequence[int] = (64, 64, 64)
    size: int = 5
    window: int = 2
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, lengths: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array | None]:
        """Return features [B, T', C] of x [B, T, D], and their lengths int [B] (None for None).

        Raises ValueError for lengths that do not match x.
        """
        x = only_valid(x, lengths).astype(self.dtype)
        for i, features in enumerate(self.features):
            if i:
                x, lengths = max_over_windows(x, lengths, self.window)
            conv = nn.Conv(
                features,
                (self.size,),
                kernel_init=nn.initializers.he_normal(),
                dtype=self.dtype,
                name=f"C{i + 1}",
            )
            x = only_valid(nn.relu(conv(x)), lengths)
        return x, lengths


class TimeConvNet(nn.Module):
    """logits = V pool_t h_t + c, where h is the output of `layers`; or V flatten(h) + c.

    readout: "max" and "mean" discard the position in time; "flatten" has a weight for each
    position, like a dense layer on an image, and accepts only the T that it was initialised with.
    dropout: rate on the input of the readout in training (random stream "dropout").
    """

    layers: TimeConvolutions
    classes: int
    readout: str = "max"
    dropout: float = 0.0

    def setup(self) -> None:
        """Declare dropout and the output layer."""
        self.drop = nn.Dropout(self.dropout)
        self.output = nn.Dense(self.classes, dtype=self.layers.dtype)

    def __call__(
        self, x: jax.Array, lengths: jax.Array | None = None, *, train: bool = False
    ) -> jax.Array:
        """Return logits float32 [B, classes] of x float [B, T, D]; lengths int [B], None for T.

        Raises ValueError for x of another rank, lengths that do not match, or an unknown readout.
        """
        if x.ndim != 3:
            raise ValueError(f"x must be [batch, time, features], got shape {x.shape}")
        return self.head(*self.layers(x, lengths), train=train)

    def features(
        self, x: jax.Array, lengths: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array | None]:
        """Return the output of the layers: h [B, T', C] and its lengths."""
        return self.layers(x, lengths)

    def head(
        self, h: jax.Array, lengths: jax.Array | None = None, *, train: bool = False
    ) -> jax.Array:
        """Return logits float32 [B, classes] of h [B, T', C]."""
        if self.readout not in READOUTS:
            raise ValueError(f"readout must be one of {READOUTS}, got {self.readout!r}")
        if self.readout == "flatten":
            pooled = flatten_from(h, 1)
        else:
            pooled = pool_over_time(h, lengths, self.readout)
        return self.output(self.drop(pooled, deterministic=not train)).astype(jnp.float32)


def evidence(
    network: TimeConvNet, variables: Any, x: jax.Array, lengths: jax.Array, labels: jax.Array
) -> jax.Array:
    """Return float32 [B, T']: the contribution of each step of h to the logit of labels int [B].

    Given the positions of the maxima, the readout is linear in h, so the contributions and the bias
    of the label add up to its logit.
    """
    bound = network.bind(variables)
    h, h_lengths = bound.features(x, lengths)

    def label_logits(h: jax.Array) -> jax.Array:
        logits = bound.head(h, h_lengths)
        return jnp.take_along_axis(logits, labels[:, None], axis=1).sum()

    return (h * jax.grad(label_logits)(h)).sum(axis=-1).astype(jnp.float32)
