"""Fully connected conditional random field over pixels, whose mean field is a recurrent layer."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

BLOCK = 1024  # pixels whose kernel values to all others are in memory at once


class Kernels(NamedTuple):
    """Standard deviations of the two kernels of pixels at p, p' with colours I, I'.

    spatial: of exp(-|p - p'|^2 / (2 spatial^2)), in pixels. position, colour: of the bilateral
    kernel exp(-|p - p'|^2 / (2 position^2) - |I - I'|^2 / (2 colour^2)), in pixels and in the units
    of the image.
    """

    spatial: float = 3.0
    position: float = 40.0
    colour: float = 0.1

    def features(self, image: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Vectors [H, W, 2] and [H, W, 2 + C] of an image [H, W, C]: k = exp(-|f - f'|^2 / 2)."""
        height, width = image.shape[:2]
        grid = jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij")
        place = jnp.stack(grid, axis=-1).astype(jnp.float32)
        bilateral = jnp.concatenate([place / self.position, image / self.colour], axis=-1)
        return place / self.spatial, bilateral


def filter_exactly(features: jax.Array, values: jax.Array) -> jax.Array:
    """Mean of the values of all other pixels, weighted by exp(-|f_i - f_j|^2 / 2): [N, L].

    features: [N, D]. values: [N, L]. The weights of a pixel are divided by their sum over the other
    pixels; without any, the result is 0. The cost is that of N^2 products.
    """
    count = len(features)
    block = min(BLOCK, count)
    rows = jnp.pad(features, [(0, -count % block), (0, 0)]).reshape(-1, block, features.shape[1])
    numbers = jnp.arange(len(rows) * block).reshape(-1, block)

    def one(part: tuple[jax.Array, jax.Array]) -> jax.Array:
        own, number = part
        squares = jnp.square(own).sum(-1)[:, None] + jnp.square(features).sum(-1)[None]
        distance = jnp.maximum(squares - 2 * own @ features.T, 0)
        weights = jnp.where(number[:, None] == jnp.arange(count)[None], 0, jnp.exp(-distance / 2))
        return _mean(weights @ values, weights.sum(axis=1, keepdims=True))

    return jax.lax.map(jax.checkpoint(one), (rows, numbers)).reshape(-1, values.shape[1])[:count]


def filter_window(features: jax.Array, values: jax.Array, radius: int) -> jax.Array:
    """Return `filter_exactly` with the pixels at most `radius` rows and columns away: [H, W, L].

    features: [H, W, D]. values: [H, W, L].
    """
    height, width = values.shape[:2]
    margin = [(radius, radius), (radius, radius), (0, 0)]
    real = jnp.pad(jnp.ones((height, width, 1), values.dtype), margin)
    padded = jnp.pad(features, margin), jnp.pad(values, margin)
    side = 2 * radius + 1

    def add(sums: tuple[jax.Array, jax.Array], offset: jax.Array) -> tuple[tuple, None]:
        start, size = (offset // side, offset % side, 0), (height, width)
        f, v, r = (jax.lax.dynamic_slice(x, start, (*size, x.shape[2])) for x in (*padded, real))
        distance = jnp.square(f - features).sum(axis=-1, keepdims=True)
        weight = r * jnp.exp(-distance / 2)
        return (sums[0] + weight * v, sums[1] + weight), None

    offsets = jnp.arange(side * side - 1)
    offsets = offsets + (offsets >= side * radius + radius)  # all but the pixel itself
    zeros = jnp.zeros_like(values), jnp.zeros((height, width, 1), values.dtype)
    (total, weight), _ = jax.lax.scan(jax.checkpoint(add), zeros, offsets)
    return _mean(total, weight)


def _mean(total: jax.Array, weight: jax.Array) -> jax.Array:
    return total / jnp.where(weight == 0, 1, weight)


class CRFasRNN(nn.Module):
    """Mean field of a dense CRF: iterations of one recurrent layer with shared parameters.

    With logits u of another network, Q^0 = softmax(u) and, in each iteration,

        m_i(l)   = sum_k w_k(l) sum_(j != i) k(i, j) Q_j(l) / sum_(j != i) k(i, j)
        Q_i(l)  <- softmax_l(u_i(l) - sum_l' compatibility(l, l') m_i(l'))

    for the two kernels k of `Kernels`. w [2, L] and the compatibility [L, L] are trained; they
    start as kernel_weights, and as the Potts model 1 - identity. damping: fraction of the previous
    Q that stays in each iteration, which prevents oscillations. radius: of the kernels' window
    in pixels; None: all pixels, whose cost grows with the square of their number.

    Sources: Krähenbühl and Koltun, "Efficient inference in fully connected CRFs with Gaussian edge
    potentials", 2011, which leaves out j = i; Zheng et al., "Conditional random fields as recurrent
    neural networks", 2015, whose program also normalises the kernels, but keeps j = i.
    """

    kernels: Kernels = Kernels()
    kernel_weights: tuple[float, float] = (1.0, 1.0)
    iterations: int = 5
    damping: float = 0.0
    radius: int | None = None

    @nn.compact
    def __call__(self, logits: jax.Array, image: jax.Array) -> jax.Array:
        """Return log Q float32 [B, iterations + 1, H, W, L], of Q^0 first.

        logits: float [B, H, W, L]. image: float [B, H, W, C]. Raises ValueError when their sizes
        differ.
        """
        if logits.shape[:3] != image.shape[:3]:
            raise ValueError(f"logits {logits.shape} and image {image.shape} must have equal sizes")
        labels = logits.shape[-1]
        start = jnp.tile(jnp.asarray(self.kernel_weights, jnp.float32)[:, None], (1, labels))
        weights = self.param("weights", lambda key: start)
        compatibility = self.param(
            "compatibility", lambda key: 1 - jnp.eye(labels, dtype=jnp.float32)
        )
        run = jax.vmap(lambda u, x: self.mean_field(u, x, weights, compatibility))
        return run(logits.astype(jnp.float32), image.astype(jnp.float32))

    def mean_field(
        self, u: jax.Array, image: jax.Array, weights: jax.Array, compatibility: jax.Array
    ) -> jax.Array:
        """Return log Q [iterations + 1, H, W, L] of logits u [H, W, L]."""
        features = self.kernels.features(image)

        def iterate(log_q: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
            q = jnp.exp(log_q)
            means = [self.filter(each, q) for each in features]
            message = sum(w[None, None] * mean for w, mean in zip(weights, means, strict=True))
            new = nn.log_softmax(u - message @ compatibility.T)
            if self.damping:
                new = jnp.log((1 - self.damping) * jnp.exp(new) + self.damping * q)
            return new, new

        first = nn.log_softmax(u)
        _, later = jax.lax.scan(iterate, first, None, length=self.iterations)
        return jnp.concatenate([first[None], later])

    def filter(self, features: jax.Array, q: jax.Array) -> jax.Array:
        """Mean of q [H, W, L] over the other pixels by a kernel of `features` [H, W, D]."""
        if self.radius is not None:
            return filter_window(features, q, self.radius)
        flat = features.reshape(-1, features.shape[-1]), q.reshape(-1, q.shape[-1])
        return filter_exactly(*flat).reshape(q.shape)
