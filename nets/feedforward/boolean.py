"""Boolean functions as networks of sign units with two layers, built rather than trained."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

MAX_INPUTS = 20  # a parity then has 2^19 hidden units of 20 weights, 40 MiB


class BooleanNetwork(NamedTuple):
    """z_m = sign(w_m . x - D + 1), y = sign(sum_m z_m + M - 1) for x in {-1, +1}^D.

    patterns: float32 [M, D], the weights w_m, which are the inputs of value +1. A hidden unit is +1
    for its own pattern alone: w_m . x is D - 2 d, where d is the number of inputs in which x
    differs, so its sum is 1 - 2 d. The output unit is an "or": with k of the hidden units at +1 its
    sum is 2 k - 1. Both sums are odd, so a sign is never taken of 0. A function that is -1
    everywhere has no hidden unit, and an output of sum -1.

    >>> xor = boolean_network(jnp.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]), [-1, 1, 1, -1])
    >>> len(xor.patterns), xor(jnp.array([[1, -1], [1, 1]])).tolist()
    (2, [1.0, -1.0])
    """

    patterns: jax.Array

    def hidden_sums(self, x: ArrayLike) -> jax.Array:
        """Sums of the hidden units before their sign, float32 [B, M], for x [B, D] in {-1, +1}."""
        product = jnp.dot(x, self.patterns.T, precision=jax.lax.Precision.HIGHEST)
        return product - (self.patterns.shape[1] - 1)

    def __call__(self, x: ArrayLike) -> jax.Array:
        """Values y float32 [B] in {-1, +1} for x [B, D] in {-1, +1}."""
        hidden = jnp.sign(self.hidden_sums(jnp.asarray(x, jnp.float32)))
        return jnp.sign(hidden.sum(axis=1) + len(self.patterns) - 1)


def boolean_network(x: ArrayLike, y: ArrayLike) -> BooleanNetwork:
    """Build the network with a hidden unit for each input x [N, D] whose value y [N] is +1.

    It computes the function exactly when x are all N = 2^D inputs in {-1, +1}. Raises ValueError
    when the lengths differ, or for more than MAX_INPUTS inputs.
    """
    x, y = np.asarray(x, np.float32), np.asarray(y)  # the number of units depends on the values
    if len(x) != len(y):
        raise ValueError(f"x {x.shape} and y {y.shape} must have the same length")
    if x.shape[1] > MAX_INPUTS:
        raise ValueError(
            f"a construction of up to 2^{x.shape[1]} hidden units is too large: x {x.shape} may "
            f"have at most {MAX_INPUTS} inputs"
        )
    return BooleanNetwork(jnp.asarray(x[y > 0]))
