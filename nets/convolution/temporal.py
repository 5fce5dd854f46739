"""Convolution over time: the same kernels at every step, and what reads their answers.

Steps after the end of a row are padding: whatever they hold, NaN as well, changes no output and no
gradient, and a row alone gives what it gives beside longer ones.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ..masking import only_valid

READOUTS = ("max", "mean", "flatten")


def max_over_windows(x, lengths, window: int):
    """Largest of each `window` steps, [B, ceil(T / window), C], and the lengths that are left.

    The last window of a row may be shorter. One that holds no valid step gives zero.
    """
    missing = -x.shape[1] % window
    x = only_valid(x, lengths, -jnp.inf)
    x = jnp.pad(x, ((0, 0), (0, missing), (0, 0)), constant_values=-jnp.inf)
    lengths = None if lengths is None else -(-lengths // window)
    x = x.reshape(x.shape[0], -1, window, x.shape[2]).max(axis=2)
    return only_valid(x, lengths), lengths


def pool_over_time(x, lengths=None, how: str = "max"):
    """The largest value or the mean over the valid steps of x [B, T, C]: [B, C], 0 where none is.

    Raises ValueError for another `how`.
    """
    if how == "max":
        pooled = only_valid(x, lengths, -jnp.inf).max(axis=1, initial=-jnp.inf)
        return jnp.where(jnp.isneginf(pooled), 0.0, pooled)
    if how == "mean":
        count = x.shape[1] if lengths is None else lengths[:, None]
        return only_valid(x, lengths).sum(axis=1) / jnp.maximum(count, 1)
    raise ValueError(f"how must be max or mean, got {how!r}")


class TimeConvolutions(nn.Module):
    """Layers h = max-pool(relu(K * h + b)) over time, each kernel shared by all steps.

    (K * h)_t = sum_i K_i h_(t + i - size // 2), zero outside of the row. After each layer but the
    last the largest of every `window` steps is kept. Moving the input by a multiple of
    window ** (layers - 1) steps moves the output, and changes it at the ends alone.

    Sources: Waibel et al., "Phoneme recognition using time-delay neural networks", 1989, for
    weights shared over time; the rectifier and the max are the later use.
    """

    features: Sequence[int] = (64, 64, 64)
    size: int = 5
    window: int = 2
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, lengths=None):
        """Return features [B, T', C] of x [B, T, D], and the lengths int [B] left, None for None.

        Raises ValueError for lengths that do not fit.
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
    """logits = V pool_t h_t + c, h the output of `layers`; or V flatten(h) + c.

    readout: "max" and "mean" forget where in time something was; "flatten" has a weight for each
    place, as a dense layer on an image has, and needs the T it was made for. dropout: share of what
    is read out that is dropped in training (stream "dropout").
    """

    layers: TimeConvolutions
    classes: int
    readout: str = "max"
    dropout: float = 0.0

    def setup(self):
        """Make what comes after the layers."""
        self.drop = nn.Dropout(self.dropout)
        self.output = nn.Dense(self.classes, dtype=self.layers.dtype)

    def __call__(self, x, lengths=None, *, train: bool = False):
        """Return logits float32 [B, classes] for x float [B, T, D]; lengths int [B], None: all T.

        Raises ValueError for x of another rank, lengths that do not fit, or an unknown readout.
        """
        if x.ndim != 3:
            raise ValueError(f"x must be [batch, time, features], got shape {x.shape}")
        return self.read(*self.layers(x, lengths), train=train)

    def features(self, x, lengths=None):
        """Return what the layers give: h [B, T', C], and the lengths that are left."""
        return self.layers(x, lengths)

    def read(self, h, lengths=None, *, train: bool = False):
        """Return logits float32 [B, classes] for h [B, T', C]."""
        if self.readout not in READOUTS:
            raise ValueError(f"readout must be one of {READOUTS}, got {self.readout!r}")
        if self.readout == "flatten":
            pooled = h.reshape(h.shape[0], -1)
        else:
            pooled = pool_over_time(h, lengths, self.readout)
        return self.output(self.drop(pooled, deterministic=not train)).astype(jnp.float32)


def evidence(network: TimeConvNet, variables, x, lengths, labels):
    """Parts float32 [B, T'] of the logits of labels int [B] by the step of h that they come from.

    The readout is linear in h but for the choice of the largest, so the parts and the bias of the
    label sum up to its logit.
    """
    bound = network.bind(variables)
    h, left = bound.features(x, lengths)

    def chosen(h):
        logits = bound.read(h, left)
        return jnp.take_along_axis(logits, labels[:, None], axis=1).sum()

    return (h * jax.grad(chosen)(h)).sum(axis=-1).astype(jnp.float32)
