"""Fully connected conditional random field over pixels, whose mean field is a recurrent layer."""

import math
from collections.abc import Callable
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


def window_weights(features: jax.Array, radius: int) -> jax.Array:
    """Weights exp(-|f_i - f_j|^2 / 2) of the pixels j around each pixel i: [S, S, H, W].

    features: [H, W, D]. S = 2 radius + 1; the weight at (a, b) is that of the pixel a - radius rows
    and b - radius columns away, and 0 for the pixel itself and outside of the image.
    """
    height, width = features.shape[:2]
    side = 2 * radius + 1
    lines = jnp.moveaxis(features, -1, 0)  # whole rows of numbers suit vector instructions
    padded = _with_margin(lines, radius)
    real = jnp.pad(jnp.ones((height, width), features.dtype), radius)

    def row(a: jax.Array) -> jax.Array:
        def one(b: jax.Array) -> jax.Array:
            other = jax.lax.dynamic_slice(padded, (0, a, b), lines.shape)
            inside = jax.lax.dynamic_slice(real, (a, b), (height, width))
            # term by term, because XLA does not vectorise a reduction of a few planes on a CPU
            distance = sum(jnp.square(x - y) for x, y in zip(other, lines, strict=True))
            weight = inside * jnp.exp(-distance / 2)
            return jnp.where((a == radius) & (b == radius), 0, weight)

        return jax.lax.map(one, jnp.arange(side))

    return jax.lax.map(row, jnp.arange(side))


def _with_margin(planes: jax.Array, radius: int) -> jax.Array:
    """Planes [L, H, W] with `radius` zeros on every side."""
    return jnp.pad(planes, [(0, 0), (radius, radius), (radius, radius)])


def filter_window(weights: jax.Array, values: jax.Array) -> jax.Array:
    """Mean of the values around each pixel, by `window_weights`; 0 without any: [H, W, L].

    weights: [S, S, H, W], where two pixels have the same weight for each other, as those of
    `window_weights`; the gradient relies on it. values: [H, W, L].
    """
    total = window_sums(weights, jnp.moveaxis(values, -1, 0))
    return jnp.moveaxis(_mean(total, weights.sum(axis=(0, 1))[None]), 0, -1)


@jax.custom_vjp
def window_sums(weights: jax.Array, planes: jax.Array) -> jax.Array:
    """Weighted sums [L, H, W] of the values [L, H, W] around each pixel, as `filter_window`.

    Because the weights are symmetric, the gradient of the values is a sum of the same kind, which
    takes as long as the sum itself; the one that JAX derives takes twice as long.
    """
    side, _, height, width = weights.shape
    padded = _with_margin(planes, side // 2)

    def add(total: jax.Array, row: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        number, line = row
        start = (jnp.zeros_like(number), number, jnp.zeros_like(number))
        strip = jax.lax.dynamic_slice(padded, start, (len(planes), height, width + side - 1))
        parts = (line[b][None] * strip[:, :, b : b + width] for b in range(side))
        return total + sum(parts), None

    zeros = jnp.zeros_like(planes)
    return jax.lax.scan(add, zeros, (jnp.arange(side), weights))[0]


def _window_sums_forward(
    weights: jax.Array, planes: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return window_sums(weights, planes), (weights, planes)


def _window_sums_backward(
    saved: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    weights, planes = saved
    side = len(weights)
    padded = _with_margin(planes, side // 2)

    def of_weight(a: jax.Array, b: jax.Array) -> jax.Array:
        start = (jnp.zeros_like(a), a, b)
        return (gradient * jax.lax.dynamic_slice(padded, start, planes.shape)).sum(axis=0)

    places = jnp.arange(side)
    of_weights = jax.lax.map(lambda a: jax.lax.map(lambda b: of_weight(a, b), places), places)
    return of_weights, window_sums(weights, gradient)


window_sums.defvjp(_window_sums_forward, _window_sums_backward)


def filter_gaussian(values: jax.Array, deviation: float, radius: int) -> jax.Array:
    """Return `filter_window` for weights exp(-|p - p'|^2 / (2 deviation^2)), axis by axis.

    values: [H, W, L]. The pixel itself is left out of the sums, not subtracted from them.
    """
    both = jnp.concatenate([values, jnp.ones((*values.shape[:2], 1), values.dtype)], axis=-1)
    beside = _others(both, deviation, radius, 1)
    total = beside + _others(both + beside, deviation, radius, 0)
    return _mean(total[..., :-1], total[..., -1:])


def _others(x: jax.Array, deviation: float, radius: int, axis: int) -> jax.Array:
    """Gaussian sums of x [H, W, L] along an axis, without the pixel itself."""
    margin = [(radius, radius) if each == axis else (0, 0) for each in range(3)]
    padded, length = jnp.pad(x, margin), x.shape[axis]
    away = [k for k in range(-radius, radius + 1) if k]
    total = jnp.zeros_like(x)
    for k in away:
        part = jax.lax.slice_in_dim(padded, radius + k, radius + k + length, axis=axis)
        total = total + math.exp(-((k / deviation) ** 2) / 2) * part
    return total


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
    in pixels, with (2 radius + 1)^2 numbers for each pixel in memory; None: all pixels, whose cost
    grows with the square of their number.

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
        differ, or one of them has another number of axes.
        """
        if logits.shape[:3] != image.shape[:3] or not logits.ndim == image.ndim == 4:
            raise ValueError(
                "logits [B, H, W, L] and image [B, H, W, C] must have equal sizes, got "
                f"{logits.shape} and {image.shape}"
            )
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
        filters = self.filters(image)

        def iterate(log_q: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
            q = jnp.exp(log_q)
            means = [mean_of(q) for mean_of in filters]
            message = sum(w[None, None] * mean for w, mean in zip(weights, means, strict=True))
            new = nn.log_softmax(u - message @ compatibility.T)
            if self.damping:
                new = jnp.log((1 - self.damping) * jnp.exp(new) + self.damping * q)
            return new, new

        first = nn.log_softmax(u)
        _, later = jax.lax.scan(iterate, first, None, length=self.iterations)
        return jnp.concatenate([first[None], later])

    def filters(self, image: jax.Array) -> tuple[Callable[[jax.Array], jax.Array], ...]:
        """Return a function for each kernel: the mean of q [H, W, L] over the other pixels."""
        spatial, bilateral = self.kernels.features(image)
        if self.radius is not None:
            radius = self.radius
            weights = window_weights(bilateral, radius)  # once for all iterations
            return (
                lambda q: filter_gaussian(q, self.kernels.spatial, radius),
                lambda q: filter_window(weights, q),
            )

        def exact(features: jax.Array) -> Callable[[jax.Array], jax.Array]:
            flat = features.reshape(-1, features.shape[-1])
            return lambda q: filter_exactly(flat, q.reshape(-1, q.shape[-1])).reshape(q.shape)

        return exact(spatial), exact(bilateral)
