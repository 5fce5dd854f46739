"""Rosenblatt's perceptron: a trained threshold unit on features that are never trained."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn


def is_mistake(f: jax.Array, target: jax.Array) -> jax.Array:
    """Return where t f <= 0, bool [B]: a sample on the boundary, f = 0, is a mistake."""
    return target * f <= 0


def perceptron_criterion(f: jax.Array, target: jax.Array) -> jax.Array:
    """max(0, -t f), float32 [B], of outputs f [B] for targets t [B] in {-1, +1}.

    Its gradient is -t phi(x) for every mistake, also on the boundary, where that of the maximum is
    not unique. Gradient descent on it is therefore Rosenblatt's rule, w += rate t phi(x).
    """
    return jnp.where(is_mistake(f, target), -target * f, 0.0)


class AssociativeUnits(nn.Module):
    """phi_j(x) = 1 if sum_i a_ij x_i >= theta_j, else 0: units with random wiring and thresholds.

    Each of the `units` reads `fan_in` random points, through connections a_ij of +1 or -1. Its
    threshold is uniform in (0, sqrt(fan_in) / 2]. Both are drawn when the network is initialised
    and are kept in the collection "wiring", which no optimizer changes. Source: Rosenblatt, "The
    perceptron", 1958. Raises ValueError when there are fewer points than fan_in.
    """

    units: int
    fan_in: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Features float32 [B, units] of points float [B, D]."""
        count = x.shape[-1]
        if self.fan_in > count:
            raise ValueError(f"fan_in is {self.fan_in}, but x {x.shape} has only {count} points")

        def connections() -> jax.Array:
            order, sign = jax.random.split(self.make_rng("params"))
            ranks = jnp.argsort(jax.random.uniform(order, (count, self.units)), axis=0)
            signs = jax.random.rademacher(sign, (count, self.units), jnp.float32)
            return jnp.where(ranks < self.fan_in, signs, 0.0)

        def thresholds() -> jax.Array:
            uniform = jax.random.uniform(self.make_rng("params"), (self.units,))
            return (1 - uniform) * self.fan_in**0.5 / 2

        kernel = self.variable("wiring", "connections", connections).value
        threshold = self.variable("wiring", "thresholds", thresholds).value
        # always exact: the features are fixed, whatever the precision of training
        sums = jnp.dot(x.astype(jnp.float32), kernel, precision=jax.lax.Precision.HIGHEST)
        return (sums >= threshold).astype(jnp.float32)


class Perceptron(nn.Module):
    """f(x) = w . phi(x), whose sign is the class; w = 0 before training.

    units: 0 for phi(x) = (x, 1), otherwise the number of `AssociativeUnits`, to which a constant 1
    is appended. The collection "counts" has the number of updates: of the mistakes that were
    presented in training, float32, exact up to 2^24. axis_name: the pmap axis that divides a batch.
    dtype: that of the product. Source: Rosenblatt, "The perceptron", 1958.

    >>> x = jnp.array([[2.0, 3.0]])
    >>> model = Perceptron()
    >>> variables = model.init(jax.random.key(0), x)
    >>> model.apply(variables, x, method="features")
    Array([[2., 3., 1.]], dtype=float32)
    """

    units: int = 0
    fan_in: int = 8
    axis_name: str | None = None
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Make the associative units, the trained weights and the counter."""
        if self.units:
            self.associative = AssociativeUnits(self.units, self.fan_in)
        self.output = nn.Dense(
            1,
            use_bias=False,
            kernel_init=nn.initializers.zeros_init(),
            dtype=self.dtype,
            precision=jax.lax.Precision.HIGHEST,  # the sign near the boundary matters
        )
        self.updates = self.variable("counts", "updates", jnp.zeros, (), jnp.float32)

    def features(self, x: jax.Array) -> jax.Array:
        """phi(x), float32 [B, M], of inputs float [B, D]."""
        phi = self.associative(x) if self.units else x.astype(jnp.float32)
        return jnp.concatenate([phi, jnp.ones((len(x), 1), jnp.float32)], axis=1)

    def __call__(
        self, x: jax.Array, target: jax.Array | None = None, *, train: bool = False
    ) -> jax.Array:
        """Outputs f float32 [B] of inputs float [B, D].

        target: float [B] in {-1, +1}; in training, the mistakes are counted by it.
        """
        f = self.output(self.features(x))[:, 0].astype(jnp.float32)
        if train and target is not None:
            count = is_mistake(f, target).sum(dtype=jnp.float32)
            if self.axis_name:
                count = jax.lax.psum(count, self.axis_name)
            self.updates.value += count
        return f


class Presented(NamedTuple):
    """Weights float32 [S, M] after each of S presentations, and bool [S], where w changed."""

    weights: jax.Array
    mistakes: jax.Array


@jax.jit
def present(initial: jax.Array, phi: jax.Array, target: jax.Array, rate: float = 1.0) -> Presented:
    """Present S samples one after the other: w += rate t phi on each mistake.

    initial: w before the first, float32 [M]. phi: float32 [S, M]. target: float32 [S] in {-1, +1}.
    """

    def one(w: jax.Array, sample: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, Presented]:
        phi, t = sample
        mistake = is_mistake(jnp.dot(phi, w, precision=jax.lax.Precision.HIGHEST), t)
        w = jnp.where(mistake, w + rate * t * phi, w)
        return w, Presented(w, mistake)

    return jax.lax.scan(one, initial, (phi, target))[1]
