"""Restricted Boltzmann machine, trained by contrastive divergence."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn


class RBM(NamedTuple):
    """E(v, h) = -b.v - c.h - v W h; P(v) is proportional to the sum of exp(-E) over h.

    The visible units v are between 0 and 1, the hidden units h are 0 or 1. kernel: W [D, H].
    hidden_bias: c [H]. visible_bias: b [D]. linear: the hidden units are real numbers with Gaussian
    noise of variance 1; the energy has (h - c)^2 / 2 instead of -c.h, and the sum is an integral.
    Source: Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks",
    2006.
    """

    kernel: jax.Array
    hidden_bias: jax.Array
    visible_bias: jax.Array
    linear: bool = False

    def hidden_mean(self, visible: jax.Array) -> jax.Array:
        """Mean of h given v, [B, H], for v [B, D]: logistic(c + v W), or c + v W."""
        total = self.hidden_bias[None] + visible @ self.kernel
        return total if self.linear else nn.sigmoid(total)

    def visible_mean(self, hidden: jax.Array) -> jax.Array:
        """Mean of v given h, [B, D], for h [B, H]: logistic(b + W h)."""
        return nn.sigmoid(self.visible_bias[None] + hidden @ self.kernel.T)

    def sample_hidden(self, visible: jax.Array, key: jax.Array) -> jax.Array:
        """Draw h [B, H] given v [B, D]: 0 or 1, or real numbers."""
        mean = self.hidden_mean(visible)
        if self.linear:
            return mean + jax.random.normal(key, mean.shape, mean.dtype)
        return jax.random.bernoulli(key, mean).astype(mean.dtype)

    def free_energy(self, visible: jax.Array) -> jax.Array:
        """F [B] of v [B, D], with P(v) ~ exp(-F(v)): minus the log of the sum over h."""
        total = self.hidden_bias[None] + visible @ self.kernel
        if self.linear:
            squares = total**2 - self.hidden_bias[None] ** 2
            return -visible @ self.visible_bias - squares.sum(axis=-1) / 2
        return -visible @ self.visible_bias - nn.softplus(total).sum(axis=-1)


def contrastive_divergence(
    rbm: RBM, visible: jax.Array, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Loss [B] whose gradient is that of one step of contrastive divergence, and squared error [B].

    The loss is F(v) - F(v'), where v' = E[v | h] is a reconstruction from a draw h of P(h | v) and
    counts as a constant: its gradient is minus the difference of the statistics of data and
    reconstruction, such as v E[h | v] - v' E[h | v'] for W. The error is sum (v - v')^2. Source:
    Hinton, "Training products of experts by minimizing contrastive divergence", 2002; means instead
    of samples where Hinton and Salakhutdinov 2006 use them.
    """
    visible = jax.lax.stop_gradient(visible)
    model = jax.lax.stop_gradient(rbm.visible_mean(rbm.sample_hidden(visible, key)))
    loss = rbm.free_energy(visible) - rbm.free_energy(model)
    return loss, jnp.square(visible - model).sum(axis=-1)
